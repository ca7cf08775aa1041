// Package bfd runs sessions of Bidirectional Forwarding Detection (RFC 5880,
// single hop by RFC 5881, multihop by RFC 5883): a pure machine for each session
// (Session.Step), and a Set that gives the sessions packets and time. There is no
// authentication, no echo function, and demand mode only as the other side asks.
package bfd

import (
	"net/netip"
	"time"
)

// Config is one session.
type Config struct {
	Name       string
	Neighbor   netip.Addr
	Source     netip.Addr    // invalid: the kernel chooses
	MinTX      time.Duration // wished interval of our packets while Up
	MinRX      time.Duration // shortest interval we can receive at
	IdleTX     time.Duration // interval while not Up; a second at least (RFC 5880 section 6.8.3)
	Multiplier uint8         // missed packets after which the neighbor takes us for dead
	Passive    bool          // says nothing before the neighbor has
	TTL        uint8         // of sent packets
	// MinTTL is the lowest accepted TTL or hop limit; 0: any.
	MinTTL   uint8
	Multihop bool
}

// Event is something that happens to a session.
type Event interface{ event() }

// Events.
type (
	// Received is a packet for this session.
	Received struct{ Packet Packet }
	// Tick says that time has passed.
	Tick struct{}
	// Stop ends the session: the neighbor is told that somebody wanted it so.
	Stop struct{}
)

func (Received) event() {}
func (Tick) event()     {}
func (Stop) event()     {}

// Action is something that the shell has to do.
type Action interface{ action() }

// Actions.
type (
	// Send sends a packet to the neighbor.
	Send struct{ Packet Packet }
	// Changed tells of another state.
	Changed struct {
		From, To   State
		Diagnostic Diagnostic // ours, or when To is Down by the neighbor's word, the neighbor's
	}
)

func (Send) action()    {}
func (Changed) action() {}

// Session is the machine of one session, without I/O, clock or goroutine. The
// fields are the state variables of RFC 5880 section 6.8.1.
type Session struct {
	cfg    Config
	random func() float64

	state  State
	diag   Diagnostic
	local  uint32 // our discriminator
	minTX  time.Duration
	poll   bool // a Poll Sequence is under way
	remote remote

	next   time.Time // transmission; zero: none
	detect time.Time // end of the detection time; zero: nothing to expire
	grace  bool      // detect was put off because we woke late
}

// remote is what the neighbor has told last; the zero value but for minRX is a
// neighbor that has said nothing.
type remote struct {
	discriminator uint32
	state         State
	diag          Diagnostic
	minTX, minRX  time.Duration
	multiplier    uint8
	demand        bool
}

// NewSession makes a session in state Down. The discriminator must be unique on
// this host and not 0; random gives numbers from 0 to 1.
func NewSession(now time.Time, cfg Config, discriminator uint32, random func() float64) *Session {
	s := &Session{cfg: cfg, random: random, state: Down, local: discriminator, remote: remote{state: Down, minRX: time.Microsecond}}
	s.minTX = s.idle()
	s.schedule(now)
	return s
}

// State is the present state.
func (s *Session) State() State { return s.state }

// Deadline is when the next Tick is due; zero means none.
func (s *Session) Deadline() time.Time {
	if s.next.IsZero() || !s.detect.IsZero() && s.detect.Before(s.next) {
		return s.detect
	}
	return s.next
}

// idle is the interval while not Up, which must not be under a second.
func (s *Session) idle() time.Duration { return max(s.cfg.IdleTX, time.Second) }

// interval is the time between two packets of ours, without jitter.
func (s *Session) interval() time.Duration { return max(s.minTX, s.remote.minRX) }

// detection is how long silence lasts before the neighbor is dead (RFC 5880
// section 6.8.4).
func (s *Session) detection() time.Duration {
	return time.Duration(s.remote.multiplier) * max(s.cfg.MinRX, s.remote.minTX)
}

// speaks tells whether packets are sent periodically (section 6.8.7).
func (s *Session) speaks() bool {
	switch {
	case s.cfg.Passive && s.remote.discriminator == 0, s.remote.minRX == 0:
		return false
	case s.remote.demand && s.state == Up && s.remote.state == Up && !s.poll:
		return false
	}
	return true
}

// schedule plans the next packet with a jitter of 0 to 25 percent, and with
// multiplier 1 of 10 to 25 (section 6.8.7).
func (s *Session) schedule(now time.Time) {
	if !s.speaks() {
		s.next = time.Time{}
		return
	}
	jitter := 0.25 * s.random()
	if s.cfg.Multiplier == 1 {
		jitter = 0.10 + 0.15*s.random()
	}
	s.next = now.Add(time.Duration(float64(s.interval()) * (1 - jitter)))
}

// packet is what we have to say now.
func (s *Session) packet(final bool) Send {
	return Send{Packet{Diagnostic: s.diag, State: s.state, Poll: s.poll && !final, Final: final, Multiplier: s.cfg.Multiplier,
		My: s.local, Your: s.remote.discriminator, MinTX: s.minTX, MinRX: s.cfg.MinRX}}
}

// Step takes one event at one time and returns what is to be done, in order.
func (s *Session) Step(now time.Time, ev Event) []Action {
	switch e := ev.(type) {
	case Received:
		return s.received(now, e.Packet)
	case Tick:
		return s.tick(now)
	case Stop:
		acts := s.become(now, AdminDown, AdministrativelyDown, AdministrativelyDown)
		s.next, s.detect = time.Time{}, time.Time{}
		if s.remote.discriminator == 0 {
			return acts
		}
		return append(acts, s.packet(false))
	}
	return nil
}

// received is RFC 5880 section 6.8.6, from the session on.
func (s *Session) received(now time.Time, p Packet) []Action {
	if s.state == AdminDown {
		return nil
	}
	before := s.remote
	s.remote = remote{discriminator: p.My, state: p.State, diag: p.Diagnostic, minTX: p.MinTX, minRX: p.MinRX, multiplier: p.Multiplier, demand: p.Demand}
	if s.poll && p.Final {
		s.poll = false
	}
	s.detect, s.grace = now.Add(s.detection()), false
	var acts []Action
	switch {
	case p.State == AdminDown && s.state != Down, p.State == Down && s.state == Up:
		acts = s.become(now, Down, NeighborSignaledDown, p.Diagnostic)
	case p.State == AdminDown:
	case s.state == Down && p.State == Down:
		acts = s.become(now, Init, NoDiagnostic, NoDiagnostic)
	case s.state == Down && p.State == Init, s.state == Init && p.State != Down:
		acts = s.become(now, Up, NoDiagnostic, NoDiagnostic)
	}
	switch {
	case len(acts) > 0: // told at once
		acts = append(acts, s.packet(p.Poll))
		s.schedule(now)
	case p.Poll:
		acts = append(acts, s.packet(true))
	}
	if before.minRX != s.remote.minRX || s.next.IsZero() || !s.speaks() {
		s.schedule(now)
	}
	return acts
}

// become changes the state. What is wished for changes with it, which a Poll
// Sequence tells the neighbor (section 6.5).
func (s *Session) become(now time.Time, to State, ours, told Diagnostic) []Action {
	from := s.state
	s.state, s.diag = to, ours
	wish := s.idle()
	if to == Up {
		wish = s.cfg.MinTX
	}
	if wish != s.minTX {
		s.minTX = wish
		s.poll = to == Up
	}
	if to == Down {
		s.poll = false
	}
	return []Action{Changed{From: from, To: to, Diagnostic: told}}
}

// tick fires what is due.
func (s *Session) tick(now time.Time) []Action {
	var acts []Action
	if due(s.detect, now) {
		acts = s.silence(now)
	}
	if due(s.next, now) {
		acts = append(acts, s.packet(false))
		s.schedule(now)
	}
	return acts
}

// silence is the end of the detection time. One that was not running when it
// ended may not have read what has arrived: it waits for one more packet, once.
func (s *Session) silence(now time.Time) []Action {
	interval := max(s.cfg.MinRX, s.remote.minTX)
	if !s.grace && now.Sub(s.detect) > interval {
		s.grace, s.detect = true, now.Add(interval)
		return nil
	}
	s.detect, s.grace = time.Time{}, false
	s.remote.discriminator = 0 // section 6.8.1
	if s.state != Up && s.state != Init {
		s.schedule(now)
		return nil
	}
	s.remote.state = Down
	acts := s.become(now, Down, DetectionTimeExpired, DetectionTimeExpired)
	acts = append(acts, s.packet(false))
	s.schedule(now)
	return acts
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
