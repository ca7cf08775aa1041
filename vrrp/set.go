package vrrp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// TrackRef is one tracked object of a virtual router.
type TrackRef struct {
	Name    string
	Weight  int
	Reverse bool
}

// RouterSpec is one wanted virtual router with all that surrounds its election.
type RouterSpec struct {
	Config          Config
	Owned           []VirtualAddress // advertised and excluded ones
	Source          netip.Addr       // invalid: the primary address of the interface
	TrackPrimary    bool             // a fault of the own interface is one of the router
	TrackSource     bool             // so is a Source that the interface does not carry
	NoPeer          bool             // unicast is wanted, to nobody: a fault
	TrackInterfaces []TrackRef
	TrackScripts    []TrackRef
	TrackFiles      []TrackRef
	TrackProcesses  []TrackRef
	TrackBFDs       []TrackRef
	TrackGroups     []string // of static addresses, routes and rules
	Routing         Routing  // while Master
	// NoAccept drops packets to the addresses; an owner, with priority 255,
	// accepts them all the same.
	NoAccept bool
	// PromoteSecondaries sets the kernel's promote_secondaries of the interface.
	PromoteSecondaries bool
	Notify             NotifyScripts
	AnnounceElsewhere  AnnounceElsewhere
	// NotifyPriority tells the FIFO of changes of the priority.
	NotifyPriority bool
	// Virtual is the interface of the virtual MAC, whose parent is
	// Config.Interface; nil: none. Advertisements leave by it and are heard on
	// it, or with OnBase by the parent (vmac_xmit_base).
	Virtual *VirtualLink
	OnBase  bool
	// VRF is the device to send by and to hear on when Config.Interface is
	// empty, which only unicast may have; empty: by the routes.
	VRF string
	// Extra are further such interfaces, for addresses on other parents.
	Extra []VirtualLink
}

// identity is what makes a router the same one over a reload, as keepalived
// has it: the name does not matter.
type identity struct {
	vrid   uint8
	family uint8
	device string
	group  netip.Addr // multicast
	source netip.Addr // unicast
	links  string     // interfaces of virtual MACs, and what passes them
	vrf    string
}

func (s *RouterSpec) identity() identity {
	id := identity{vrid: s.Config.VRID, family: s.Config.Family, device: s.Config.Interface, links: s.linkIdentity(), vrf: s.VRF}
	if len(s.Config.Peers) > 0 {
		id.source = s.Source
	} else {
		id.group = s.Config.Group
	}
	return id
}

// Wanted is everything the set should run.
type Wanted struct {
	Routers   []RouterSpec
	Scripts   []TrackScript
	Files     []TrackFile
	Processes []TrackProcess
	BFDs      []string // sessions that routers track
	BFD       Sessions // that runs them
	Groups    []GroupSpec
	FIFOs     []LineWriter // that hear of every change
	// Announcements are at least so far apart on one interface; Paces are those
	// of interfaces that share a limit.
	GARPInterval, GNAInterval time.Duration
	Paces                     []Pace
	LinkDelays                map[string]LinkDelays // by interface
	Linkbeat                  map[string]string     // interfaces to be polled, with the preferred way
	// Static is there while the set runs.
	Static        []VirtualAddress
	StaticRouting Routing
	// Problems are parts of the configuration that cannot act, for the log.
	Problems []error
	// LogUnknown tells of virtual routers on the link that are not configured.
	LogUnknown bool
	// Filter is where packets to the addresses of routers that do not accept
	// are dropped.
	Filter AcceptTable
	// NoLocalIGMP keeps the kernel from reporting groups of 224.0.0.0/24.
	NoLocalIGMP bool
	// TellStates writes all states to the FIFOs again on an Update.
	TellStates bool
}

// RouterStatus is the state of one virtual router.
type RouterStatus struct {
	Name              string
	Interface         string
	VRID              uint8
	Family            uint8
	Version           uint8
	Role              Role
	Reason            string // of the last change of role
	Since             time.Time
	Priority          uint8
	EffectivePriority uint8
	Master            netip.Addr // invalid: nobody is heard
	Addresses         []netip.Prefix
	Transitions       uint64
	AdvertsSent       uint64
	AdvertsReceived   uint64
	AdvertsRefused    map[Refusal]uint64
}

// Set runs all virtual routers of the daemon.
type Set struct {
	log     *slog.Logger
	nl      *Netlink
	links   *LinkMonitor
	sockets *AnnounceSockets
	virtual *VirtualLinks
	onRole  func(name string, role Role)
	onOwned func(ctx context.Context, name string, owned bool)

	unknown  *strangers
	hubs     *hubs
	trackers *Trackers
	around   *surroundings
	routes   *routeMonitor

	mu           sync.Mutex
	ctx          context.Context // nil before Run
	trackCtx     context.Context
	stopTrackers context.CancelFunc
	wanted       Wanted
	routers      map[identity]*router
	groups       []*syncGroup
	tasks        sync.WaitGroup
	left         map[string]bool  // routers that find all their addresses
	resumes      map[string]uint8 // priorities of Masters that go on
}

// NewSet opens netlink and reads the links. onRole hears of every change of
// role, from the goroutine of the router; it must not block. onOwned is called
// before a router takes its addresses and after it has released them; it may
// wait a little until packets are treated so. Either may be nil.
func NewSet(log *slog.Logger, onRole func(name string, role Role), onOwned func(ctx context.Context, name string, owned bool)) (*Set, error) {
	if onRole == nil {
		onRole = func(string, Role) {}
	}
	if onOwned == nil {
		onOwned = func(context.Context, string, bool) {}
	}
	nl, err := OpenNetlink()
	if err != nil {
		return nil, err
	}
	links, err := NewLinkMonitor(nl, log)
	if err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	unknown := &strangers{log: log}
	s := &Set{log: log, nl: nl, unknown: unknown, links: links, sockets: NewAnnounceSockets(nl, links),
		virtual: NewVirtualLinks(nl, log), onRole: onRole, onOwned: onOwned,
		hubs: newHubs(unknown), trackers: NewTrackers(script.Run, log), routers: map[identity]*router{}, stopTrackers: func() {}}
	s.around = newSurroundings(nl, log, s.wakeAll)
	s.routes = newRouteMonitor(nl, log, links.LookAgain)
	return s, nil
}

// Run runs the routers until Stop and ctx end.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.trackCtx, s.stopTrackers = context.WithCancel(ctx)
	s.reconcile()
	s.tasks.Go(func() { s.around.guard(ctx, s.links) })
	s.tasks.Go(func() { s.routes.run(ctx) })
	s.mu.Unlock()
	err := s.links.Run(ctx)
	s.finishNotices()
	s.tasks.Wait()
	s.trackers.Wait()
	return errors.Join(err, s.around.close(), s.sockets.Close(), s.nl.Close())
}

// Update makes the set run exactly what is wanted. Routers that keep their
// identity keep role and timers.
func (s *Set) Update(w Wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = w
	for _, err := range w.Problems {
		s.log.Error("a part of the configuration has no effect", "err", err)
	}
	var virtual []netip.Addr
	for _, r := range w.Routers {
		for _, a := range r.Owned {
			virtual = append(virtual, a.Addr())
		}
	}
	s.links.SetVirtual(virtual)
	s.links.SetDelays(w.LinkDelays)
	s.links.SetLinkbeat(w.Linkbeat)
	s.sockets.SetPaces(w.GARPInterval, w.GNAInterval, w.Paces)
	if s.ctx == nil {
		return
	}
	s.reconcile()
	if w.TellStates {
		for _, r := range s.routers {
			r.repeatState()
		}
		for _, g := range s.groups {
			g.repeatState()
		}
	}
}

// finishNotices lets the notifiers of routers and groups that nobody has
// stopped end.
func (s *Set) finishNotices() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routers {
		r.notify.Finish()
	}
	for _, g := range s.groups {
		g.notify.Finish()
	}
}

func (s *Set) reconcile() {
	if s.unknown.update(s.wanted.LogUnknown, s.wanted.Routers) {
		if err := s.hubs.refit(); err != nil {
			s.log.Error("advertisements of unknown virtual routers are not told", "err", err)
		}
	}
	s.around.update(s.ctx, &s.wanted)
	s.routes.set(s.wanted.routing())
	if err := s.trackers.Update(s.trackCtx, TrackWanted{s.wanted.Scripts, s.wanted.Files, s.wanted.Processes, s.wanted.BFDs, s.wanted.BFD, len(s.resumes) > 0}); err != nil {
		s.log.Error("some trackers do not run and change nothing", "err", err)
	}
	s.updateGroups()
	var gone sync.WaitGroup
	want := map[identity]*RouterSpec{}
	for i := range s.wanted.Routers {
		want[s.wanted.Routers[i].identity()] = &s.wanted.Routers[i]
	}
	for id, r := range s.routers {
		if want[id] == nil {
			delete(s.routers, id)
			gone.Go(func() { r.leave(NotifyDeleted, false) }) // each may wait for its successor
		}
	}
	gone.Wait()
	for _, spec := range s.wanted.Routers {
		if r := s.routers[spec.identity()]; r != nil {
			r.update(spec, s.groupOf(spec.Config.Name))
			continue
		}
		r := newRouter(s, spec)
		s.routers[spec.identity()] = r
		s.tasks.Go(func() { _ = r.notify.Run(context.WithoutCancel(s.ctx)) })
		s.tasks.Go(func() { r.run(s.ctx) })
	}
}

// dial opens a socket on a device, where the interfaces are.
func (s *Set) dial(c *Config, device string) (conn Conn, err error) {
	err = s.nl.Do(func() error {
		conn, err = s.hubs.open(c, device)
		return err
	})
	return conn, err
}

// join brings virtual routers to the role of their group. It does not wait for
// them.
func (s *Set) join(names []string, to Join) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routers {
		if slices.Contains(names, r.name()) {
			r.follow(to)
		}
	}
}

// wakeAll has all routers look at what they track.
func (s *Set) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routers {
		r.poke()
	}
}

// routing is all routes and rules.
func (w *Wanted) routing() []Routing {
	all := []Routing{w.StaticRouting}
	for i := range w.Routers {
		all = append(all, w.Routers[i].Routing)
	}
	return all
}

// wakeMembers has the members of a group look at its faults again.
func (s *Set) wakeMembers(g *syncGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routers {
		if slices.Contains(g.spec.Members, r.name()) {
			r.poke()
		}
	}
}

// Stop leaves every election: priority 0 once, addresses removed unless keep.
// It returns when all routers have ended; Run waits for the scripts that this
// starts.
func (s *Set) Stop(keep bool) {
	s.mu.Lock()
	all := make([]*router, 0, len(s.routers))
	for _, r := range s.routers {
		all = append(all, r)
	}
	s.routers = map[identity]*router{}
	s.stopTrackers()
	groups := s.groups
	s.groups = nil
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() { r.leave(NotifyStop, keep) })
	}
	wg.Wait()
	for _, g := range groups {
		g.notify.Notify(NotifyStop, 0)
		g.notify.Finish()
	}
}

// Status gives the state of every router in the order of the configuration.
func (s *Set) Status() []RouterStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []RouterStatus
	for i := range s.wanted.Routers {
		if r := s.routers[s.wanted.Routers[i].identity()]; r != nil {
			out = append(out, r.status())
		}
	}
	return out
}
