package vrrp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Owner takes and releases the addresses of one virtual router. Both may be
// called again: Take adds what is missing.
type Owner interface {
	Take(ctx context.Context) error
	Release(ctx context.Context) error
}

// Announcer tells the link where the addresses are, n rounds.
type Announcer interface {
	Announce(ctx context.Context, n int) error
}

// Dialer opens the socket of a virtual router.
type Dialer func(c *Config) (Conn, error)

// Shell is what a runner carries its actions out with.
type Shell struct {
	Dial      Dialer
	Owner     Owner
	Announcer Announcer
	OnRole    func(RoleChanged) // called by the runner: it must not wait
	OnLower   func(HeardLower)  // may be nil
	Log       *slog.Logger
}

const (
	// stopWithin bounds a clean stop: the time to take the addresses away. The
	// kernel can hold the lock of all networks for seconds, and an address that
	// stays is a second master.
	stopWithin = 8 * time.Second
	// redialAfter is the pause before a socket that failed is opened again.
	redialAfter = 250 * time.Millisecond
)

// runner runs one virtual router: one goroutine for the machine and the socket,
// one that waits for the socket, one that works on addresses.
type runner struct {
	shell  Shell
	events chan Event
	relink chan struct{} // the interface is another one
	stop   chan bool     // true: keep the addresses
	done   chan struct{}

	// Of the runner's goroutine; what glance looks at changes under mu alone.
	codec codec
	conn  Conn // nil: none
	work  *worker
	limit logLimit
	keep  bool // at the end: leave the addresses

	mu     sync.Mutex
	vr     *VirtualRouter
	counts counters
	since  time.Time // last change of role
	reason string
	timer  *time.Timer // nil: it does not run yet, or no more
	drains bool        // what was Pending is being handled
}

// counters are what happened to one virtual router.
type counters struct {
	Sent        uint64
	Received    uint64
	Transitions uint64
	Refused     [refusals]uint64
}

func newRunner(cfg Config, sh Shell) *runner {
	r := &runner{shell: sh, vr: NewVirtualRouter(cfg), events: make(chan Event, 16), relink: make(chan struct{}, 1),
		stop: make(chan bool, 1), done: make(chan struct{})}
	r.codec.cfg = &cfg
	return r
}

// tell hands an event to the machine; it waits at most for the machine.
func (r *runner) tell(ev Event) {
	select {
	case r.events <- ev:
	case <-r.done:
	}
}

// reopen asks for a new socket: the interface was made anew.
func (r *runner) reopen() {
	select {
	case r.relink <- struct{}{}:
	default:
	}
}

// run is the life of the router. It ends after a stop, with the addresses
// released unless they are to be kept.
func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	r.work = newWorker(r.shell)
	defer r.work.finish(stopWithin)
	defer r.closeConn()
	timer := time.NewTimer(time.Hour)
	r.arm(timer)
	defer r.disarm()
	redial := time.NewTimer(time.Hour)
	defer redial.Stop()
	if !r.dial() { // before the first event: an owner speaks at once
		redial.Reset(redialAfter)
	}
	for {
		r.arm(timer)
		select {
		case r.keep = <-r.stop:
			r.shutdown()
			return
		case <-ctx.Done():
			r.handle(Shutdown{})
			return
		case <-redial.C:
			if !r.dial() {
				redial.Reset(redialAfter)
			}
		case <-r.relink:
			r.closeConn()
			redial.Reset(0)
		case <-r.readable():
			r.drain()
			if err := r.conn.Err(); err != nil {
				r.logLimited("socket", netip.Addr{}, "the socket for advertisements failed, opening it again", "err", err)
				r.closeConn()
				redial.Reset(redialAfter)
			}
		case e := <-r.events:
			r.handle(e)
		case <-timer.C:
			// Whoever wakes late reads what has arrived before believing in
			// silence (conformance T10).
			if r.conn != nil {
				r.conn.Collect()
			}
			r.drain()
			r.handle(Tick{})
		}
	}
}

// dial opens the socket.
func (r *runner) dial() bool {
	conn, err := r.shell.Dial(r.codec.cfg)
	if err != nil {
		r.logLimited("dial", netip.Addr{}, "no socket for advertisements, trying again", "err", err)
		return false
	}
	r.conn = conn
	conn.Glance(r.glance)
	return true
}

// glance takes an advertisement that moves timers and no more, which in a Backup
// is nearly every one. The goroutine that reads the socket calls it: to wake the
// router's own for each packet costs several times as much as the packet.
func (r *runner) glance(p Packet) (taken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil || r.drains || !r.vr.quiet() || r.codec.cfg.AuthType == AuthAH || r.codec.cfg.HMAC != nil { // these remember what they have opened
		return false
	}
	now := time.Now()
	a, why := r.codec.open(now, p, r.vr.cond.Source, r.vr.master)
	if why != Accepted {
		return false
	}
	r.counts.Received++
	r.vr.Step(now, Received{From: p.From, Advert: a})
	r.timer.Reset(r.vr.Deadline().Sub(now)) // a Backup has one
	return true
}

// readable has a value when the socket wants to be looked at; never without one.
func (r *runner) readable() <-chan struct{} {
	if r.conn == nil {
		return nil
	}
	return r.conn.Ready()
}

func (r *runner) closeConn() {
	if r.conn != nil {
		if err := r.conn.Close(); err != nil {
			r.logLimited("socket", netip.Addr{}, "the socket for advertisements did not close", "err", err)
		}
		r.conn = nil
	}
}

// drainMost bounds how many packets are read before other events are looked at.
const drainMost = 256

// drain handles what the socket holds. Of several advertisements in a row from
// one router only the last counts: after a pause the older ones are history.
func (r *runner) drain() {
	r.setDrains(true)
	defer r.setDrains(false)
	var last *Received
	for range drainMost {
		if r.conn == nil {
			break
		}
		p, ok := r.conn.Pending()
		if !ok {
			break
		}
		ev, ok := r.check(p)
		if !ok {
			continue
		}
		if last != nil && (last.From != ev.From || ev.Advert.Priority == 0) {
			r.handle(*last)
		}
		last = &ev
	}
	if last != nil {
		r.handle(*last)
	}
}

func (r *runner) setDrains(yes bool) {
	r.mu.Lock()
	r.drains = yes
	r.mu.Unlock()
}

// check refuses what must have no effect and counts the reason; what is left
// is an event.
func (r *runner) check(p Packet) (Received, bool) {
	r.mu.Lock()
	a, why := r.codec.open(time.Now(), p, r.vr.cond.Source, r.vr.master)
	if why == Accepted {
		r.counts.Received++
		r.mu.Unlock()
		return Received{From: p.From, Advert: a}, true
	}
	r.counts.Refused[why]++
	n := r.counts.Refused[why]
	r.mu.Unlock()
	r.logLimited(why.String(), p.From, "advertisement refused", "reason", why.String(), "from", p.From, "count", n)
	return Received{}, false
}

func (r *runner) logLimited(reason string, from netip.Addr, msg string, args ...any) {
	if r.limit.allow(time.Now(), reason, from) {
		r.shell.Log.Warn(msg, args...)
	}
}

func (r *runner) arm(t *time.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = t
	next := r.vr.Deadline()
	if next.IsZero() {
		t.Stop()
		return
	}
	t.Reset(time.Until(next))
}

// disarm is the end of the timer.
func (r *runner) disarm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer.Stop()
	r.timer = nil
}

// handle gives one event to the machine and does what it asks for.
func (r *runner) handle(ev Event) {
	if e, ok := ev.(Reconfigure); ok {
		r.configure(e.Config)
	}
	r.mu.Lock()
	acts := r.vr.Step(time.Now(), ev)
	r.mu.Unlock()
	for _, act := range acts {
		r.perform(act)
	}
}

// configure changes the wire side; another way onto the link needs a new socket.
func (r *runner) configure(cfg Config) {
	old := r.codec.cfg
	r.mu.Lock()
	r.codec.cfg = &cfg
	r.mu.Unlock()
	if old.Version != cfg.Version || old.AuthType != cfg.AuthType || old.UnicastTTL != cfg.UnicastTTL || old.Interface != cfg.Interface {
		r.reopen()
	}
}

func (r *runner) perform(act Action) {
	switch a := act.(type) {
	case SendAdvert:
		if !r.keep {
			r.send(a.Priority)
		}
	case TakeAddresses:
		r.take()
	case KeepAddresses:
		r.work.take()
	case ReleaseAddresses:
		if !r.keep {
			r.work.release()
		}
	case AnnounceAddresses:
		r.work.announce(a.Rounds)
	case HeardLower:
		r.logLimited("lower", a.From, "a router with a lower rank speaks as master", "from", a.From, "priority", a.Priority)
		if r.shell.OnLower != nil {
			r.shell.OnLower(a)
		}
	case RoleChanged:
		r.roleChanged(a)
	}
}

// take lets the advertisement that follows wait a little for the addresses.
func (r *runner) take() {
	t := time.NewTimer(min(takeWithin, r.codec.cfg.AdvertInterval))
	defer t.Stop()
	select {
	case <-r.work.take():
	case <-t.C:
	}
}

func (r *runner) roleChanged(a RoleChanged) {
	r.mu.Lock()
	r.since, r.reason = time.Now(), a.Reason
	r.counts.Transitions++
	r.mu.Unlock()
	r.shell.Log.Info("role changed", "from", a.From.String(), "to", a.To.String(), "reason", a.Reason, "priority", a.Priority)
	if r.shell.OnRole != nil {
		r.shell.OnRole(a)
	}
}

func (r *runner) send(priority uint8) {
	r.mu.Lock()
	src := r.vr.cond.Source
	if r.conn == nil || !src.IsValid() {
		r.mu.Unlock()
		return
	}
	out := r.codec.seal(time.Now(), priority, src)
	r.mu.Unlock()
	var errs []error
	for _, o := range out {
		errs = append(errs, r.conn.Send(o)) // one peer that cannot be reached leaves the others
	}
	if err := errors.Join(errs...); err != nil {
		r.logLimited("send", netip.Addr{}, "advertisement not sent", "err", err)
		return
	}
	r.mu.Lock()
	r.counts.Sent++
	r.mu.Unlock()
}

// fill adds what the runner knows to a status.
func (r *runner) fill(st *RouterStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st.Role, st.Reason, st.Since = r.vr.role, r.reason, r.since
	st.EffectivePriority, st.Master = r.vr.cond.Priority, r.vr.master
	st.Transitions, st.AdvertsSent, st.AdvertsReceived = r.counts.Transitions, r.counts.Sent, r.counts.Received
	for _, why := range Refusals() {
		st.AdvertsRefused[why] = r.counts.Refused[why]
	}
}

func (r *runner) role() Role {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vr.role
}
