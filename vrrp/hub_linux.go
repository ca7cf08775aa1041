package vrrp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// queueMost bounds what waits for one router; the oldest goes first.
	queueMost = 256
	// collectedLately is for how long a look at a socket counts for all its
	// routers.
	collectedLately = time.Millisecond
	// A reader for manyTaps routers rests for a grain after each look: to wake
	// costs as much as ten packets. What comes after a pause is read at once.
	grain    = 2 * time.Millisecond
	manyTaps = 16
)

// hubs are the sockets of a set of virtual routers. Routers of one kind on one
// link share a socket: with one each the kernel would make a copy of every
// packet for each of them.
type hubs struct {
	mu  sync.Mutex
	all map[hubKey]*hub
	// strangers hears of advertisements that no router of a socket is for.
	strangers *strangers
}

// hubKey is what sockets differ in.
type hubKey struct {
	index  int // of the device, so that a new one of that name is another
	device string
	family uint8
	ah     bool
	group  netip.Addr // multicast
	ttl    uint8      // unicast
	// foreign sockets send from an address of another device.
	foreign bool
}

func newHubs(s *strangers) *hubs { return &hubs{all: map[hubKey]*hub{}, strangers: s} }

// refit brings all sockets in line after a change of strangers.
func (s *hubs) refit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, h := range s.all {
		h.mu.Lock()
		errs = append(errs, h.fit())
		h.mu.Unlock()
	}
	return errors.Join(errs...)
}

// open gives a router its part of a socket, which it makes if there is none.
// Call it within the network namespace of the device.
func (s *hubs) open(c *Config, device string) (Conn, error) {
	key := hubKey{device: device, family: c.Family, ah: c.Family == 4 && c.Version == 2 && c.AuthType == AuthAH, foreign: device != c.Interface}
	mtu := 1500
	if device != "" { // unicast without an interface goes by the routes
		link, err := net.InterfaceByName(device)
		if err != nil {
			return nil, fmt.Errorf("open VRRP socket on %q: %w", device, err)
		}
		key.index, mtu = link.Index, link.MTU
	}
	if len(c.Peers) > 0 {
		key.ttl = c.UnicastTTL
	} else {
		key.group = c.Group
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.all[key]
	if h == nil || h.failed() != nil {
		conn, err := dialRaw(c, key)
		if err != nil {
			return nil, fmt.Errorf("open VRRP socket on %q: %w", device, err)
		}
		h = &hub{pool: s, key: key, conn: conn, taps: map[uint8][]*tap{}}
		s.all[key] = h
		go h.run()
	}
	return h.tap(c.VRID, c.Buffer.Octets+c.Buffer.Packets*mtu)
}

// hub reads one socket for all its routers.
type hub struct {
	pool *hubs
	key  hubKey
	conn *rawConn

	mu        sync.Mutex // the reading side of conn, too
	taps      map[uint8][]*tap
	err       error // of the socket
	collected time.Time
}

// tap is the part of one virtual router in a socket.
type tap struct {
	hub    *hub
	vrid   uint8
	octets int // of the receive buffer; 0: the usual size
	ready  chan struct{}
	queue  []Packet
	glance func(Packet) (taken bool) // nil: none
}

var _ Conn = (*tap)(nil)

// tap adds a router.
func (h *hub) tap(vrid uint8, octets int) (*tap, error) {
	t := &tap{hub: h, vrid: vrid, octets: octets, ready: make(chan struct{}, 1)}
	h.mu.Lock()
	h.taps[vrid] = append(h.taps[vrid], t)
	err := h.fit()
	h.mu.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open VRRP socket on %q: %w", h.key.device, err), h.leave(t))
	}
	return t, nil
}

// fit brings the socket in line with its routers. The lock is held.
func (h *hub) fit() error {
	octets, least := 0, 0
	for _, list := range h.taps {
		for _, t := range list {
			octets += t.octets
			if t.octets == 0 {
				least = receiveBuffer
			}
		}
	}
	h.conn.receive(max(octets, least))
	if h.pool.strangers.wanted() {
		return h.conn.unfilter()
	}
	return h.conn.filter(h.vrids())
}

func (h *hub) vrids() []uint8 {
	var list []uint8
	for vrid := range h.taps {
		list = append(list, vrid)
	}
	return list
}

// leave takes a router out; the last one closes the socket. The lock of the pool
// keeps another router from joining a socket that closes; that of the hub is
// free meanwhile, for the reader that Close waits for may want it.
func (h *hub) leave(t *tap) error {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	left, last, err := h.without(t)
	if !left || !last {
		return err
	}
	if h.pool.all[h.key] == h {
		delete(h.pool.all, h.key)
	}
	return h.conn.Close()
}

// without takes a router off the list; left is whether it was on it.
func (h *hub) without(t *tap) (left, last bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.taps[t.vrid], t)
	if i < 0 {
		return false, false, nil
	}
	if h.taps[t.vrid] = slices.Delete(h.taps[t.vrid], i, i+1); len(h.taps[t.vrid]) == 0 {
		delete(h.taps, t.vrid)
	}
	if len(h.taps) == 0 {
		return true, true, nil
	}
	return true, false, h.fit()
}

func (h *hub) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// run hands packets out until the socket closes or fails.
func (h *hub) run() {
	err := h.conn.Serve(func() (rest time.Duration, err error) {
		for {
			h.mu.Lock()
			err := h.collect()
			if len(h.taps) >= manyTaps {
				rest = grain
			}
			h.mu.Unlock()
			if err != nil {
				return rest, realFailure(err)
			}
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail(err)
}

// realFailure leaves what is no failure away.
func realFailure(err error) error {
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// fail tells all routers.
func (h *hub) fail(err error) {
	h.err = err
	for _, list := range h.taps {
		for _, t := range list {
			t.signal()
		}
	}
}

// collect takes in what the kernel holds, to a bound; errNothing says that it
// was all.
func (h *hub) collect() error {
	h.collected = time.Now()
	for range queueMost {
		p, err := h.conn.Pending()
		if err != nil {
			return err
		}
		taps := h.taps[h.vridOf(&p)]
		if len(taps) == 0 {
			h.pool.strangers.heard(h.key.device, h.key.family, h.vridOf(&p), p.From)
		}
		for _, t := range taps {
			if t.glance != nil && len(t.queue) == 0 && t.glance(p) {
				continue
			}
			if len(t.queue) == queueMost {
				t.queue = t.queue[1:]
			}
			t.queue = append(t.queue, p)
			t.signal()
		}
	}
	return nil
}

// vridOf reads the second octet of an advertisement; 0, which no router has,
// when there is none.
func (h *hub) vridOf(p *Packet) uint8 {
	at := 1
	if h.key.ah {
		at += ahLen
	}
	if len(p.Payload) <= at {
		return 0
	}
	return p.Payload[at]
}

// signal is called with the hub's lock held.
func (t *tap) signal() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// Send implements Conn.
func (t *tap) Send(o Outgoing) error { return t.hub.conn.Send(o) }

// Glance implements Conn.
func (t *tap) Glance(fn func(Packet) (taken bool)) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	t.glance = fn
}

// Ready implements Conn.
func (t *tap) Ready() <-chan struct{} { return t.ready }

// Err implements Conn.
func (t *tap) Err() error { return t.hub.failed() }

// Collect implements Conn.
func (t *tap) Collect() {
	h := t.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.collected) <= collectedLately {
		return
	}
	if err := realFailure(h.collect()); err != nil {
		h.fail(err)
	}
}

// Pending implements Conn.
func (t *tap) Pending() (p Packet, ok bool) {
	h := t.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(t.queue) == 0 {
		return p, false
	}
	p = t.queue[0]
	if t.queue = t.queue[1:]; len(t.queue) == 0 {
		t.queue = nil
	}
	return p, true
}

// Close implements Conn.
func (t *tap) Close() error { return t.hub.leave(t) }
