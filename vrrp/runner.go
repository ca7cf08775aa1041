package vrrp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Owner takes and releases the addresses of one virtual router. Both may be
// called again.
type Owner interface {
	Take(ctx context.Context) error
	Release(ctx context.Context) error
}

// Announcer tells the link where the addresses are, n rounds.
type Announcer interface {
	Announce(ctx context.Context, n int) error
}

// Dialer opens the socket of a virtual router.
type Dialer func(ctx context.Context) (Conn, error)

// Shell is what a runner carries its actions out with.
type Shell struct {
	Dial      Dialer
	Owner     Owner
	Announcer Announcer
	OnRole    func(RoleChanged)
	Log       *slog.Logger
}

// stopWithin bounds a clean stop: the time to take the addresses away.
const stopWithin = 3 * time.Second

// runner runs one virtual router: one goroutine for the machine, one that
// reads the socket, one that works on addresses.
type runner struct {
	shell  Shell
	events chan Event
	stop   chan bool // true: keep the addresses
	done   chan struct{}

	mu     sync.Mutex
	vr     *VirtualRouter
	counts counters
	since  time.Time // last change of role
	reason string
}

// counters are what happened to one virtual router.
type counters struct {
	Sent        uint64
	Received    uint64
	Transitions uint64
	Refused     [refusals]uint64
}

func newRunner(cfg Config, sh Shell) *runner {
	return &runner{shell: sh, vr: NewVirtualRouter(cfg), events: make(chan Event, 16), stop: make(chan bool, 1), done: make(chan struct{})}
}

// tell hands an event to the machine; it waits at most for the machine.
func (r *runner) tell(ev Event) {
	select {
	case r.events <- ev:
	case <-r.done:
	}
}

// run is the life of the router. It ends after a stop, with the addresses
// released unless they are to be kept.
func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	work := newWorker(r.shell)
	defer work.finish()
	packets := make(chan Packet, 64)
	var conn Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	redial := time.NewTimer(0)
	defer redial.Stop()
	broken := make(chan error, 1)
	for {
		r.arm(timer)
		var ev Event
		select {
		case keep := <-r.stop:
			r.perform(conn, work, r.step(Shutdown{}), keep)
			return
		case <-ctx.Done():
			r.perform(conn, work, r.step(Shutdown{}), false)
			return
		case <-redial.C:
			var err error
			if conn, err = r.shell.Dial(ctx); err != nil {
				r.shell.Log.Error("no socket for advertisements; trying again", "err", err)
				redial.Reset(time.Second)
				continue
			}
			go receive(conn, packets, broken, r.done)
			continue
		case err := <-broken:
			r.shell.Log.Warn("the socket failed; opening it again", "err", err)
			conn.Close()
			conn = nil
			redial.Reset(100 * time.Millisecond)
			continue
		case p := <-packets:
			ev = r.check(p, conn)
		case e := <-r.events:
			ev = e
		case <-timer.C:
			// Whoever wakes late reads what has arrived before believing in
			// silence (conformance T10).
			r.drain(conn, work, packets)
			ev = Tick{}
		}
		if ev != nil {
			r.perform(conn, work, r.step(ev), false)
		}
	}
}

func (r *runner) drain(conn Conn, work *worker, packets <-chan Packet) {
	for {
		var p Packet
		select {
		case p = <-packets:
		default:
			if conn == nil {
				return
			}
			var ok bool
			if p, ok = conn.Pending(); !ok {
				return
			}
		}
		if ev := r.check(p, conn); ev != nil {
			r.perform(conn, work, r.step(ev), false)
		}
	}
}

func receive(conn Conn, packets chan<- Packet, broken chan<- error, done <-chan struct{}) {
	for {
		p, err := conn.Receive()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				select {
				case broken <- err:
				case <-done:
				}
			}
			return
		}
		select {
		case packets <- p:
		case <-done:
			return
		}
	}
}

func (r *runner) arm(t *time.Timer) {
	r.mu.Lock()
	next := r.vr.Deadline()
	r.mu.Unlock()
	if next.IsZero() {
		t.Stop()
		return
	}
	t.Reset(time.Until(next))
}

func (r *runner) step(ev Event) []Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vr.Step(time.Now(), ev)
}

// check refuses what must have no effect and counts the reason; what is left
// is an event.
func (r *runner) check(p Packet, conn Conn) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	cfg := &r.vr.cfg
	if len(p.Payload) >= 2 && p.Payload[1] != cfg.VRID {
		return nil // another virtual router's
	}
	a, why := ParseAdvert(p.Payload, p.From, p.To)
	switch {
	case p.TTL != advertTTL:
		why = RefusedTTL
	case conn != nil && p.To != conn.Destination():
		why = RefusedDestination
	case !plausibleSource(p.From) || p.From == r.vr.cond.Source:
		why = RefusedSource
	case why == Accepted:
		why = cfg.accepts(&a)
	}
	if why != Accepted {
		r.counts.Refused[why]++
		if n := r.counts.Refused[why]; n == 1 || n%10000 == 0 {
			r.shell.Log.Warn("advertisement refused", "reason", why.String(), "from", p.From, "count", n)
		}
		return nil
	}
	r.counts.Received++
	return Received{From: p.From, Advert: a}
}

func plausibleSource(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (r *runner) perform(conn Conn, work *worker, acts []Action, keep bool) {
	for _, act := range acts {
		switch a := act.(type) {
		case SendAdvert:
			if !keep {
				r.send(conn, a.Priority)
			}
		case TakeAddresses:
			work.take()
		case ReleaseAddresses:
			if !keep {
				work.release()
			}
		case AnnounceAddresses:
			work.announce(a.Rounds)
		case RoleChanged:
			r.roleChanged(a)
		}
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

func (r *runner) send(conn Conn, priority uint8) {
	if conn == nil {
		return
	}
	r.mu.Lock()
	cfg, src := r.vr.cfg, r.vr.cond.Source
	r.mu.Unlock()
	a := Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: priority, Interval: cfg.AdvertInterval, Addresses: cfg.Addresses,
		AuthType: cfg.AuthType, AuthData: cfg.AuthData}
	if err := conn.Send(src, a.Marshal(src, conn.Destination())); err != nil {
		r.shell.Log.Error("advertisement not sent", "err", err)
		return
	}
	r.mu.Lock()
	r.counts.Sent++
	r.mu.Unlock()
}

// String names the runner in logs of the set.
func (r *runner) String() string {
	return fmt.Sprintf("%s (VRID %d on %s)", r.vr.cfg.Name, r.vr.cfg.VRID, r.vr.cfg.Interface)
}

// configure replaces the configuration of a running router; role and timers
// stay.
func (r *runner) configure(cfg Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.vr.cfg = cfg
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
