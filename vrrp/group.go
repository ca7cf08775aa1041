package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/xvip-lb/xvip/internal/script"
)

// GroupSpec is a sync group: virtual routers that change role together.
type GroupSpec struct {
	Name    string
	Members []string // names of virtual routers
	Notify  NotifyScripts
}

// syncGroup is a sync group that runs. Its members tell it what happens to
// them; it tells them what to follow, by way of their own goroutines.
type syncGroup struct {
	spec   GroupSpec
	notify *Notifier

	mu     sync.Mutex
	faults map[string]string // by member: what is wrong with itself
	roles  map[string]Role
	role   Role
}

func newSyncGroup(spec GroupSpec, fifos []LineWriter, log *slog.Logger) *syncGroup {
	return &syncGroup{spec: spec, notify: NewNotifier(NotifyGroup, spec.Name, spec.Notify, fifos, script.Start, log),
		faults: map[string]string{}, roles: map[string]Role{}}
}

// setFault notes what is wrong with a member and tells whether that is new.
func (g *syncGroup) setFault(member, fault string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := g.faults[member] != fault
	g.faults[member] = fault
	return changed
}

// faultOf gives the fault of another member, in the order of the group.
func (g *syncGroup) faultOf(member string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.spec.Members {
		if f := g.faults[m]; m != member && f != "" {
			return fmt.Sprintf("member %s of group %s: %s", m, g.spec.Name, f)
		}
	}
	return ""
}

// changed notes the role of a member and tells whom to bring to which role.
func (g *syncGroup) changed(member string, c RoleChanged) (follow []string, to Join) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roles[member] = c.To
	if role := groupRole(g.spec.Members, g.roles); role != g.role {
		g.role = role
		if state, ok := NotifyStateOf(role); ok {
			g.notify.Notify(state, 0)
		}
	}
	var from Role
	switch {
	case c.To == Master:
		from = Backup
	case c.To == Backup && c.From == Master:
		from = Master
	default:
		return nil, Join{}
	}
	for _, m := range g.spec.Members {
		if m != member && g.roles[m] == from {
			follow = append(follow, m)
		}
	}
	return follow, Join{Role: c.To, Reason: fmt.Sprintf("member %s of group %s is %s", member, g.spec.Name, c.To)}
}

// repeatState tells the FIFOs the role again.
func (g *syncGroup) repeatState() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state, ok := NotifyStateOf(g.role); ok {
		g.notify.Repeat(state, 0)
	}
}

// groupRole is Fault when a member is faulty, Master when all are, and Backup
// otherwise; Initialize until all have a role.
func groupRole(members []string, roles map[string]Role) Role {
	role := Master
	for _, m := range members {
		switch roles[m] {
		case Fault:
			return Fault
		case Initialize:
			role = Initialize
		case Backup:
			if role == Master {
				role = Backup
			}
		}
	}
	return role
}

// groupOf gives the group of a virtual router, nil when it has none.
func (s *Set) groupOf(member string) *syncGroup {
	for _, g := range s.groups {
		if slices.Contains(g.spec.Members, member) {
			return g
		}
	}
	return nil
}

// updateGroups follows the configuration; a group whose members stay keeps its
// role.
func (s *Set) updateGroups() {
	want := map[string]GroupSpec{}
	for _, spec := range s.wanted.Groups {
		want[spec.Name] = spec
	}
	kept := s.groups[:0:0]
	for _, g := range s.groups {
		if spec, ok := want[g.spec.Name]; ok && slices.Equal(spec.Members, g.spec.Members) {
			g.notify.Configure(spec.Name, spec.Notify, s.wanted.FIFOs)
			kept = append(kept, g)
			delete(want, spec.Name)
			continue
		}
		g.notify.Finish()
	}
	for _, spec := range s.wanted.Groups {
		if _, ok := want[spec.Name]; !ok {
			continue
		}
		g := newSyncGroup(spec, s.wanted.FIFOs, s.log)
		kept = append(kept, g)
		s.tasks.Go(func() { _ = g.notify.Run(context.WithoutCancel(s.ctx)) })
	}
	s.groups = kept
}
