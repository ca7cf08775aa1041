package vrrp

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// memberships counts the joins of a group on an interface of a namespace, as
// /proc/net/igmp tells (net/ipv4/igmp.c: the address in host order, in hex).
func (n *node) memberships(device, group string) (count string) {
	n.t.Helper()
	noError(n.t, within(n.ns, func() error {
		b, err := os.ReadFile("/proc/thread-self/net/igmp")
		in := ""
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if line[0] != '\t' {
				in = f[1]
			} else if in == device && f[0] == group {
				count = f[1]
			}
		}
		return err
	}))
	return count
}

// rawSockets counts the raw sockets of a namespace.
func (n *node) rawSockets() (count int) {
	n.t.Helper()
	noError(n.t, within(n.ns, func() error {
		b, err := os.ReadFile("/proc/thread-self/net/raw")
		count = bytes.Count(b, []byte("\n")) - 1
		return err
	}))
	return count
}

const group4InProc = "120000E0" // 224.0.0.18

// startMaster runs a master of one kind and waits until it holds its address.
func startMaster(t *testing.T, name string) (dut, peer *node, p *tester, spec RouterSpec) {
	t.Helper()
	dut, peer = twoNodes(t)
	p = newTester(t, peer, dut)
	spec = variantNamed(t, name).spec(100, self, high)
	dut.run(spec)
	eventually(t, "the router is master", func() bool { return dut.owns(vip4) && dut.role() == Master && dut.status().Transitions == 2 })
	return dut, peer, p, spec
}

// status is that of the only router; without content before it runs.
func (n *node) status() RouterStatus {
	for _, st := range n.set.Status() {
		return st
	}
	return RouterStatus{}
}

func (n *node) role() Role { return n.status().Role }

// The link goes: Fault, the address removed, silence. It comes back: Backup for
// a whole down interval, then Master, and the link is told.
func TestI01_I02_I03_G08_ALinkGoesAndComesBack(t *testing.T) {
	t.Parallel()
	dut, peer, p, _ := startMaster(t, "v3")
	p.next("gratuitous ARP of the takeover", gratuitous(vip4))
	setUp(t, peer.nl, "eth0", false) // takes the carrier of the other end
	eventually(t, "I01: a fault", func() bool { return dut.role() == Fault && !dut.owns(vip4) && dut.status().Transitions >= 3 })
	if st := dut.status(); !strings.Contains(st.Reason, "interface eth0 is down") || st.Transitions != 3 {
		t.Errorf("the reason is %q, %d transitions", st.Reason, st.Transitions)
	}
	before := time.Now()
	setUp(t, peer.nl, "eth0", true)
	p.next("I03: gratuitous ARP", gratuitous(vip4))
	eventually(t, "I02: master by way of backup", func() bool { return dut.role() == Master && dut.status().Transitions >= 5 })
	st := dut.status()
	if st.Since.Sub(before) < 600*time.Millisecond {
		t.Errorf("I02: master after %v, the down interval is 721 ms", st.Since.Sub(before))
	}
}

// The interface is deleted and made anew: another index, a fresh socket, the
// group joined again.
func TestI04_TheInterfaceIsMadeAnew(t *testing.T) {
	t.Parallel()
	dut, peer, _, _ := startMaster(t, "v3")
	noError(t, dut.nl.h.LinkDel(linkOf(t, dut.nl, "eth0")))
	eventually(t, "a fault", func() bool { // its addresses may go first
		st := dut.status()
		return st.Role == Fault && strings.Contains(st.Reason, "interface eth0")
	})
	noError(t, within(dut.ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(peer.ns)})
	}))
	setUp(t, peer.nl, "eth0", true)
	setUp(t, dut.nl, "eth0", true)
	p := newTester(t, peer, dut)
	addrAdd(t, dut.nl, "eth0", "10.99.0.5/24")
	eventually(t, "master again", func() bool { return dut.role() == Master && dut.owns(vip4) })
	p.next("advertisement", advert4)
	p.send((&codec{cfg: wires["v3"]}).seal(epoch, 50, high)[0], 0)
	eventually(t, "the new socket hears", func() bool { return dut.status().AdvertsReceived == 1 })
	if n := dut.memberships("eth0", group4InProc); n != "1" {
		t.Errorf("%q memberships", n)
	}
}

// The primary address changes, goes, and comes back.
func TestI05_TheSourceFollowsThePrimaryAddress(t *testing.T) {
	t.Parallel()
	dut, _, p, _ := startMaster(t, "v3")
	from := func(a string) func([]byte) bool {
		return func(f []byte) bool { return advert4(f) && bytes.Equal(f[26:30], netip.MustParseAddr(a).AsSlice()) }
	}
	p.next("advertisement from .5", from("10.99.0.5"))
	addrAdd(t, dut.nl, "eth0", "10.98.0.7/24") // comes first once .5 is gone
	addrDel(t, dut.nl, "eth0", "10.99.0.5/24")
	p.next("advertisement from the other address", from("10.98.0.7"))
	addrDel(t, dut.nl, "eth0", "10.98.0.7/24")
	eventually(t, "a fault without an address", func() bool {
		st := dut.status()
		return st.Role == Fault && strings.Contains(st.Reason, "no IPv4 address") && !dut.owns(vip4)
	})
	addrAdd(t, dut.nl, "eth0", "10.99.0.9/24")
	p.next("advertisement from .9", from("10.99.0.9"))
}

// Somebody deletes the virtual address: it is put back, and the role stays.
func TestI06_ADeletedAddressComesBack(t *testing.T) {
	t.Parallel()
	dut, _, _, _ := startMaster(t, "v3")
	for range 3 {
		addrDel(t, dut.nl, "eth0", "10.99.0.100/24")
		eventually(t, "the address is back", func() bool { return dut.owns(vip4) })
	}
	if st := dut.status(); st.Role != Master || st.Transitions != 2 {
		t.Errorf("%v after %d transitions", st.Role, st.Transitions)
	}
}

// A hundred flaps end right, with the sockets and memberships of one router.
func TestI08_FlapsLeakNothing(t *testing.T) {
	t.Parallel()
	dut, peer, _, _ := startMaster(t, "v3")
	sockets := dut.rawSockets()
	for range 100 {
		setUp(t, peer.nl, "eth0", false)
		setUp(t, peer.nl, "eth0", true)
	}
	eventually(t, "master again", func() bool { return dut.role() == Master && dut.owns(vip4) })
	if n := dut.rawSockets(); n != sockets {
		t.Errorf("%d raw sockets, before %d", n, sockets)
	}
	if n := dut.memberships("eth0", group4InProc); n != "1" {
		t.Errorf("%q memberships", n)
	}
}

// A switch that snoops learns of the join by a report: IGMP, protocol 2, for
// the group (RFC 3376: type 0x22).
func TestI09_TheJoinIsReported(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v3").spec(100, self, high))
	p.next("IGMP report for 224.0.0.18", func(f []byte) bool {
		return len(f) > 38 && f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_IGMP && bytes.Contains(f[34:], group4.AsSlice())
	})
}

// An address from an earlier life is removed by a router that starts as backup.
func TestI13_S13_LeftoversOfAnEarlierLife(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	v := variantNamed(t, "v2") // seconds: a machine that is slow for a moment changes no master
	peer.run(v.spec(255, high, self))
	eventually(t, "the peer is master", func() bool { return peer.owns(vip4) })
	addrAdd(t, dut.nl, "eth0", "10.99.0.100/24")
	dut.run(v.spec(100, self, high))
	eventually(t, "the address is removed", func() bool { return !dut.owns(vip4) && dut.status().Transitions == 1 })
	if dut.role() != Backup {
		t.Errorf("%v", dut.role())
	}
}

// A router that leaves the configuration takes its address with it and says so.
func TestS13_S23_AReload(t *testing.T) {
	t.Parallel()
	dut, _, p, spec := startMaster(t, "v3")
	spec.Config.Priority = 120
	dut.set.Update(Wanted{Routers: []RouterSpec{spec}})
	p.next("S23: the new priority", func(f []byte) bool { return advert4(f) && payload4(f)[2] == 120 })
	if st := dut.status(); st.Role != Master || st.Transitions != 2 {
		t.Errorf("%v after %d transitions", st.Role, st.Transitions)
	}
	spec.Config.AdvertInterval = 300 * time.Millisecond
	dut.set.Update(Wanted{Routers: []RouterSpec{spec}})
	p.next("T12: the new interval", func(f []byte) bool { return advert4(f) && payload4(f)[5] == 30 })
	dut.set.Update(Wanted{})
	p.next("priority 0", func(f []byte) bool { return advert4(f) && payload4(f)[2] == 0 })
	eventually(t, "the address is gone", func() bool { return !dut.owns(vip4) })
}

// Only an address that a reload adds is announced.
func TestG08_AReloadAnnouncesWhatItAdds(t *testing.T) {
	t.Parallel()
	dut, peer, p, spec := startMaster(t, "v3")
	p.next("gratuitous ARP of the takeover", gratuitous(vip4))
	p.conn = rawFrames(t, peer, "eth0")
	added := netip.MustParseAddr("10.99.0.101")
	spec.Config.Addresses = []netip.Addr{vip4, added}
	spec.Owned = append(slices.Clone(spec.Owned), VirtualAddress{Prefix: netip.PrefixFrom(added, 24), Device: "eth0"})
	dut.set.Update(Wanted{Routers: []RouterSpec{spec}})
	if f := p.next("gratuitous ARP", func(f []byte) bool { return gratuitous(vip4)(f) || gratuitous(added)(f) }); !gratuitous(added)(f) {
		t.Errorf("announced %x", f)
	}
}

// 255 virtual routers on one interface all become masters, and speak.
func TestI14_255RoutersOnOneInterface(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	var w Wanted
	for i := 1; i <= 255; i++ {
		spec := variantNamed(t, "v3").spec(100, self, high)
		addr := netip.AddrFrom4([4]byte{10, 97, 0, byte(i)})
		spec.Config.Name, spec.Config.VRID, spec.Config.AdvertInterval = fmt.Sprint("VI_", i), uint8(i), time.Second
		spec.Config.Addresses, spec.Owned = []netip.Addr{addr}, []VirtualAddress{{Prefix: netip.PrefixFrom(addr, 32), Device: "eth0"}}
		w.Routers = append(w.Routers, spec)
	}
	dut.runAll(w)
	heard := map[byte]bool{}
	for len(heard) < 255 {
		f := p.next("advertisement of another virtual router", func(f []byte) bool { return advert4(f) && !heard[payload4(f)[1]] })
		heard[payload4(f)[1]] = true
	}
}

// V10: with duplicate address detection under way there is no address to speak
// from: the router waits in Fault, and goes on when there is one.
func TestV10_ATentativeLinkLocalAddress(t *testing.T) {
	t.Parallel()
	dut, _ := twoNodes(t)
	noError(t, within(dut.ns, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_dad", []byte("1"), 0)
	}))
	link := linkOf(t, dut.nl, "eth0")
	list, err := dut.nl.h.AddrList(link, netlink.FAMILY_V6)
	noError(t, err)
	for _, a := range list {
		noError(t, dut.nl.h.AddrDel(link, &a))
	}
	spec := variantNamed(t, "v3 IPv6").spec(100, netip.Addr{}, peer6)
	dut.run(spec)
	eventually(t, "waits", func() bool {
		return dut.role() == Fault && strings.Contains(dut.status().Reason, "no link-local IPv6 address")
	})
	noError(t, dut.nl.h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("fe80::5/64"))}))
	eventually(t, "goes on", func() bool { return dut.role() == Master && dut.owns(vip6) })
}

// tcpdump finds nothing wrong with what we send.
func TestX08_TcpdumpReadsOurAdvertisements(t *testing.T) {
	for _, name := range []string{"v2", "v2 PASS", "v3", "v3 IPv6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dut, peer := twoNodes(t)
			text := filepath.Join(t.TempDir(), "dump")
			stop := peer.start(t, text, "tcpdump", "-i", "eth0", "-n", "-l", "-v", "-c", "20", "proto 112")
			defer stop()
			v := variantNamed(t, name)
			own, other := self, high
			if v.config.Family == 6 {
				own, other = self6, peer6
			}
			dut.run(v.spec(255, own, other)) // speaks at once
			want := fmt.Sprintf("VRRPv%d, Advertisement, vrid 51, prio 255", v.config.Version)
			read := func() string { b, _ := os.ReadFile(text); return string(b) }
			eventually(t, "tcpdump shows three of ours", func() bool { return strings.Count(read(), want) >= 3 })
			for _, bad := range []string{"bad", "truncated", "invalid", "unknown"} {
				if strings.Contains(read(), bad) {
					t.Errorf("tcpdump says %s:\n%s", bad, read())
				}
			}
		})
	}
}

// I04, the table: an address that is told of before its link is the link's, and
// nothing stays of one that goes again before.
func TestI04_AnAddressBeforeItsLink(t *testing.T) {
	table := newLinkTable()
	p := netip.MustParsePrefix("10.99.0.5/24")
	a := newAddrEntry(p.Addr(), unix.RT_SCOPE_UNIVERSE, 0)
	if names := table.setAddr(7, p, a); len(names) > 0 {
		t.Errorf("concerned: %q", names)
	}
	table.setLink(LinkState{Name: "eth0", Index: 7, Up: true})
	if got := table.state("eth0"); got.Primary4 != p.Addr() || !got.Exists {
		t.Errorf("%+v", got)
	}
	table.setAddr(8, p, a)
	table.deleteAddr(8, p)
	table.deleteLink(7)
	if len(table.links) > 0 || len(table.names()) > 0 {
		t.Errorf("left: %v", table.links)
	}
}

// G04 and I04 in IPv6: neighbour advertisements leave by the interface's present
// index, also in another network namespace and after it was made anew.
func TestG04_I04_AdvertisementsOfNeighboursFollowTheInterface(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v3 IPv6").spec(100, netip.Addr{}, peer6))
	na := func(f []byte) bool {
		return f[12] == 0x86 && f[13] == 0xdd && isNA(f) && bytes.Equal(f[62:78], vip6.AsSlice())
	}
	p.next("neighbour advertisement", na)
	noError(t, dut.nl.h.LinkDel(linkOf(t, dut.nl, "eth0")))
	eventually(t, "a fault", func() bool { return dut.role() == Fault })
	noError(t, within(dut.ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(peer.ns)})
	}))
	setUp(t, peer.nl, "eth0", true)
	setUp(t, dut.nl, "eth0", true)
	p = newTester(t, peer, dut)
	p.next("neighbour advertisement of the new interface", na)
}
