package bfd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// inboxLen is how many packets may wait for a session; further ones are
	// dropped, as by a full socket.
	inboxLen = 16
	// redialAfter is the pause before a socket that could not be opened is
	// tried again.
	redialAfter = time.Second
)

// runner runs one session.
type runner struct {
	set           *Set
	cfg           Config
	discriminator uint32
	log           *slog.Logger
	inbox         chan Packet
	quit          chan struct{}
	stop          func()

	// Of the runner's goroutine.
	conn   sender // nil: none
	redial time.Time
	unsent string // the last error in the log

	mu       sync.Mutex
	session  *Session
	made     time.Time
	since    time.Time
	wasUp    bool
	sent     uint64
	received uint64
	changes  uint64
	refused  [refusals]uint64
}

// sender sends to the neighbor.
type sender interface {
	Send(b []byte) error
	Close() error
}

func newRunner(s *Set, cfg Config, discriminator uint32) *runner {
	r := &runner{set: s, cfg: cfg, discriminator: discriminator, log: s.log.With("bfd", cfg.Name, "neighbor", cfg.Neighbor),
		inbox: make(chan Packet, inboxLen), quit: make(chan struct{})}
	r.stop = sync.OnceFunc(func() { close(r.quit) })
	now := time.Now()
	r.made, r.since = now, now
	r.session = NewSession(now, cfg, discriminator, rand.Float64)
	return r
}

// hand gives a packet to the session without waiting.
func (r *runner) hand(p Packet) {
	select {
	case r.inbox <- p:
	default:
	}
}

func (r *runner) refuse(why Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[why]++
}

func (r *runner) state() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session.State()
}

func (r *runner) known(now time.Time) (up, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session.state == Up, r.wasUp || now.Sub(r.made) > 5*r.session.idle()
}

// run feeds the machine until stop.
func (r *runner) run() {
	defer r.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.arm(timer)
		select {
		case <-r.quit:
			r.step(Stop{})
			return
		case p := <-r.inbox:
			r.step(Received{p})
		case <-timer.C:
			r.drain() // what has arrived comes before silence
			r.step(Tick{})
		}
	}
}

func (r *runner) drain() {
	for range inboxLen {
		select {
		case p := <-r.inbox:
			r.step(Received{p})
		default:
			return
		}
	}
}

func (r *runner) arm(t *time.Timer) {
	r.mu.Lock()
	next := r.session.Deadline()
	r.mu.Unlock()
	if next.IsZero() {
		t.Stop()
		return
	}
	t.Reset(time.Until(next))
}

func (r *runner) step(ev Event) {
	now := time.Now()
	r.mu.Lock()
	if _, ok := ev.(Received); ok {
		r.received++
	}
	acts := r.session.Step(now, ev)
	r.mu.Unlock()
	for _, act := range acts {
		switch a := act.(type) {
		case Send:
			r.send(a.Packet)
		case Changed:
			r.changed(now, a)
		}
	}
}

func (r *runner) changed(now time.Time, a Changed) {
	r.mu.Lock()
	r.since = now
	r.changes++
	r.wasUp = r.wasUp || a.To == Up
	r.mu.Unlock()
	level := slog.LevelInfo
	if a.From == Up {
		level = slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "BFD session changed", "from", a.From.String(), "to", a.To.String(), "diagnostic", a.Diagnostic.String())
	if a.From == Up || a.To == Up {
		r.set.changed(r)
	}
}

// send sends one packet; the socket is opened when it is first needed and after
// an error, so that a source address may come later.
func (r *runner) send(p Packet) {
	if r.conn == nil {
		if time.Now().Before(r.redial) {
			return
		}
		var err error
		if err = r.set.enter(func() error { r.conn, err = dial(&r.cfg); return err }); err != nil {
			r.failed(err)
			return
		}
	}
	if err := r.conn.Send(p.Append(nil)); err != nil {
		r.close()
		r.failed(err)
		return
	}
	r.unsent = ""
	r.mu.Lock()
	r.sent++
	r.mu.Unlock()
}

// failed tells an error that repeats only once.
func (r *runner) failed(err error) {
	r.redial = time.Now().Add(redialAfter)
	if text := err.Error(); text != r.unsent {
		r.unsent = text
		r.log.Warn("BFD packet not sent", "err", err)
	}
}

func (r *runner) close() {
	if r.conn != nil {
		_ = r.conn.Close() // a UDP socket has nothing to lose
		r.conn = nil
	}
}

func (r *runner) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.session
	return Status{Name: r.cfg.Name, Neighbor: r.cfg.Neighbor, State: s.state, RemoteState: s.remote.state, Diagnostic: s.diag, Since: r.since,
		Detection: s.detection(), Interval: s.interval(), Sent: r.sent, Received: r.received, Transitions: r.changes, Refused: byReason(&r.refused)}
}
