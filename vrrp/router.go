package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

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

	mu      sync.Mutex
	spec    RouterSpec
	group   *syncGroup // nil: none
	pending *Join      // role of the group, to be followed
	stops   []func()   // of watches

	denies bool // packets to the addresses, of the set's goroutine
	links  *routerLinks

	resume   uint8 // priority of the Master that goes on; 0: none
	primed   bool  // the gate was opened for addresses of an earlier life
	inherits bool  // these addresses are kept
}

func newRouter(s *Set, spec RouterSpec) *router {
	c := spec.Config
	log := s.log.With("instance", c.Name, "vrid", c.VRID, "interface", c.Interface)
	r := &router{set: s, log: log, spec: spec, wake: make(chan struct{}, 1), group: s.groupOf(c.Name),
		resume: s.resumes[c.Name], primed: s.left[c.Name]}
	r.owner = NewAddressOwner(s.nl, spec.Owned, log)
	r.setSurroundings(&spec)
	r.announce = NewAddressAnnouncer(s.sockets, r.owner)
	r.links = newRouterLinks(s, &spec, log, r.poke, r.owner.Addresses)
	r.notify = NewNotifier(NotifyInstance, c.Name, spec.Notify, s.wanted.FIFOs, script.Start, log)
	r.runner = newRunner(c, Shell{Dial: r.links.dial, Owner: gatedOwner{r.owner, r.owned}, Announcer: r.announce, Log: log, OnRole: r.roleChanged,
		OnLower: func(HeardLower) { r.notify.Notify(NotifyMasterRxLowerPri, r.effective()) }})
	r.watch()
	return r
}

func (r *router) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spec.Config.Name
}

// owned tells whether this router's addresses are this host's.
func (r *router) owned(ctx context.Context, yes bool) {
	r.links.forward(yes)
	r.set.onOwned(ctx, r.name(), yes)
}

func (r *router) effective() uint8 {
	var st RouterStatus
	st.AdvertsRefused = map[Refusal]uint64{}
	r.runner.fill(&st)
	return st.EffectivePriority
}

// poke has the router look at its trackers and its group again.
func (r *router) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// follow has the router take the role of its group.
func (r *router) follow(to Join) {
	r.mu.Lock()
	r.pending = &to
	r.mu.Unlock()
	r.poke()
}

func (r *router) roleChanged(c RoleChanged) {
	if state, ok := NotifyStateOf(c.To); ok {
		r.notify.Notify(state, c.Priority)
	}
	r.mu.Lock()
	name, group := r.spec.Config.Name, r.group
	r.mu.Unlock()
	r.set.onRole(name, c.To)
	if group == nil {
		return
	}
	if members, to := group.changed(name, c); len(members) > 0 {
		go r.set.join(members, to) // the set may be waiting for this runner
	}
}

// run joins the trackers and feeds the machine until the runner ends.
func (r *router) run(ctx context.Context) {
	defer r.links.remove()
	r.clean(ctx)
	r.links.ensure(ctx)
	go r.runner.run(ctx)
	var unjudged <-chan time.Time
	if r.inherits {
		r.runner.tell(Inherit{})
		unjudged = time.After(masterDown(&r.spec.Config))
	}
	lost, stopLost := r.set.links.AddressLost()
	defer stopLost()
	other := newElsewhere()
	defer other.ticker.Stop()
	last, started := Conditions{}, false
	index := 0
	for {
		other.set(r.elsewhereEvery())
		own := r.set.links.Get(r.device())
		r.links.ensure(ctx)
		way := r.set.links.Get(r.links.way)
		if index != 0 && way.Exists && way.Index != index {
			r.runner.reopen()
		}
		if way.Exists {
			index = way.Index
		}
		cond, ready := r.conditions(own)
		if !ready && !started && r.resume != 0 {
			cond.Priority, ready = r.resume, true
		}
		if ready && (!started || cond != last) {
			r.tellConditions(cond, last, started)
			last, started = cond, true
		}
		if to := r.takePending(); to != nil {
			r.runner.tell(*to)
		}
		select {
		case <-r.wake:
		case <-lost:
			r.restore(ctx)
		case <-other.ticker.C:
			r.announceElsewhere(ctx)
		case <-unjudged:
			if !started { // trackers that say nothing must not hold addresses for ever
				r.runner.tell(Shutdown{})
			}
		case <-r.runner.done:
			return
		}
	}
}

func (r *router) tellConditions(cond, last Conditions, started bool) {
	r.runner.tell(cond)
	if !started {
		r.runner.tell(Startup{Resume: r.resume != 0})
		return
	}
	r.mu.Lock()
	notify := r.spec.NotifyPriority
	r.mu.Unlock()
	if notify && cond.Priority != last.Priority {
		state := NotifyBackupPriority
		if r.runner.role() == Master {
			state = NotifyMasterPriority
		}
		r.notify.Notify(state, cond.Priority)
	}
}

func (r *router) takePending() *Join {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.pending
	r.pending = nil
	return to
}

func (r *router) device() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spec.Config.Interface
}

func (r *router) restore(ctx context.Context) {
	added, err := r.owner.Restore(ctx, r.set.links.HasAddress)
	if err != nil {
		r.log.Error("virtual address not restored", "err", err)
	}
	r.announceNew(ctx, added)
}

// conditions joins all trackers and the group; ready is false while one of
// them has not spoken yet.
func (r *router) conditions(own LinkState) (c Conditions, ready bool) {
	r.mu.Lock()
	spec, group := r.spec, r.group
	r.mu.Unlock()
	c, ready = judge(&spec, own, r.set.links.Get, r.set.links.HasIP, r.set.trackers.Effect)
	for _, g := range spec.TrackGroups {
		if missing := r.set.around.fault(g); missing != "" && c.Fault == "" {
			c.Fault = fmt.Sprintf("track_group %s: %s", g, missing)
		}
	}
	if group != nil && ready {
		if group.setFault(spec.Config.Name, c.Fault) {
			go r.set.wakeMembers(group)
		}
		if c.Fault == "" {
			c.Fault = group.faultOf(spec.Config.Name)
		}
	}
	return c, ready
}

func (r *router) watch() {
	r.mu.Lock()
	stops := r.stops
	r.stops = nil
	spec := r.spec
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	stops = []func(){r.set.links.Watch(spec.Config.Interface, func(LinkState) { r.poke() })}
	if spec.VRF != "" {
		stops = append(stops, r.set.links.Watch(spec.VRF, func(LinkState) { r.poke() }))
	}
	if spec.tracksSource() {
		stops = append(stops, r.set.links.WatchIP(spec.speaker(), spec.Source, r.poke))
	}
	for _, l := range r.links.list {
		stops = append(stops, r.set.links.Watch(l.Name, func(LinkState) { r.poke() }))
	}
	for _, t := range spec.TrackInterfaces {
		stops = append(stops, r.set.links.Watch(t.Name, func(LinkState) { r.poke() }))
	}
	for _, list := range spec.tracked() {
		for _, t := range list.refs {
			stops = append(stops, r.set.trackers.Watch(list.kind, t.Name, r.poke))
		}
	}
	r.mu.Lock()
	r.stops = stops
	r.mu.Unlock()
}

// update takes a new configuration of the same identity.
func (r *router) update(spec RouterSpec, group *syncGroup) {
	r.mu.Lock()
	renamed := r.spec.Config.Name != spec.Config.Name
	r.spec, r.group = spec, group
	r.mu.Unlock()
	if renamed && r.runner.role() == Master {
		r.owned(context.Background(), true)
	}
	r.notify.Configure(spec.Config.Name, spec.Notify, r.set.wanted.FIFOs)
	r.runner.tell(Reconfigure{spec.Config})
	added, err := r.owner.SetAddresses(context.Background(), spec.Owned)
	if err != nil {
		r.log.Error("virtual addresses did not follow the reload", "err", err)
	}
	r.setSurroundings(&spec)
	r.announceNew(context.Background(), added)
	r.watch()
	r.poke()
}

// announceNew tells the link of addresses that came while we are Master.
func (r *router) announceNew(ctx context.Context, added []VirtualAddress) {
	if len(added) == 0 {
		return
	}
	r.mu.Lock()
	rounds := r.spec.Config.Announce.MasterRepeat
	r.mu.Unlock()
	if err := r.announce.AnnounceOnly(ctx, added, rounds); err != nil {
		r.log.Warn("new virtual addresses not announced", "err", err)
	}
}

// setSurroundings gives the owner what goes with the addresses: routes, rules
// and the filter of a router that does not accept.
func (r *router) setSurroundings(spec *RouterSpec) {
	if err := r.owner.SetRouting(context.Background(), spec.Routing); err != nil {
		r.log.Error("virtual routes and rules did not follow the configuration", "err", err)
	}
	deny := spec.NoAccept && spec.Config.Priority != 255
	if deny == r.denies {
		return
	}
	var filter *AcceptFilter
	if deny {
		var err error
		if filter, err = r.set.around.acceptFilter(); err != nil {
			r.log.Error("no_accept is without effect", "err", err)
			return
		}
	}
	if err := r.owner.SetAcceptFilter(filter); err != nil {
		r.log.Error("filter of a router that does not accept not set", "err", err)
	}
	r.denies = deny
}

// repeatState tells the FIFOs the role again.
func (r *router) repeatState() {
	if state, ok := NotifyStateOf(r.runner.role()); ok {
		r.notify.Repeat(state, r.effective())
	}
}

// leave ends the router and waits for it.
func (r *router) leave(why NotifyState, keep bool) {
	r.links.keep.Store(keep)
	r.runner.stop <- keep
	<-r.runner.done
	<-r.links.gone
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
