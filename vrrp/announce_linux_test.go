package vrrp

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// sniffer receives the Ethernet frames of one type on an interface.
type sniffer struct {
	t    *testing.T
	conn *packet.Conn
}

func sniff(t *testing.T, device string, etherType int) *sniffer {
	t.Helper()
	ifi, err := net.InterfaceByName(device)
	noError(t, err)
	conn, err := packet.Listen(ifi, packet.Raw, etherType, nil)
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &sniffer{t, conn}
}

// next gives the next frame that pass lets through.
func (s *sniffer) next(pass func([]byte) bool) []byte {
	s.t.Helper()
	noError(s.t, s.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	buf := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			s.t.Fatalf("no such frame: %v", err)
		}
		if pass(buf[:n]) {
			return bytes.Clone(buf[:n])
		}
	}
}

func isARP([]byte) bool { return true }

// isNA tells neighbour advertisements to all nodes without extension headers.
func isNA(f []byte) bool {
	return len(f) > 54 && f[14+6] == unix.IPPROTO_ICMPV6 && f[54] == 136 && net.IP(f[38:54]).Equal(net.IPv6linklocalallnodes)
}

// newTestSockets gives a sender on a pair v0, v1 in a new namespace.
func newTestSockets(t *testing.T) (*Netlink, *LinkMonitor, *AnnounceSockets) {
	t.Helper()
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	m := newTestMonitor(t, nl)
	eventually(t, "v0 is not ready", func() bool { s := m.Get("v0"); return s.Up && s.Primary4.IsValid() && s.LinkLocal6.IsValid() })
	s := NewAnnounceSockets(nl, m)
	t.Cleanup(func() { noError(t, s.Close()) })
	return nl, m, s
}

// Conformance G01 and G07: broadcast request, sender and target are the
// address, the frame's source is the sender's hardware address.
func TestAnnounceGratuitousARP(t *testing.T) {
	_, m, s := newTestSockets(t)
	in := sniff(t, "v1", unix.ETH_P_ARP)
	noError(t, s.Send(t.Context(), []VirtualAddress{vip("v0", "192.0.2.100/24"), vip("v0", "192.0.2.101/32")}, 2))

	mac := m.Get("v0").MAC()
	for i, last := range []byte{100, 101, 100, 101} {
		ip := []byte{192, 0, 2, last}
		want := bytes.Join([][]byte{
			broadcastMAC(), mac, {8, 6}, // Ethernet
			{0, 1, 8, 0, 6, 4, 0, 1}, // Ethernet, IPv4, request (RFC 826)
			mac, ip, broadcastMAC(), ip,
			make([]byte, 18), // padding to the least length of a frame
		}, nil)
		if got := in.next(isARP); !bytes.Equal(got, want) {
			t.Errorf("frame %d:\ngot  %x\nwant %x", i, got, want)
		}
	}
}

// Conformance G04: to all nodes, flags R=1 S=0 O=1, hop limit 255, target and
// target link-layer address, right checksum.
func TestAnnounceNeighborAdvertisement(t *testing.T) {
	nl, m, s := newTestSockets(t)
	o, _ := newTestOwner(nl, vip("v0", "2001:db8::100/64"))
	noError(t, o.Take(t.Context()))
	in := sniff(t, "v1", unix.ETH_P_IPV6)
	noError(t, NewAddressAnnouncer(s, o).Announce(t.Context(), 2))

	link := m.Get("v0")
	target := netip.MustParseAddr("2001:db8::100").As16()
	src := link.LinkLocal6.As16()
	for range 2 {
		f := in.next(isNA)
		if !bytes.Equal(f[6:12], link.MAC()) || f[14+7] != 255 || !bytes.Equal(f[22:38], src[:]) {
			t.Errorf("header: %x", f[:54])
		}
		icmp := f[54:]
		want := bytes.Join([][]byte{{136, 0}, icmp[2:4], {0xa0, 0, 0, 0}, target[:], {2, 1}, link.MAC()}, nil)
		if !bytes.Equal(icmp, want) {
			t.Errorf("message:\ngot  %x\nwant %x", icmp, want)
		}
		if sum := checksum6(f[22:54], icmp); sum != 0xffff {
			t.Errorf("checksum is wrong: the sum is %#x", sum)
		}
	}
}

// Without a link-local address, as while it is still tentative, the virtual
// address itself is the source.
func TestAnnounceNeighborAdvertisementWithoutLinkLocal(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	noError(t, newSysctls(nl).set("test", "ipv6/conf/v0/addr_gen_mode", "1"))
	setUp(t, nl, "v0", false)
	setUp(t, nl, "v0", true)
	m := newTestMonitor(t, nl)
	if got := m.Get("v0").LinkLocal6; got.IsValid() {
		t.Fatalf("link-local address %v", got)
	}
	s := NewAnnounceSockets(nl, m)
	t.Cleanup(func() { noError(t, s.Close()) })
	o, _ := newTestOwner(nl, vip("v0", "2001:db8::100/64"), vip("v0", "2001:db8::101/64"))
	noError(t, o.Take(t.Context()))
	eventually(t, "v0 is not up", func() bool { return m.Get("v0").Up })
	in := sniff(t, "v1", unix.ETH_P_IPV6)
	noError(t, NewAddressAnnouncer(s, o).Announce(t.Context(), 1))
	for _, a := range []string{"2001:db8::100", "2001:db8::101"} {
		want := netip.MustParseAddr(a).As16()
		if f := in.next(isNA); !bytes.Equal(f[22:38], want[:]) || !bytes.Equal(f[62:78], want[:]) {
			t.Errorf("want %s as source and target: %x", a, f)
		}
	}
}

// checksum6 sums an ICMPv6 message with its pseudo-header (RFC 8200 §8.1); a
// right one gives 0xffff.
func checksum6(addrs, msg []byte) uint32 {
	var sum uint32
	for _, part := range [][]byte{addrs, {0, 0, byte(len(msg) >> 8), byte(len(msg))}, {0, 0, 0, unix.IPPROTO_ICMPV6}, msg} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// Conformance I04: an interface that is made anew has another number and
// hardware address; the next announcement uses them.
func TestAnnounceOnInterfaceMadeAnew(t *testing.T) {
	nl, m, s := newTestSockets(t)
	list := []VirtualAddress{vip("v0", "192.0.2.100/24")}
	noError(t, s.Send(t.Context(), list, 1))
	old := m.Get("v0")
	noError(t, nl.h.LinkDel(linkOf(t, nl, "v0")))
	eventually(t, "v0 still exists", func() bool { return !m.Get("v0").Exists })
	if err := s.Send(t.Context(), list, 3); err == nil || strings.Count(err.Error(), "no such interface") != 1 {
		t.Errorf("got %v, want one error that says so", err)
	}
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	eventually(t, "v0 is not back", func() bool { return m.Get("v0").Up })
	in := sniff(t, "v1", unix.ETH_P_ARP)
	noError(t, s.Send(t.Context(), list, 1))
	if f := in.next(isARP); !bytes.Equal(f[6:12], m.Get("v0").MAC()) || bytes.Equal(f[6:12], old.MAC()) {
		t.Errorf("source of the frame: %x", f[6:12])
	}
}

// One interface that fails does not silence the others, and loopback is silent.
func TestAnnounceFailureIsOfOneInterface(t *testing.T) {
	nl, m, s := newTestSockets(t)
	addVeth(t, nl, "w0", "w1")
	setUp(t, nl, "w0", false)
	eventually(t, "w0 is still up", func() bool { return !m.Get("w0").Up })
	in := sniff(t, "v1", unix.ETH_P_ARP)
	err := s.Send(t.Context(), []VirtualAddress{vip("w0", "198.51.100.1/32"), vip("lo", "198.51.100.2/32"), vip("v0", "192.0.2.100/24")}, 1)
	if err == nil || !strings.Contains(err.Error(), `announce "198.51.100.1" on "w0"`) || strings.Contains(err.Error(), `"lo"`) {
		t.Errorf("got %v", err)
	}
	if f := in.next(isARP); !bytes.Equal(f[38:42], []byte{192, 0, 2, 100}) {
		t.Errorf("got %x", f)
	}
}

func TestAnnounceCancelled(t *testing.T) {
	_, _, s := newTestSockets(t)
	s.SetPaces(time.Hour, time.Hour, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := s.Send(ctx, []VirtualAddress{vip("v0", "192.0.2.100/24")}, 2)
	if err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}

func TestPacesOfInterfaces(t *testing.T) {
	s := NewAnnounceSockets(nil, nil)
	s.SetPaces(time.Second, 0, []Pace{{Devices: []string{"a", "b"}, GARP: time.Minute, GNA: time.Hour}})
	if a, b := s.pace("a"), s.pace("b"); a != b || a.gap != [2]time.Duration{time.Minute, time.Hour} {
		t.Errorf("the group: %v and %v", a.gap, b.gap)
	}
	if c, d := s.pace("c"), s.pace("d"); c == d || c != s.pace("c") || c.gap != [2]time.Duration{time.Second, 0} {
		t.Errorf("the others: %v and %v", c.gap, d.gap)
	}
	s.SetPaces(0, 0, nil)
	if a := s.pace("a"); a.gap != [2]time.Duration{} {
		t.Errorf("after a reload: %v", a.gap)
	}
}

// Conformance G02: the interval holds for all that share it, each family alone.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(100*time.Millisecond, 0)
		start := time.Now()
		done := make(chan time.Duration, 20)
		for range 10 {
			go func() {
				noError(t, p.wait(t.Context(), true))
				done <- time.Since(start)
			}()
		}
		for i := range 10 {
			if got, want := <-done, time.Duration(i)*100*time.Millisecond; got != want {
				t.Errorf("number %d came after %v, want %v", i, got, want)
			}
		}
		before := time.Now()
		for range 10 {
			noError(t, p.wait(t.Context(), false))
		}
		if d := time.Since(before); d != 0 {
			t.Errorf("a pace of 0 took %v", d)
		}
		<-time.After(time.Hour)
		before = time.Now()
		noError(t, p.wait(t.Context(), true))
		if d := time.Since(before); d != 0 {
			t.Errorf("after a long silence it waited %v", d)
		}
	})
}
