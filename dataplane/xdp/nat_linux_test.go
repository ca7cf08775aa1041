package xdp

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xvip-lb/xvip/dataplane"
)

// routed puts the test into a namespace with one veth, an address of each family
// on it, and the client as a neighbour with the MAC 02:cc:00:00:00:01. Replies
// go there. It gives the index of the veth.
func routed(t *testing.T) int {
	t.Helper()
	inNamespace(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out0"}, PeerName: "out1"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(veth))
	out, err := netlink.LinkByName("out0")
	must(err)
	peer, err := netlink.LinkByName("out1")
	must(err)
	must(netlink.LinkSetUp(out))
	must(netlink.LinkSetUp(peer))
	for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		addr, err := netlink.ParseAddr(a)
		must(err)
		addr.Flags = 0x02 // IFA_F_NODAD
		must(netlink.AddrAdd(out, addr))
	}
	mac, _ := net.ParseMAC("02:cc:00:00:00:01")
	for _, a := range []string{client4, client6} {
		must(netlink.NeighSet(&netlink.Neigh{LinkIndex: out.Attrs().Index, IP: net.ParseIP(a), HardwareAddr: mac, State: netlink.NUD_PERMANENT}))
	}
	for _, name := range []string{"net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/lo/forwarding", "net/ipv6/conf/lo/forwarding"} {
		must(os.WriteFile("/proc/sys/"+name, []byte("1"), 0o644))
	}
	return out.Attrs().Index
}

// What a real server answers leaves as the service's; what it says on its own
// behalf does not.
func TestRepliesOfNAT(t *testing.T) {
	for family, c := range map[int]struct{ from, to, real, want, errorWant string }{
		4: {client4, vip4, "198.51.100.7", "to 1, 192.0.2.100 > 192.0.2.10 ttl 63, %s 80 > 40000", "to 1, 192.0.2.100 > 192.0.2.10 ttl 63, ICMP 3/3"},
		6: {client6, vip6, "2001:db8:1::7", "to 1, 2001:db8::100 > 2001:db8::10 hops 63, %s 80 > 40000", "to 1, 2001:db8::100 > 2001:db8::10 hops 63, ICMP 1/4"},
	} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			b := matrixBed(t)
			routed(t)
			tcpService := variant(family, dataplane.TCP, "rr", server(c.real, 8080, dataplane.NAT))
			udpService := variant(family, dataplane.UDP, "rr", server(c.real, 8080, dataplane.NAT))
			b.apply(tcpService, udpService)
			reply := ethernet(ip(c.real, c.from, 6, tcp(8080, 40000, syn|ack)))
			b.want(b.through(reply), "pass_not_service") // nobody asked
			b.pass(ethernet(first(family, dataplane.TCP)))
			b.want(b.through(reply), fmt.Sprintf(c.want, "TCP"))
			b.want(b.through(ethernet(ip(c.real, c.from, 6, tcp(8081, 40000, ack)))), "pass_not_service")
			b.want(b.through(ethernet(ip(c.real, c.from, 6, tcp(8080, 40001, ack)))), "pass_not_service")

			b.pass(ethernet(first(family, dataplane.UDP)))
			b.want(b.through(ethernet(ip(c.real, c.from, 17, udp(8080, 40000, 9)))), fmt.Sprintf(c.want, "UDP"))
			kind, code, proto, quote := byte(3), byte(3), byte(1), 28
			if family == 6 {
				kind, code, proto, quote = 1, 4, 58, 48
			}
			asked := ip(c.from, c.real, 17, udp(40000, 8080, 1, 2, 3))[:quote]
			b.want(b.through(ethernet(ip(c.real, c.from, proto, icmpError(kind, code, asked)))), c.errorWant)
			st, err := b.e.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := st.Services[udpService.Key]; got.PacketsIn != 1 || got.PacketsOut != 2 {
				t.Errorf("the UDP service counts %+v", got.Counters)
			}
		})
	}
}

func TestAReplyForANeighbourThatIsNotKnownAsksForIt(t *testing.T) {
	b := matrixBed(t)
	routed(t)
	b.apply(variant(4, dataplane.TCP, "rr", server("198.51.100.7", 8080, dataplane.NAT)))
	b.pass(ethernet(ip("192.0.2.77", vip4, 6, tcp(40000, 80, syn))))
	b.want(b.through(ethernet(ip("198.51.100.7", "192.0.2.77", 6, tcp(8080, 40000, syn|ack)))), "drop_no_next_hop")
	b.pass(ethernet(ip("203.0.113.9", vip4, 6, tcp(40000, 80, syn))))
	b.want(b.through(ethernet(ip("198.51.100.7", "203.0.113.9", 6, tcp(8080, 40000, syn|ack)))), "drop_no_route")
}

// A route through a router whose MAC is known needs no look at the kernel's
// tables; a longer one that leads elsewhere goes before it.
func TestRepliesLeaveByTheRoutesThatAreKnown(t *testing.T) {
	b := matrixBed(t)
	routed(t)
	b.apply(variant(4, dataplane.TCP, "rr", server("198.51.100.7", 8080, dataplane.NAT)))
	link, err := netlink.LinkByName("out0")
	if err != nil {
		t.Fatal(err)
	}
	route := func(prefix, via string) {
		t.Helper()
		dst, err := netlink.ParseIPNet(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: net.ParseIP(via)}); err != nil {
			t.Fatal(err)
		}
	}
	route("0.0.0.0/0", client4)           // whose MAC ends in 01
	route("203.0.113.0/24", "192.0.2.66") // not known
	learn := func() []bpfWay {
		t.Helper()
		ways := newResolver(false).ways()
		b.e.mu.Lock()
		defer b.e.mu.Unlock()
		if err := b.e.tables.setWays(ways); err != nil {
			t.Fatal(err)
		}
		return ways
	}
	ways := learn()
	t.Cleanup(func() { _ = b.e.tables.setWays(nil) })
	known := 0
	for _, w := range ways {
		if w.Flags&uint8(bpfWayFlagsWAY_KNOWN) != 0 {
			known++
		}
	}
	if len(ways) < 3 || known != 1 {
		t.Fatalf("%d routes, %d known: %+v", len(ways), known, ways)
	}
	ask := func(client string) string {
		b.pass(ethernet(ip(client, vip4, 6, tcp(40000, 80, syn))))
		return b.through(ethernet(ip("198.51.100.7", client, 6, tcp(8080, 40000, syn|ack))))
	}
	// Without forwarding the kernel would say no: so it was not asked.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/forwarding", []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.want(ask("8.8.8.8"), "to 1, 192.0.2.100 > 8.8.8.8 ttl 63, TCP 80 > 40000")
	b.want(ask("203.0.113.9"), "drop_no_route")
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/forwarding", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.want(ask("203.0.113.10"), "drop_no_next_hop")
	for i := range maxWays {
		route(fmt.Sprintf("10.%d.0.0/16", i), client4)
	}
	if ways := learn(); len(ways) != 0 {
		t.Errorf("%d routes are more than the table has", len(ways))
	}
	b.want(ask("8.8.4.4"), "to 1, 192.0.2.100 > 8.8.4.4 ttl 63, TCP 80 > 40000") // by the kernel
}

// Two services may have the same real server: the connection says which.
func TestAServerOfTwoServices(t *testing.T) {
	b := matrixBed(t)
	routed(t)
	one := variant(4, dataplane.TCP, "rr", server("198.51.100.7", 8080, dataplane.NAT))
	two := one
	two.Address, two.RealServers = netip4("192.0.2.101"), []dataplane.RealServer{one.RealServers[0]}
	b.apply(one, two)
	for i, vip := range []string{"192.0.2.100", "192.0.2.101"} {
		sport := uint16(40000 + i)
		b.pass(ethernet(ip(client4, vip, 6, tcp(sport, 80, syn))))
		b.want(b.through(ethernet(ip("198.51.100.7", client4, 6, tcp(8080, sport, syn|ack)))),
			fmt.Sprintf("to 1, %s > 192.0.2.10 ttl 63, TCP 80 > %d", vip, sport))
	}
	b.apply(two)
	b.want(b.through(ethernet(ip("198.51.100.7", client4, 6, tcp(8080, 40000, ack)))), "pass_not_service")
	b.want(b.through(ethernet(ip("198.51.100.7", client4, 6, tcp(8080, 40001, ack)))), "to 1, 192.0.2.101 > 192.0.2.10 ttl 63, TCP 80 > 40001")
}
