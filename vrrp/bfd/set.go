package bfd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Set runs the sessions of a configuration.
type Set struct {
	log *slog.Logger
	// enter runs a function where the sockets belong, in a network namespace.
	enter func(func() error) error

	mu        sync.Mutex
	ctx       context.Context // nil before Run
	wanted    []Config
	sessions  map[string]*runner
	listeners map[listenKey]context.CancelFunc
	tasks     sync.WaitGroup
	watchers  map[int]watcher
	nextID    int
	refused   [refusals]uint64 // of packets that belong to no session
}

type watcher struct {
	name string
	fn   func(up bool)
}

// Status is one session for people and metrics.
type Status struct {
	Name        string
	Neighbor    netip.Addr
	State       State
	RemoteState State
	Diagnostic  Diagnostic // ours
	Since       time.Time  // last change of state
	Detection   time.Duration
	Interval    time.Duration // of our packets, before jitter
	Sent        uint64
	Received    uint64
	Transitions uint64
	Refused     map[string]uint64 // by reason
}

// NewSet prepares a set without sessions. enter may be nil: the sockets are
// opened where the process is.
func NewSet(log *slog.Logger, enter func(func() error) error) *Set {
	if enter == nil {
		enter = func(fn func() error) error { return fn() }
	}
	return &Set{log: log, enter: enter, sessions: map[string]*runner{}, listeners: map[listenKey]context.CancelFunc{}, watchers: map[int]watcher{}}
}

// Run runs the sessions until ctx ends; then it tells the neighbors.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.reconcile()
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.wanted = nil
	s.reconcile()
	s.mu.Unlock()
	s.tasks.Wait()
	return nil
}

// Update makes the set run exactly these sessions. Those whose configuration is
// the same go on.
func (s *Set) Update(cfgs []Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = slices.Clone(cfgs)
	if s.ctx != nil && s.ctx.Err() == nil {
		s.reconcile()
	}
}

// reconcile is called with the lock held.
func (s *Set) reconcile() {
	want := map[string]Config{}
	listen := map[listenKey]bool{}
	for _, c := range s.wanted {
		want[c.Name] = c
		listen[listenKeyOf(&c)] = true
	}
	for name, r := range s.sessions {
		if c, ok := want[name]; !ok || c != r.cfg {
			delete(s.sessions, name)
			r.stop()
			s.tell(name, false)
		}
	}
	for key, stop := range s.listeners {
		if !listen[key] {
			delete(s.listeners, key)
			stop()
		}
	}
	for key := range listen {
		if s.listeners[key] == nil {
			ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
			s.listeners[key] = cancel
			s.tasks.Go(func() { s.listen(ctx, key) })
		}
	}
	for name, c := range want {
		if s.sessions[name] == nil {
			r := newRunner(s, c, s.discriminator())
			s.sessions[name] = r
			s.tasks.Go(r.run)
		}
	}
}

// discriminator gives a number that no session has.
func (s *Set) discriminator() uint32 {
	for {
		n := rand.Uint32()
		if n != 0 && s.byDiscriminator(n) == nil {
			return n
		}
	}
}

func (s *Set) byDiscriminator(n uint32) *runner {
	for _, r := range s.sessions {
		if r.discriminator == n {
			return r
		}
	}
	return nil
}

// Watch calls fn with whether a session is Up, now and after each change, until
// stop is called. A session that does not exist is not Up; it may come later.
// fn runs with a lock held: it must return at once and call nothing of the set.
func (s *Set) Watch(name string, fn func(up bool)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextID
	s.nextID++
	s.watchers[id] = watcher{name, fn}
	fn(s.sessions[name] != nil && s.sessions[name].state() == Up)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}
}

// tell is called with the lock held.
func (s *Set) tell(name string, up bool) {
	for _, w := range s.watchers {
		if w.name == name {
			w.fn(up)
		}
	}
}

// changed tells the state of a runner, unless it has been replaced.
func (s *Set) changed(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[r.cfg.Name] == r {
		s.tell(r.cfg.Name, r.state() == Up)
	}
}

// Known tells whether a session is Up, and whether that says something about
// the neighbor: not while a session that has just been made has not been Up, for
// five of its idle intervals.
func (s *Set) Known(name string) (up, known bool) {
	s.mu.Lock()
	r := s.sessions[name]
	s.mu.Unlock()
	if r == nil {
		return false, false
	}
	return r.known(time.Now())
}

// Status gives the state of every session in the order of the configuration.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Status
	for _, c := range s.wanted {
		if r := s.sessions[c.Name]; r != nil {
			out = append(out, r.status())
		}
	}
	return out
}

// Refused counts the packets that belong to no session, by reason.
func (s *Set) Refused() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return byReason(&s.refused)
}

func byReason(counts *[refusals]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for why := Accepted + 1; why < refusals; why++ {
		out[why.String()] = counts[why]
	}
	return out
}

// deliver hands a received packet to its session (RFC 5880 section 6.8.6): by
// our discriminator, and while the neighbor does not know it by the address.
func (s *Set) deliver(from netip.Addr, ttl int, multihop bool, b []byte) {
	p, why := Parse(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if why != Accepted {
		s.refuse(s.byNeighbor(from, multihop), why)
		return
	}
	r := s.byNeighbor(from, multihop)
	if p.Your != 0 {
		r = s.byDiscriminator(p.Your)
	}
	switch {
	case r == nil || r.cfg.Multihop != multihop || r.cfg.Neighbor.WithZone("") != from:
		s.refuse(nil, RefusedUnknown)
	case ttl < int(r.cfg.MinTTL):
		s.refuse(r, RefusedTTL)
	default:
		r.hand(p)
	}
}

func (s *Set) byNeighbor(from netip.Addr, multihop bool) *runner {
	for _, r := range s.sessions {
		if r.cfg.Neighbor.WithZone("") == from && r.cfg.Multihop == multihop {
			return r
		}
	}
	return nil
}

func (s *Set) refuse(r *runner, why Refusal) {
	if r == nil {
		s.refused[why]++
		return
	}
	r.refuse(why)
}
