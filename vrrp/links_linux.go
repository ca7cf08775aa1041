package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// monitorBuffer is what a subscription can hold, in octets. When it runs
	// over, the kernel drops messages and says ENOBUFS; then all is read anew.
	monitorBuffer = 1 << 20
	// monitorBatch bounds the messages taken before watchers are told.
	monitorBatch = 1024
	// monitorPause is the time between two attempts to subscribe.
	monitorPause = 100 * time.Millisecond
)

// LinkMonitor follows the links and addresses of a network namespace. Watchers
// are told the state, never the change: a lost message costs a new listing, not
// a wrong state.
type LinkMonitor struct {
	nl  *Netlink
	log *slog.Logger
	// buffer is the receive buffer of a subscription in octets.
	buffer int

	mu       sync.Mutex
	table    *linkTable
	last     map[string]LinkState // what the watchers know
	holds    map[string]*linkHold // interfaces with delays
	polled   map[string]string    // interfaces whose carrier is asked for, with the preferred way
	carriers map[string]bool      // what they answered
	repoll   chan struct{}
	carrier  func(b *linkbeat, name string) (bool, error) // linkbeat.carrier but in tests
	watchers map[int]linkWatcher
	nextID   int
	resyncs  int
}

// linkWatcher is told about one interface, or with an empty name about any
// removal of an address. One with an address is told when the interface gets or
// loses it.
type linkWatcher struct {
	name string
	fn   func(LinkState)
	addr netip.Addr
	has  *bool
}

// NewLinkMonitor reads the links and addresses once; Run keeps them fresh.
func NewLinkMonitor(nl *Netlink, log *slog.Logger) (*LinkMonitor, error) {
	m := &LinkMonitor{nl: nl, log: log, buffer: monitorBuffer, last: map[string]LinkState{}, watchers: map[int]linkWatcher{}, repoll: make(chan struct{}, 1),
		carrier: (*linkbeat).carrier}
	table, err := m.read()
	if err != nil {
		return nil, err
	}
	m.table = table
	return m, nil
}

// SetVirtual names the virtual addresses of all virtual routers: they are never
// taken for the primary address of an interface.
func (m *LinkMonitor) SetVirtual(addrs []netip.Addr) {
	set := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		set[a] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.virtual = set
	m.publish(m.table.names())
}

// Get gives the state of an interface.
func (m *LinkMonitor) Get(name string) LinkState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state(name)
}

// HasAddress tells whether an interface carries an address with that length.
func (m *LinkMonitor) HasAddress(device string, p netip.Prefix) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.hasAddr(device, p)
}

// HasIP tells whether an interface, or without a name any, carries an address, of
// any length, that can be sent from: IPv6 has passed duplicate address detection.
func (m *LinkMonitor) HasIP(device string, a netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.hasIP(device, a)
}

// WatchIP calls fn after an interface has got or lost an address, until stop is
// called. What Watch asks of fn holds here too.
func (m *LinkMonitor) WatchIP(device string, a netip.Addr, fn func()) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	has := m.table.hasIP(device, a)
	return m.watch(linkWatcher{name: device, addr: a, has: &has, fn: func(LinkState) { fn() }})
}

// Watch calls fn with the state of an interface, which need not exist: now, and
// after each change until stop is called. fn runs on the monitor's goroutine
// with its lock held: it must return at once and call none of its methods.
func (m *LinkMonitor) Watch(name string, fn func(LinkState)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.last[name]; !ok {
		m.last[name] = m.state(name)
	}
	fn(m.last[name])
	return m.watch(linkWatcher{name: name, fn: fn})
}

// AddressLost gives a channel that receives after an address has been removed
// from any interface, a link has changed, or messages were lost, until stop is
// called: what is held has to be looked at again.
func (m *LinkMonitor) AddressLost() (lost <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	return c, m.watch(linkWatcher{fn: func(LinkState) {
		select {
		case c <- struct{}{}:
		default:
		}
	}})
}

// LookAgain has everybody who waits for AddressLost look at what is held.
func (m *LinkMonitor) LookAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tellLost()
}

func (m *LinkMonitor) watch(w linkWatcher) (stop func()) {
	id := m.nextID
	m.nextID++
	m.watchers[id] = w
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, id)
	}
}

// Resyncs is how often messages were lost and everything was read again.
func (m *LinkMonitor) Resyncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resyncs
}

// Run follows the kernel until ctx ends. A subscription that breaks is logged
// and made again.
func (m *LinkMonitor) Run(ctx context.Context) error {
	go m.poll(ctx)
	for {
		err := m.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		m.mu.Lock()
		m.resyncs++
		m.mu.Unlock()
		m.log.Warn("lost track of links and addresses, reading them again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(monitorPause):
		}
	}
}

// session subscribes, then reads everything, so that no change falls between,
// then follows the messages until a subscription breaks.
func (m *LinkMonitor) session(ctx context.Context) error {
	done := make(chan struct{})
	links := make(chan netlink.LinkUpdate, monitorBatch)
	addrs := make(chan netlink.AddrUpdate, monitorBatch)
	// The library reports through cause and then closes the channel; what it
	// reports without closing, such as a message that did not come from the
	// kernel, is no reason to do anything.
	var cause lastError
	var ns *netns.NsHandle // entering one needs a privilege even when we are in it
	if m.nl.foreign {
		ns = &m.nl.ns
	}
	err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{
		Namespace: ns, ReceiveBufferSize: m.buffer, ErrorCallback: cause.set})
	if err != nil {
		close(done)
		return fmt.Errorf("subscribe to links: %w", err)
	}
	err = netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{
		Namespace: ns, ReceiveBufferSize: m.buffer, ErrorCallback: cause.set})
	if err != nil {
		close(done)
		go drain(links)
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	defer func() {
		close(done)
		go drain(links) // ends when the library has noticed done
		go drain(addrs)
	}()
	if err := m.resync(); err != nil {
		return err
	}
	if !m.follow(ctx, links, addrs) {
		return nil
	}
	return fmt.Errorf("subscription ended: %w", cause.get())
}

// lastError keeps what the library reported last.
type lastError struct {
	mu  sync.Mutex
	err error
}

func (l *lastError) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func drain[T any](c <-chan T) {
	for range c {
	}
}

// follow applies messages in batches and tells the watchers after each, until
// ctx ends or a subscription breaks; it tells the second case.
func (m *LinkMonitor) follow(ctx context.Context, links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate) (broken bool) {
	for {
		var link *netlink.LinkUpdate
		var addr *netlink.AddrUpdate
		select {
		case <-ctx.Done():
			return false
		case u, ok := <-links:
			if !ok {
				return true
			}
			link = &u
		case u, ok := <-addrs:
			if !ok {
				return true
			}
			addr = &u
		}
		m.mu.Lock()
		b := batch{table: m.table}
		b.link(link)
		b.addr(addr)
		for range monitorBatch {
			if !b.more(links, addrs) {
				break
			}
		}
		m.publish(b.names)
		if b.lost {
			m.tellLost()
		}
		m.mu.Unlock()
	}
}

// batch collects the interfaces that a series of messages concerns.
type batch struct {
	table *linkTable
	names []string
	lost  bool // an address may be gone, or what hangs on a link
}

// more takes one more message if there is one. A closed channel gives none: the
// caller meets it again.
func (b *batch) more(links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate) bool {
	select {
	case u, ok := <-links:
		if ok {
			b.link(&u)
		}
		return ok
	case u, ok := <-addrs:
		if ok {
			b.addr(&u)
		}
		return ok
	default:
		return false
	}
}

func (b *batch) link(u *netlink.LinkUpdate) {
	// A port that leaves a bridge is announced as deleted, in that family.
	if u == nil || u.Family == unix.AF_BRIDGE {
		return
	}
	b.lost = true // a link that goes down takes routes and addresses with it
	if u.Header.Type == unix.RTM_DELLINK {
		b.names = append(b.names, b.table.deleteLink(int(u.Index))...)
		return
	}
	b.names = append(b.names, b.table.setLink(linkState(u.Link))...)
}

func (b *batch) addr(u *netlink.AddrUpdate) {
	if u == nil {
		return
	}
	p := prefixOf(&u.LinkAddress)
	if u.NewAddr {
		b.names = append(b.names, b.table.setAddr(u.LinkIndex, p, newAddrEntry(p.Addr(), u.Scope, u.Flags))...)
		return
	}
	b.names = append(b.names, b.table.deleteAddr(u.LinkIndex, p)...)
	b.lost = true
}

// resync replaces the table by what the kernel has.
func (m *LinkMonitor) resync() error {
	table, err := m.read()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	table.virtual = m.table.virtual
	names := append(m.table.names(), table.names()...)
	m.table = table
	m.publish(names)
	m.tellLost()
	return nil
}

// read lists links and addresses.
func (m *LinkMonitor) read() (*linkTable, error) {
	links, err := m.nl.links()
	if err != nil {
		return nil, err
	}
	addrs, err := m.nl.addrs()
	if err != nil {
		return nil, err
	}
	t := newLinkTable()
	for _, l := range links {
		t.setLink(linkState(l))
	}
	for _, a := range addrs {
		p := prefixOf(a.IPNet)
		t.setAddr(a.LinkIndex, p, newAddrEntry(p.Addr(), a.Scope, a.Flags))
	}
	return t, nil
}

// publish tells the watchers of those interfaces whose state is another one
// now. The lock is held.
func (m *LinkMonitor) publish(names []string) {
	slices.Sort(names)
	names = slices.Compact(names)
	m.publishIPs(names)
	for _, name := range names {
		s := m.state(name)
		if m.last[name] == s {
			continue
		}
		m.last[name] = s
		for _, w := range m.watchers {
			if w.name == name && w.has == nil {
				w.fn(s)
			}
		}
	}
}

// publishIPs tells those who watch one address. The lock is held.
func (m *LinkMonitor) publishIPs(names []string) {
	for _, w := range m.watchers {
		if w.has == nil || w.name != "" && !slices.Contains(names, w.name) {
			continue
		}
		if has := m.table.hasIP(w.name, w.addr); has != *w.has {
			*w.has = has
			w.fn(LinkState{})
		}
	}
}

func (m *LinkMonitor) tellLost() {
	for _, w := range m.watchers {
		if w.name == "" {
			w.fn(LinkState{})
		}
	}
}

func linkState(l netlink.Link) LinkState {
	a := l.Attrs()
	return LinkState{
		Name:         a.Name,
		Index:        a.Index,
		Up:           a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		MTU:          a.MTU,
		HardwareAddr: a.HardwareAddr.String(),
		CanARP:       a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 && len(a.HardwareAddr) == 6,
	}
}

func newAddrEntry(addr netip.Addr, scope, flags int) addrEntry {
	e := addrEntry{secondary: addr.Is4() && flags&unix.IFA_F_SECONDARY != 0,
		tentative: addr.Is6() && flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0}
	if addr.Is4() {
		e.usable = scope == unix.RT_SCOPE_UNIVERSE
	} else {
		e.usable = addr.IsLinkLocalUnicast() && !e.tentative
	}
	return e
}
