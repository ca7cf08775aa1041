package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
)

func newTestMonitor(t testing.TB, nl *Netlink) *LinkMonitor {
	t.Helper()
	log, _ := testLog()
	m, err := NewLinkMonitor(nl, log)
	noError(t, err)
	runMonitor(t, m)
	return m
}

// runMonitor runs the monitor and waits until it has subscribed and read.
func runMonitor(t testing.TB, m *LinkMonitor) {
	t.Helper()
	lost, stop := m.AddressLost()
	defer stop()
	runTask(t, m.Run)
	<-lost
}

// history collects what a watcher is told.
type history struct {
	mu   sync.Mutex
	list []LinkState
}

func (h *history) add(s LinkState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, s)
}

func (h *history) last() LinkState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.list[len(h.list)-1]
}

func (h *history) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list)
}

// Conformance I01: down is told, of the own link and of the cable alike.
func TestMonitorLinkDownAndCarrier(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	m := newTestMonitor(t, nl)
	var h history
	defer m.Watch("v0", h.add)()
	eventually(t, "v0 is not up", func() bool { return h.last().Up })
	for _, end := range []string{"v0", "v1"} {
		setUp(t, nl, end, false)
		eventually(t, "v0 is still up", func() bool { return !h.last().Up })
		setUp(t, nl, end, true)
		eventually(t, "v0 is still down", func() bool { return h.last().Up })
	}
	s := h.last()
	if !s.Exists || !s.CanARP || s.MTU != 1500 || len(s.MAC()) != 6 || s.Index == 0 {
		t.Errorf("got %+v", s)
	}
	if lo := m.Get("lo"); !lo.Exists || lo.CanARP {
		t.Errorf("got %+v", lo)
	}
}

// Conformance I04, I07: an interface that is deleted, made anew or renamed.
func TestMonitorLinkDeletedCreatedRenamed(t *testing.T) {
	nl := inNetns(t)
	m := newTestMonitor(t, nl)
	var h, renamed history
	defer m.Watch("v0", h.add)()
	defer m.Watch("v9", renamed.add)()
	if s := h.last(); s.Exists || s.Name != "v0" {
		t.Errorf("before it is made: %+v", s)
	}
	addVeth(t, nl, "v0", "v1")
	eventually(t, "v0 does not exist", func() bool { return h.last().Exists && h.last().Up })
	first := h.last().Index
	noError(t, nl.h.LinkDel(linkOf(t, nl, "v0")))
	eventually(t, "v0 still exists", func() bool { return !h.last().Exists })
	addVeth(t, nl, "v0", "v1")
	eventually(t, "v0 did not come back", func() bool { return h.last().Exists && h.last().Index != first })

	noError(t, nl.h.LinkSetName(linkOf(t, nl, "v0"), "v9"))
	eventually(t, "v0 still exists", func() bool { return !h.last().Exists })
	eventually(t, "v9 does not exist", func() bool { return renamed.last().Exists })
	noError(t, nl.h.LinkSetName(linkOf(t, nl, "v9"), "v0"))
	eventually(t, "v9 still exists", func() bool { return !renamed.last().Exists && h.last().Exists })
}

// A port that leaves its bridge is not deleted, though the kernel says so in
// the family of bridges.
func TestMonitorBridgePortLeaves(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	noError(t, nl.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	noError(t, nl.h.LinkSetMaster(linkOf(t, nl, "v0"), linkOf(t, nl, "br0")))
	m := newTestMonitor(t, nl)
	var h, mark history
	defer m.Watch("v0", h.add)()
	defer m.Watch("mark", mark.add)()
	noError(t, nl.h.LinkSetNoMaster(linkOf(t, nl, "v0")))
	noError(t, nl.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "mark"}}))
	eventually(t, "the mark does not exist", func() bool { return mark.last().Exists })
	for _, s := range h.list {
		if !s.Exists {
			t.Errorf("told that the port is deleted: %+v", h.list)
		}
	}
}

// Conformance I05: the primary address is the first that is not virtual.
func TestMonitorPrimaryAddress(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	m := newTestMonitor(t, nl)
	m.SetVirtual([]netip.Addr{netip.MustParseAddr("192.0.2.100")})
	var h history
	defer m.Watch("v0", h.add)()
	is := func(want string) {
		t.Helper()
		eventually(t, "the primary address of v0 is not "+want, func() bool { return h.last().Primary4.String() == want })
	}
	none := netip.Addr{}.String()
	addrAdd(t, nl, "v0", "192.0.2.100/24")
	eventually(t, "the virtual address is not seen", func() bool { return m.HasAddress("v0", netip.MustParsePrefix("192.0.2.100/24")) })
	is(none)
	addrAdd(t, nl, "v0", "192.0.2.1/24") // secondary to the virtual address
	is("192.0.2.1")
	addrAdd(t, nl, "v0", "198.51.100.1/24")
	is("198.51.100.1")
	addrDel(t, nl, "v0", "198.51.100.1/24")
	is("192.0.2.1")
	m.SetVirtual([]netip.Addr{netip.MustParseAddr("192.0.2.1")})
	is("192.0.2.100")
	addrDel(t, nl, "v0", "192.0.2.100/24")
	is(none)
}

// Conformance V10: a link-local address counts once it has passed DAD.
func TestMonitorLinkLocalAfterDAD(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	m := newTestMonitor(t, nl)
	var h history
	defer m.Watch("v0", h.add)()
	eventually(t, "no link-local address", func() bool { return h.last().LinkLocal6.IsLinkLocalUnicast() })
	addr := h.last().LinkLocal6
	m.SetVirtual([]netip.Addr{addr})
	if got := h.last().LinkLocal6; got.IsValid() {
		t.Errorf("the virtual address %v is taken", got)
	}
}

// A change that changes nothing of the state is not told.
func TestMonitorTellsOnlyChanges(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	m := newTestMonitor(t, nl)
	eventually(t, "v0 is not ready", func() bool { s := m.Get("v0"); return s.Up && s.LinkLocal6.IsValid() })
	var h history
	stop := m.Watch("v0", h.add)
	addrAdd(t, nl, "v0", "192.0.2.2/24")
	eventually(t, "the address is not seen", func() bool { return m.HasAddress("v0", netip.MustParsePrefix("192.0.2.2/24")) })
	if h.len() != 1 {
		t.Errorf("told %d times: %+v", h.len(), h.list)
	}
	stop()
	setUp(t, nl, "v0", false)
	eventually(t, "v0 is still up", func() bool { return !m.Get("v0").Up })
	if h.len() != 1 {
		t.Error("told after stop")
	}
}

// Conformance I10: messages that the kernel had to drop end in a new listing
// and the right state.
func TestMonitorOverrun(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, logs := testLog()
	m, err := NewLinkMonitor(nl, log)
	noError(t, err)
	m.buffer = 4096
	runMonitor(t, m)

	m.mu.Lock() // the monitor cannot follow
	for i := range 3000 {
		addrAdd(t, nl, "v0", fmt.Sprintf("10.0.%d.%d/32", i/250, i%250+1))
	}
	setUp(t, nl, "v1", false)
	m.mu.Unlock()

	last := netip.MustParsePrefix("10.0.11.250/32")
	eventually(t, "the last address is not known", func() bool { return m.HasAddress("v0", last) && !m.Get("v0").Up })
	if m.Resyncs() == 0 {
		t.Error("nothing was lost: the test does not test")
	}
	if !strings.Contains(logs.String(), "no buffer space") {
		t.Errorf("the log does not say why: %s", logs)
	}
	setUp(t, nl, "v1", true)
	eventually(t, "v0 is still down: the new subscription is deaf", func() bool { return m.Get("v0").Up })
}

// Conformance I08: a link that flaps ends in the right state.
func TestMonitorFlap(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	m := newTestMonitor(t, nl)
	var h history
	defer m.Watch("v0", h.add)()
	for range 100 {
		setUp(t, nl, "v0", false)
		setUp(t, nl, "v0", true)
	}
	setUp(t, nl, "v0", false)
	eventually(t, "v0 is still up", func() bool { return !h.last().Up })
	setUp(t, nl, "v0", true)
	eventually(t, "v0 is still down", func() bool { return h.last().Up })
}
