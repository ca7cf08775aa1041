package health

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// ServerID names one real server of one virtual service, in the keys of the
// caller.
type ServerID struct {
	Service string // key of the virtual service
	Server  string // key of the real server inside the service
}

// ID names one checker of one real server.
type ID struct {
	ServerID
	Index int // position among the checkers of the server
}

// Spec is one wanted checker.
type Spec struct {
	ID ID
	// Fingerprint is equal for two specs exactly if their checkers and their
	// timing are configured alike; a checker that keeps it over an Update
	// keeps its state and its counts.
	Fingerprint string
	Checker     Checker
	Timing      Timing
	LogFailures bool // log every failed probe, not only the transitions
}

// Transition is a change that a real server's traffic may depend on: a checker
// went up or down, or asks for another weight.
type Transition struct {
	ID            ID
	Checker       string // Checker.String
	Up            bool   // of this checker
	Result        Result // the probe that decided it
	At            time.Time
	Server        ServerState // the real server after the transition
	ServerChanged bool        // the real server went up or down
}

// ServerState joins all checkers of one real server.
type ServerState struct {
	Up     bool   // every checker is up; also true without any checker
	Reason string // of the first checker that is down; empty when up
	Weight int    // sum of the offsets the checkers ask for
}

// Status is what is known of one checker.
type Status struct {
	ID          ID
	Checker     string // Checker.String
	Up          bool
	Suspended   bool
	Result      Result        // of the last probe; zero before the first
	LastCheck   time.Time     // end of the last probe; zero before the first
	LastChange  time.Time     // last transition, or the start
	Duration    time.Duration // of the last probe
	Spent       time.Duration // in all probes together
	Checks      uint64        // probes, of any result
	Failures    uint64        // probes that failed
	NotMade     uint64        // probes that were Inconclusive
	Transitions uint64        // changes of Up
	Weight      int           // offset asked for by the last probe that passed
}

// Set holds the monitors of all real servers. Its methods may be called by
// several goroutines.
type Set struct {
	log  *slog.Logger
	rand func() float64 // in [0,1)

	callback sync.Mutex // held while onTransition runs; never taken under mu

	mu           sync.Mutex
	ctx          context.Context // nil before Run
	stopped      bool            // Run is over: nothing starts any more
	running      sync.WaitGroup
	loaded       bool // Update was called
	entries      map[ID]*entry
	servers      map[ServerID][]*entry // the same, by server and index
	suspended    map[string]bool       // by service
	complained   time.Time             // when a probe that was not possible was last logged
	onTransition func(Transition)
	pending      []Transition // in order, not yet delivered
}

// SetOption changes how a Set works.
type SetOption func(*Set)

// WithRand sets the source of random numbers in [0,1) that spreads the first
// probes; many goroutines call it at once. The default is math/rand/v2.
func WithRand(f func() float64) SetOption { return func(s *Set) { s.rand = f } }

// WithLogger sets the logger; the default is slog.Default.
func WithLogger(l *slog.Logger) SetOption { return func(s *Set) { s.log = l } }

// NewSet returns an empty Set, which does nothing before Run.
func NewSet(options ...SetOption) *Set {
	s := &Set{
		log: slog.Default(), rand: rand.Float64,
		entries: map[ID]*entry{}, suspended: map[string]bool{},
	}
	for _, o := range options {
		o(s)
	}
	return s
}

// OnTransition sets the function that hears of every transition, in order and
// one at a time, from the goroutine of a monitor. It may call any method of
// the Set. It must be set before Run and should not block: the probes of the
// checker whose transition it is wait for it.
func (s *Set) OnTransition(f func(Transition)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onTransition = f
}

// Run probes until ctx ends and returns nil when the last probe has stopped.
// It is called once.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.ctx != nil {
		s.mu.Unlock()
		panic("health: Set.Run called twice")
	}
	s.ctx = ctx
	for _, e := range s.entries {
		s.launch(e)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// Suspend stops (or, with false, resumes) the checks of one virtual service,
// as ha_suspend does for a service whose address is elsewhere. It holds for
// checkers that come later too. States stay as they are; after a resume the
// first probe comes within Warmup.
func (s *Set) Suspend(service string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suspended[service] == on {
		return
	}
	delete(s.suspended, service)
	if on {
		s.suspended[service] = true
	}
	for _, e := range s.entries {
		if e.spec.ID.Service == service {
			e.status.Suspended = on
			e.monitor.suspend(on)
		}
	}
}

// Snapshot returns the status of every checker, ordered by ID.
func (s *Set) Snapshot() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Status, 0, len(s.entries))
	for _, e := range s.sorted() {
		list = append(list, e.status)
	}
	return list
}

// Servers returns the state of every real server that has a checker.
func (s *Set) Servers() map[ServerID]ServerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[ServerID]ServerState, len(s.servers))
	for id := range s.servers {
		m[id] = s.server(id)
	}
	return m
}

// add joins one more checker.
func (st *ServerState) add(c Status) {
	if !c.Up && st.Up {
		st.Up = false
		st.Reason = cmp.Or(c.Result.Reason, "no check has passed yet")
		if c.Result.OK {
			st.Reason = "coming up: " + c.Result.Reason + ", other urls have yet to pass"
		}
	}
	st.Weight += c.Weight
}

// server joins the checkers of one real server.
func (s *Set) server(id ServerID) ServerState {
	st := ServerState{Up: true}
	for _, e := range s.servers[id] {
		st.add(e.status)
	}
	return st
}

// report records what a monitor found and tells the listener.
func (s *Set) report(e *entry, r report) {
	s.mu.Lock()
	if s.entries[e.spec.ID] != e {
		s.mu.Unlock()
		return // removed while it probed
	}
	before := s.server(e.spec.ID.ServerID)
	e.record(r)
	after := s.server(e.spec.ID.ServerID)
	s.logResult(e, r)
	news := r.changed || after.Weight != before.Weight
	if news {
		s.pending = append(s.pending, Transition{
			ID: e.spec.ID, Checker: e.status.Checker, Up: r.up, Result: r.result, At: r.at,
			Server: after, ServerChanged: before.Up != after.Up,
		})
	}
	s.mu.Unlock()
	if news {
		s.deliver()
	}
}

// record counts one probe.
func (e *entry) record(r report) {
	st := &e.status
	st.Up, st.Result, st.LastCheck, st.Duration = r.up, r.result, r.at, r.duration
	st.Spent += r.duration
	st.Checks++
	switch {
	case r.result.OK && r.result.HasWeight:
		st.Weight = r.result.Weight
	case r.result.OK:
		st.Weight = 0
	case r.result.Inconclusive:
		st.NotMade++
	default:
		st.Failures++
	}
	if r.changed {
		st.LastChange = r.at
		st.Transitions++
	}
}

// complainEvery keeps a host that is out of descriptors from a line in the log
// for every probe of every checker.
const complainEvery = 10 * time.Second

func (s *Set) logResult(e *entry, r report) {
	attrs := []any{"service", e.spec.ID.Service, "real_server", e.spec.ID.Server,
		"checker", e.status.Checker, "reason", r.result.Reason}
	switch {
	case r.changed && r.up:
		s.log.Info("checker up", attrs...)
	case r.changed:
		s.log.Warn("checker down", attrs...)
	case r.result.Inconclusive && r.at.Sub(s.complained) >= complainEvery:
		s.complained = r.at
		s.log.Error("probe not possible", attrs...)
	case !r.result.OK && e.spec.LogFailures:
		s.log.Info("probe failed", attrs...)
	}
}

// deliver calls the listener for what is pending, in order.
func (s *Set) deliver() {
	s.callback.Lock()
	defer s.callback.Unlock()
	s.mu.Lock()
	list, f := s.pending, s.onTransition
	s.pending = nil
	s.mu.Unlock()
	if f == nil {
		return
	}
	for _, t := range list {
		f(t)
	}
}
