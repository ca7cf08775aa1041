package health

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// entry is one checker of a Set; its fields belong to Set.mu.
type entry struct {
	spec    Spec
	monitor *monitor
	status  Status
	cancel  context.CancelFunc
}

// Update makes the Set hold exactly specs. A checker whose fingerprint is that
// of an old one of the same real server goes on undisturbed, wherever it
// stands among the checkers. One whose definition changed starts counting
// anew, but from up or down as the old one at its place was: a reload alone
// moves no server. Update does not wait for the probes of removed checkers and
// emits no transitions: ask Servers afterwards. Two specs of one ID are a
// mistake of the caller and panic.
func (s *Set) Update(specs []Spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byFingerprint()
	next := make(map[ID]*entry, len(specs))
	var fresh []Spec
	for _, spec := range specs {
		if _, twice := next[spec.ID]; twice {
			panic("health: two specs for one checker of " + spec.ID.Server)
		}
		key := fingerprint{spec.ID.ServerID, spec.Fingerprint}
		next[spec.ID] = nil
		if same := old[key]; len(same) > 0 {
			same[0].adopt(spec)
			next[spec.ID], old[key] = same[0], same[1:]
			continue
		}
		fresh = append(fresh, spec)
	}
	for _, spec := range fresh {
		next[spec.ID] = s.start(spec, s.entries[spec.ID])
	}
	for _, left := range old {
		for _, e := range left {
			e.stop()
		}
	}
	s.entries, s.loaded = next, true
	s.servers = make(map[ServerID][]*entry)
	for _, e := range s.sorted() {
		s.servers[e.spec.ID.ServerID] = append(s.servers[e.spec.ID.ServerID], e)
	}
}

type fingerprint struct {
	server ServerID
	text   string
}

// byFingerprint lists the entries of each server and fingerprint by position.
func (s *Set) byFingerprint() map[fingerprint][]*entry {
	m := make(map[fingerprint][]*entry, len(s.entries))
	for _, e := range s.sorted() {
		k := fingerprint{e.spec.ID.ServerID, e.spec.Fingerprint}
		m[k] = append(m[k], e)
	}
	return m
}

// sorted returns the entries in the order of their IDs.
func (s *Set) sorted() []*entry {
	list := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return compareID(a.spec.ID, b.spec.ID) })
	return list
}

func compareID(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Index, b.Index))
}

// adopt keeps the running monitor under the place that spec gives it.
func (e *entry) adopt(spec Spec) {
	spec.Checker = e.spec.Checker
	e.spec = spec
	e.status.ID = spec.ID
}

// start makes the entry of a new checker; before is the one that had its ID,
// or nil.
func (s *Set) start(spec Spec, before *entry) *entry {
	st := newState(spec.Timing, !s.loaded)
	if before != nil && before.spec.ID != spec.ID {
		before = nil // it lives on at another place
	}
	if before != nil {
		st.up = before.status.Up
	}
	e := &entry{spec: spec}
	e.status = Status{ID: spec.ID, Checker: spec.Checker.String(), Up: st.up, LastChange: time.Now()}
	if before != nil && !st.up {
		e.status.Result.Reason = before.status.Result.Reason
	}
	e.monitor = newMonitor(spec.Checker, st, s.rand, func(r report) { s.report(e, r) })
	e.monitor.suspend(s.suspended[spec.ID.Service])
	e.status.Suspended = s.suspended[spec.ID.Service]
	if s.ctx != nil && !s.stopped {
		s.launch(e)
	}
	return e
}

// launch runs the monitor of e until the Set or the entry ends.
func (s *Set) launch(e *entry) {
	ctx, cancel := context.WithCancel(s.ctx)
	e.cancel = cancel
	s.running.Go(func() { e.monitor.run(ctx) })
}

func (e *entry) stop() {
	if e.cancel != nil {
		e.cancel()
	}
}
