package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// linkWithin bounds the wait for an interface that was just made to be up.
	linkWithin = time.Second
	// linkRetry is the pause after an interface could not be made.
	linkRetry = time.Second
)

// links are all interfaces of virtual MACs of a router.
func (s *RouterSpec) links() []VirtualLink {
	if s.Virtual == nil {
		return s.Extra
	}
	return append([]VirtualLink{*s.Virtual}, s.Extra...)
}

// linkIdentity is empty without such interfaces. A router with others is
// another one: it starts anew, as in keepalived.
func (s *RouterSpec) linkIdentity() string {
	links := s.links()
	if len(links) == 0 {
		return ""
	}
	return fmt.Sprint(links, s.OnBase)
}

// RemoveLeftLinks removes the interfaces of virtual MACs that an earlier life has
// left and that no router wants. It is for before Run; in another process a
// daemon may want them.
func (s *Set) RemoveLeftLinks() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted []VirtualLink
	for i := range s.wanted.Routers {
		wanted = append(wanted, s.wanted.Routers[i].links()...)
	}
	return s.virtual.RemoveLeft(wanted)
}

// routerLinks keeps the interfaces of virtual MACs of one router there while it
// runs. Without any it does nothing. Its methods are for the goroutine of the
// router, except dial.
type routerLinks struct {
	set  *Set
	log  *slog.Logger
	poke func() // has the router look again
	list []VirtualLink
	// way is the device that advertisements leave by and are heard on.
	way string
	// group is joined for way by its parent too; invalid: there is none.
	group netip.Addr
	owned func() []VirtualAddress
	keep  atomic.Bool   // at the end: leave the interfaces
	gone  chan struct{} // closed at the end

	parents map[string]int // by name: index of the parent an interface was made on
	retry   time.Time      // not to be tried again before
	told    string         // the last error in the log
	joins   memberships
	unheard string // the last error of joins in the log
}

func newRouterLinks(s *Set, spec *RouterSpec, log *slog.Logger, poke func(), owned func() []VirtualAddress) *routerLinks {
	l := &routerLinks{set: s, log: log, poke: poke, list: spec.links(), way: spec.Config.Interface, gone: make(chan struct{}),
		owned: owned, parents: map[string]int{}, joins: memberships{s.nl, map[membership]int{}}}
	if l.way == "" {
		l.way = spec.VRF
	}
	if spec.Virtual != nil && !spec.OnBase {
		l.way = spec.Virtual.Name
		if len(spec.Config.Peers) == 0 {
			l.group = spec.Config.Group
		}
	}
	return l
}

func (l *routerLinks) dial(c *Config) (Conn, error) { return l.set.dial(c, l.way) }

// ensure makes what is missing: at the start, and after a parent was made anew
// or somebody has removed an interface.
func (l *routerLinks) ensure(ctx context.Context) {
	for _, v := range l.list {
		parent := l.set.links.Get(v.Parent)
		if !parent.Exists || l.parents[v.Name] == parent.Index && l.set.links.Get(v.Name).Exists || time.Now().Before(l.retry) {
			continue
		}
		if err := l.set.virtual.Ensure(v); err != nil {
			l.failed(err)
			continue
		}
		l.log.Info("interface of the virtual MAC is there", "virtual", v.Name, "parent", v.Parent, "mac", v.MAC)
		l.parents[v.Name], l.told = parent.Index, ""
		if parent.Up {
			l.await(ctx, v.Name)
		}
	}
	l.join()
}

// forward follows the role: it may be called from any goroutine.
func (l *routerLinks) forward(yes bool) {
	for _, v := range l.list {
		if err := l.set.virtual.Forward(v.Name, yes); err != nil {
			l.log.Warn("what is sent to the virtual MAC is not forwarded as the role asks", "err", err)
		}
	}
}

// join has the parents join what the interfaces have joined, who keep quiet
// about it.
func (l *routerLinks) join() {
	if len(l.list) == 0 {
		return
	}
	owned := l.owned()
	var want []membership
	for _, v := range l.list {
		parent := l.set.links.Get(v.Parent)
		if !parent.Exists {
			continue
		}
		if v.Name == l.way && l.group.IsValid() {
			want = append(want, membership{parent.Index, l.group})
		}
		for _, a := range owned {
			if a.Device == v.Name && a.Addr().Is6() {
				want = append(want, membership{parent.Index, solicitedNode(a.Addr())})
			}
		}
	}
	text := ""
	if err := l.joins.set(want); err != nil {
		text = err.Error()
	}
	if text != "" && text != l.unheard {
		l.log.Warn("switches may not hear of the groups of a virtual MAC", "err", text)
	}
	l.unheard = text
}

// failed tells an error once and comes back to it.
func (l *routerLinks) failed(err error) {
	if text := err.Error(); text != l.told {
		l.log.Error("no interface for the virtual MAC, trying again", "err", err)
		l.told = text
	}
	l.retry = time.Now().Add(linkRetry)
	time.AfterFunc(linkRetry, l.poke)
}

// await waits a little until the monitor knows that an interface is up, or the
// router would start with a fault.
func (l *routerLinks) await(ctx context.Context, name string) {
	up := make(chan struct{}, 1)
	stop := l.set.links.Watch(name, func(s LinkState) {
		if s.Up {
			select {
			case up <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	t := time.NewTimer(linkWithin)
	defer t.Stop()
	select {
	case <-up:
	case <-t.C:
	case <-ctx.Done():
	}
}

// remove is the end: the interfaces go, unless they are to be kept with their
// addresses.
func (l *routerLinks) remove() {
	defer close(l.gone)
	if l.keep.Load() {
		return
	}
	if err := l.joins.set(nil); err != nil {
		l.log.Warn("groups of a virtual MAC not left", "err", err)
	}
	for _, v := range l.list {
		if err := l.set.virtual.Remove(v.Name); err != nil {
			l.log.Error("interface of the virtual MAC not removed", "err", err)
		}
	}
}
