package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/xvip-lb/xvip/internal/script"
)

// router is one virtual router of the set: its runner, its owner of addresses,
// its notifier, and the goroutine that joins its trackers.
type router struct {
	set      *Set
	log      *slog.Logger
	runner   *runner
	owner    *AddressOwner
	announce *AddressAnnouncer
	notify   *Notifier
	wake     chan struct{}

	mu       sync.Mutex
	spec     RouterSpec
	trackers map[string]*ScriptTracker
	stops    []func() // of watches
}

func newRouter(s *Set, spec RouterSpec) *router {
	c := spec.Config
	log := s.log.With("instance", c.Name, "vrid", c.VRID, "interface", c.Interface)
	r := &router{set: s, log: log, spec: spec, wake: make(chan struct{}, 1)}
	r.owner = NewAddressOwner(s.nl, spec.Owned, log)
	r.announce = NewAddressAnnouncer(s.sockets, r.owner)
	r.notify = NewNotifier(NotifyInstance, c.Name, spec.Notify, nil, script.Start, log)
	r.runner = newRunner(c, Shell{
		Dial:  func(ctx context.Context) (Conn, error) { return DialMulticast(ctx, c.Interface, spec.Group) },
		Owner: r.owner, Announcer: r.announce, Log: log, OnRole: r.roleChanged,
	})
	r.watch(s.trackers())
	return r
}

func (r *router) roleChanged(c RoleChanged) {
	if state, ok := NotifyStateOf(c.To); ok {
		r.notify.Notify(state, c.Priority)
	}
	r.mu.Lock()
	name := r.spec.Config.Name
	r.mu.Unlock()
	r.set.onRole(name, c.To)
}

// run joins the trackers and feeds the machine until the runner ends.
func (r *router) run(ctx context.Context) {
	if left, err := r.owner.Leftovers(); err != nil {
		r.log.Warn("addresses of an earlier life not looked for", "err", err)
	} else if len(left) > 0 {
		r.log.Warn("removing addresses of an earlier life", "addresses", fmt.Sprint(left))
		if err := r.owner.Release(ctx); err != nil {
			r.log.Error("addresses of an earlier life not removed", "err", err)
		}
	}
	go func() { _ = r.notify.Run(context.WithoutCancel(ctx)) }()
	go r.runner.run(ctx)
	started := false
	lost, stopLost := r.set.links.AddressLost()
	defer stopLost()
	var last Conditions
	for {
		cond, ready := r.conditions()
		if ready && (!started || cond != last) {
			r.runner.tell(cond)
			last = cond
			if !started {
				started = true
				r.runner.tell(Startup{})
			}
		}
		select {
		case <-r.wake:
		case <-lost:
			if _, err := r.owner.Restore(ctx, r.set.links.HasAddress); err != nil {
				r.log.Error("virtual address not restored", "err", err)
			}
		case <-r.runner.done:
			return
		}
	}
}

// conditions joins all trackers; ready is false while one of them has not
// spoken yet.
func (r *router) conditions() (c Conditions, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.set.links.Get(r.spec.Config.Interface)
	c.Source = r.spec.Source
	if !c.Source.IsValid() {
		c.Source = own.Primary4
	}
	var fault []string
	switch {
	case r.spec.TrackPrimary && !own.Exists:
		fault = append(fault, fmt.Sprintf("interface %s does not exist", own.Name))
	case r.spec.TrackPrimary && !own.Up:
		fault = append(fault, fmt.Sprintf("interface %s is down", own.Name))
	case !c.Source.IsValid():
		fault = append(fault, fmt.Sprintf("interface %s has no IPv4 address", own.Name))
	}
	delta := 0
	effect := func(what, name string, st TrackState, t TrackRef) {
		d, f := TrackEffect(st, t.Weight, t.Reverse)
		delta += d
		if f {
			fault = append(fault, fmt.Sprintf("%s %s is %s", what, name, st))
		}
	}
	for _, t := range r.spec.TrackInterfaces {
		effect("interface", t.Name, trackStateOf(r.set.links.Get(t.Name).Up), t)
	}
	for _, t := range r.spec.TrackScripts {
		tracker := r.trackers[t.Name]
		if tracker == nil {
			continue
		}
		if tracker.State() == TrackUnknown {
			return c, false
		}
		effect("script", t.Name, tracker.State(), t)
	}
	if len(fault) > 0 {
		c.Fault = fault[0]
	}
	c.Priority = EffectivePriority(r.spec.Config.Priority, delta)
	return c, true
}

func (r *router) watch(trackers map[string]*ScriptTracker) {
	wake := func() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.mu.Lock()
	stops := r.stops
	r.stops, r.trackers = nil, trackers
	spec := r.spec
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	stops = []func(){r.set.links.Watch(spec.Config.Interface, func(LinkState) { wake() })}
	for _, t := range spec.TrackInterfaces {
		stops = append(stops, r.set.links.Watch(t.Name, func(LinkState) { wake() }))
	}
	for _, t := range spec.TrackScripts {
		if tr := trackers[t.Name]; tr != nil {
			stops = append(stops, tr.Watch(func(TrackState) { wake() }))
		}
	}
	r.mu.Lock()
	r.stops = stops
	r.mu.Unlock()
}

// update takes a new configuration of the same identity.
func (r *router) update(spec RouterSpec, trackers map[string]*ScriptTracker) {
	r.mu.Lock()
	r.spec = spec
	r.mu.Unlock()
	r.runner.configure(spec.Config)
	added, err := r.owner.SetAddresses(context.Background(), spec.Owned)
	if err != nil {
		r.log.Error("virtual addresses did not follow the reload", "err", err)
	}
	if len(added) > 0 {
		if err := r.announce.AnnounceOnly(context.Background(), added, spec.Config.Announce.MasterRepeat); err != nil {
			r.log.Warn("new virtual addresses not announced", "err", err)
		}
	}
	r.watch(trackers)
}

// leave ends the router and waits for it.
func (r *router) leave(why NotifyState, keep bool) {
	r.runner.stop <- keep
	<-r.runner.done
	r.mu.Lock()
	stops, priority := r.stops, r.spec.Config.Priority
	r.stops = nil
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	r.notify.Notify(why, priority)
	r.notify.Finish()
}

func (r *router) status() RouterStatus {
	r.mu.Lock()
	spec := r.spec
	r.mu.Unlock()
	st := RouterStatus{Name: spec.Config.Name, Interface: spec.Config.Interface, VRID: spec.Config.VRID, Family: spec.Config.Family,
		Version: spec.Config.Version, Priority: spec.Config.Priority, AdvertsRefused: map[Refusal]uint64{}}
	for _, a := range spec.Owned {
		st.Addresses = append(st.Addresses, a.Prefix)
	}
	r.runner.fill(&st)
	return st
}
