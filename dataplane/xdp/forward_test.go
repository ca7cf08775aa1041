package xdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// pass feeds one frame and gives the verdict and what came out.
func (b *bed) pass(in []byte) (verdict string, out []byte) {
	b.t.Helper()
	before := b.verdicts()
	opt := &ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+256)}
	if _, err := b.e.objs.Xvip.Run(opt); err != nil {
		b.t.Fatal(err)
	}
	for v, n := range b.verdicts() {
		if n != before[v] {
			verdict += v
		}
	}
	return verdict, opt.DataOut
}

// through feeds a frame and describes what is forwarded, or gives the verdict.
func (b *bed) through(in []byte) string {
	b.t.Helper()
	verdict, out := b.pass(in)
	if strings.HasPrefix(verdict, "forward") || strings.HasPrefix(verdict, "answer") {
		return describe(out)
	}
	return verdict
}

const (
	client4, vip4 = "192.0.2.10", "192.0.2.100"
	client6, vip6 = "2001:db8::10", "2001:db8::100"
)

// variant is a service with one kind of real server.
func variant(family int, proto dataplane.Protocol, sched dataplane.Scheduler, real dataplane.RealServer) dataplane.VirtualService {
	vip := vip4
	if family == 6 {
		vip = vip6
	}
	s := dataplane.VirtualService{Key: dataplane.Key{Address: netip.MustParseAddr(vip), Port: 80, Protocol: proto}, Scheduler: sched, Active: true}
	real.Weight = 1
	s.RealServers = []dataplane.RealServer{real}
	return s
}

func server(addr string, p uint16, m dataplane.Method, tunnel ...dataplane.Tunnel) dataplane.RealServer {
	r := dataplane.RealServer{Address: netip.MustParseAddr(addr), Port: p, Method: m}
	if len(tunnel) > 0 {
		r.Tunnel = tunnel[0]
	}
	return r
}

// first is a packet that begins a flow to the service.
func first(family int, proto dataplane.Protocol) []byte {
	from, to := client4, vip4
	if family == 6 {
		from, to = client6, vip6
	}
	switch proto {
	case dataplane.TCP:
		return ip(from, to, 6, tcp(40000, 80, syn))
	case dataplane.UDP:
		return ip(from, to, 17, udp(40000, 80, 1, 2, 3))
	}
	return ip(from, to, 132, sctp(40000, 80, 1))
}

// Every method, family, protocol and kind of scheduler: what goes in and out.
func TestForwardingMatrix(t *testing.T) {
	real4, real6 := "198.51.100.7", "2001:db8:1::7"
	gue := dataplane.Tunnel{Type: dataplane.GUE, Port: gueTestPort}
	inner := map[int]string{4: "192.0.2.10 > 192.0.2.100 ttl 63", 6: "2001:db8::10 > 2001:db8::100 hops 63"}
	ports := func(p dataplane.Protocol) string { return strings.ToUpper(p.String()) + " 40000 > 80" }
	for _, c := range []struct {
		name   string
		family int
		real   dataplane.RealServer
		want   string // %s is the inner packet and ports
		nat    bool
	}{
		{"DR", 4, server(real4, 80, dataplane.DR), "to 7, %s", false},
		{"DR", 6, server(real6, 80, dataplane.DR), "to 7, %s", false},
		{"IPIP", 4, server(real4, 80, dataplane.TUN), "to 7, 192.0.2.1 > 198.51.100.7 ttl 63, IPIP, %s", false},
		{"IPIP in IPv6", 4, server(real6, 80, dataplane.TUN), "to 7, 2001:db8::1 > 2001:db8:1::7 hops 63, IPIP, %s", false},
		{"IPIP", 6, server(real6, 80, dataplane.TUN), "to 7, 2001:db8::1 > 2001:db8:1::7 hops 63, IPIP, %s", false},
		{"IPIP in IPv4", 6, server(real4, 80, dataplane.TUN), "to 7, 192.0.2.1 > 198.51.100.7 ttl 63, IPIP, %s", false},
		{"GRE", 4, server(real4, 80, dataplane.TUN, dataplane.Tunnel{Type: dataplane.GRE}), "to 7, 192.0.2.1 > 198.51.100.7 ttl 63, GRE, %s", false},
		{"GRE", 6, server(real6, 80, dataplane.TUN, dataplane.Tunnel{Type: dataplane.GRE}), "to 7, 2001:db8::1 > 2001:db8:1::7 hops 63, GRE, %s", false},
		{"GUE", 4, server(real4, 80, dataplane.TUN, gue), "to 7, 192.0.2.1 > 198.51.100.7 ttl 63, GUE, IPIP, %s", false},
		{"GUE in IPv6", 4, server(real6, 80, dataplane.TUN, gue), "to 7, 2001:db8::1 > 2001:db8:1::7 hops 63, GUE, IPIP, %s", false},
		{"NAT", 4, server(real4, 8080, dataplane.NAT), "to 7, 192.0.2.10 > 198.51.100.7 ttl 63, %s 40000 > 8080", true},
		{"NAT", 6, server(real6, 8080, dataplane.NAT), "to 7, 2001:db8::10 > 2001:db8:1::7 hops 63, %s 40000 > 8080", true},
	} {
		for _, sched := range []dataplane.Scheduler{"rr", "wlc", "sh", "mh"} {
			for _, proto := range []dataplane.Protocol{dataplane.TCP, dataplane.UDP, dataplane.SCTP} {
				if c.nat && proto == dataplane.SCTP {
					continue
				}
				t.Run(fmt.Sprintf("%s/IPv%d/%s/%s", c.name, c.family, proto, sched), func(t *testing.T) {
					b := matrixBed(t)
					b.apply(variant(c.family, proto, sched, c.real))
					want := fmt.Sprintf(c.want, inner[c.family]+", "+ports(proto))
					if c.nat {
						want = fmt.Sprintf(c.want, strings.ToUpper(proto.String()))
					}
					b.want(b.through(ethernet(first(c.family, proto))), want)
				})
			}
		}
	}
}

// matrixBed is the bed of all cases of a table: loading takes longer than a case.
func matrixBed(t *testing.T) *bed {
	t.Helper()
	if shared == nil {
		shared = makeBed(t, 1<<16)
	}
	b := *shared
	b.t = t
	b.apply() // nothing of the case before
	if err := b.e.sweeper.all(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestVLAN(t *testing.T) {
	b := matrixBed(t)
	b.apply(variant(4, dataplane.TCP, "rr", server("198.51.100.7", 80, dataplane.DR)))
	p := first(4, dataplane.TCP)
	rest := "192.0.2.10 > 192.0.2.100 ttl 63, TCP 40000 > 80"
	tag := func(n int) {
		b.hops(func(r *bpfReal) {
			copy(r.L2[12:], []byte{0x81, 0, 0, 30, 0x81, 0, 0, 40}[:4*n])
			copy(r.L2[12+4*n:], []byte{8, 0})
			r.L2Len = uint8(14 + 4*n)
		})
	}
	out := []string{"to 7, " + rest, "to 7, vlan 30, " + rest, "to 7, vlan 30, vlan 40, " + rest}
	for n := range out {
		tag(n)
		for in, frame := range [][]byte{ethernet(p), ethernet(p, 10), ethernet(p, 10, 20)} {
			if got := b.through(frame); got != out[n] {
				t.Errorf("%d tags in, %d out: %s", in, n, got)
			}
		}
	}
	b.want(b.through(ethernet(p, 1, 2, 3)), "pass_not_ip")
}

func TestIPv6ExtensionHeaders(t *testing.T) {
	b := matrixBed(t)
	b.apply(variant(6, dataplane.TCP, "rr", server("2001:db8:1::7", 80, dataplane.DR)))
	p := first(6, dataplane.TCP)
	hop := append([]byte{0}, make([]byte, 7)...)
	dest := append([]byte{60, 1}, make([]byte, 14)...)
	auth := append([]byte{51, 4}, make([]byte, 22)...)
	for name, c := range map[string]struct {
		headers [][]byte
		want    string
	}{
		"hop by hop":                      {[][]byte{hop}, "forward_tx"},
		"hop by hop, destination":         {[][]byte{hop, dest}, "forward_tx"},
		"authentication":                  {[][]byte{auth}, "forward_tx"},
		"six of them":                     {[][]byte{hop, dest, dest, auth, dest, dest}, "forward_tx"},
		"more than anyone sends":          {[][]byte{hop, dest, dest, dest, dest, dest, dest}, "pass_not_service"},
		"a header that ends outside":      {[][]byte{append([]byte{60, 200}, make([]byte, 6)...)}, "drop_malformed"},
		"first fragment":                  {[][]byte{{44, 0, 0, 1, 0, 0, 0, 9}}, "forward_tx"},
		"later fragment of it":            {[][]byte{{44, 0, 0, 9, 0, 0, 0, 9}}, "forward_tx"},
		"later fragment of another":       {[][]byte{{44, 0, 0, 9, 0, 0, 0, 8}}, "pass_fragment"},
		"routing and then no next header": {[][]byte{append([]byte{43}, make([]byte, 7)...)}, "forward_tx"},
	} {
		if strings.HasPrefix(name, "later fragment of it") {
			b.pass(ethernet(extended(p, []byte{44, 0, 0, 1, 0, 0, 0, 9})))
		}
		if got, _ := b.pass(ethernet(extended(p, c.headers...))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestFragmentsFollowTheFirst(t *testing.T) {
	b := matrixBed(t)
	svc := variant(4, dataplane.UDP, "rr", server("198.51.100.7", 8080, dataplane.NAT))
	svc.RealServers = append(svc.RealServers, server("198.51.100.8", 8080, dataplane.NAT))
	svc.RealServers[1].Weight = 1
	b.apply(svc)
	p := first(4, dataplane.UDP)
	b.want(b.through(ethernet(fragmented(p, 5, 0x0010))), "pass_fragment")
	b.want(b.through(ethernet(fragmented(p, 5, 0x2000))), "to 7, 192.0.2.10 > 198.51.100.7 ttl 63, first fragment, 40000 > 8080")
	b.want(b.through(ethernet(fragmented(p, 5, 0x2010))), "to 7, 192.0.2.10 > 198.51.100.7 ttl 63, later fragment")
	b.want(b.through(ethernet(fragmented(p, 5, 0x0020))), "to 7, 192.0.2.10 > 198.51.100.7 ttl 63, later fragment")
	b.want(b.through(ethernet(fragmented(p, 6, 0x0020))), "pass_fragment")
}

func TestICMPErrorsReachTheServerOfTheirFlow(t *testing.T) {
	quoted4 := ip(vip4, client4, 6, tcp(80, 40000, ack))[:28]
	quoted6 := ip(vip6, client6, 6, tcp(80, 40000, ack))[:48]
	error4 := ip("203.0.113.1", vip4, 1, icmpError(3, 4, quoted4))
	error6 := ip("2001:db8:f::1", vip6, 58, icmpError(2, 0, quoted6))
	for _, c := range []struct {
		name   string
		family int
		real   dataplane.RealServer
		sched  dataplane.Scheduler
		want   string
	}{
		{"DR", 4, server("198.51.100.7", 80, dataplane.DR), "rr", "to 7, 203.0.113.1 > 192.0.2.100 ttl 63, ICMP 3/4"},
		{"DR stateless", 4, server("198.51.100.7", 80, dataplane.DR), "mh", "to 7, 203.0.113.1 > 192.0.2.100 ttl 63, ICMP 3/4"},
		{"TUN", 4, server("198.51.100.7", 80, dataplane.TUN), "rr", "to 7, 192.0.2.1 > 198.51.100.7 ttl 63, IPIP, 203.0.113.1 > 192.0.2.100 ttl 63, ICMP 3/4"},
		{"NAT", 4, server("198.51.100.7", 8080, dataplane.NAT), "rr", "to 7, 203.0.113.1 > 198.51.100.7 ttl 63, ICMP 3/4"},
		{"DR", 6, server("2001:db8:1::7", 80, dataplane.DR), "rr", "to 7, 2001:db8:f::1 > 2001:db8::100 hops 63, ICMP 2/0"},
		{"NAT", 6, server("2001:db8:1::7", 8080, dataplane.NAT), "rr", "to 7, 2001:db8:f::1 > 2001:db8:1::7 hops 63, ICMP 2/0"},
	} {
		t.Run(fmt.Sprintf("%s/IPv%d", c.name, c.family), func(t *testing.T) {
			b := matrixBed(t)
			b.apply(variant(c.family, dataplane.TCP, c.sched, c.real))
			report := error4
			if c.family == 6 {
				report = error6
			}
			if c.sched == "rr" {
				b.want(b.through(ethernet(report)), "pass_no_connection")
			}
			b.pass(ethernet(first(c.family, dataplane.TCP)))
			verdict, out := b.pass(ethernet(report))
			b.want(verdict, "forward_tx")
			b.want(describe(out), c.want)
			if c.real.Method == dataplane.NAT {
				checkQuote(t, out, c.real)
			}
		})
	}
	t.Run("echo and others go to the stack", func(t *testing.T) {
		b := matrixBed(t)
		b.apply(variant(4, dataplane.TCP, "rr", server("198.51.100.7", 80, dataplane.DR)))
		b.want(b.through(ethernet(ip(client4, vip4, 1, []byte{8, 0, 0, 0, 0, 1, 0, 1}))), "pass_not_service")
		other := ip("203.0.113.1", vip4, 1, icmpError(3, 1, ip("192.0.2.99", client4, 6, tcp(80, 40000, ack))[:28]))
		b.want(b.through(ethernet(other)), "pass_not_service") // quotes what the address never sent
	})
}

// checkQuote: the server must know the quoted packet as its own.
func checkQuote(t *testing.T, frame []byte, real dataplane.RealServer) {
	t.Helper()
	p := frame[14:]
	quote, ports := p[28:], 20
	src := func() netip.Addr { a, _ := netip.AddrFromSlice(quote[12:16]); return a }
	if p[0]>>4 == 6 {
		quote, ports = p[48:], 40
		src = func() netip.Addr { a, _ := netip.AddrFromSlice(quote[8:24]); return a }
	} else if checksum(quote[:20]) != 0 {
		t.Error("the quoted header has a wrong checksum")
	}
	if src() != real.Address || port(quote, ports) != real.Port {
		t.Errorf("quotes %s:%d, not the server %s", src(), port(quote, ports), real.Key())
	}
}

// TestTheShortWayOfATunnel: IPv4 in IPv4 has code of its own, which gives the very
// packets of the long way, octet by octet.
func TestTheShortWayOfATunnel(t *testing.T) {
	b := matrixBed(t)
	b.apply(variant(4, dataplane.TCP, "mh", server("198.51.100.7", 80, dataplane.TUN)))
	set := func(short bool, l2 uint8) {
		b.hops(func(r *bpfReal) {
			r.Flags &^= uint32(bpfRealFlagsREAL_IPIP4)
			if short {
				r.Flags |= uint32(bpfRealFlagsREAL_IPIP4)
			}
			r.L2Len = l2
			copy(r.L2[12:], []byte{0x81, 0, 0, 30, 0x81, 0, 0, 40, 8, 0}[22-l2:]) // the tags that are left, and the type
		})
	}
	differ := map[string]bool{}
	for _, l2 := range []uint8{14, 18, 22} {
		for _, size := range []int{0, 1, 700, 1440, 1441} {
			for _, head := range []struct{ tos, ttl, id uint8 }{{0, 64, 0}, {0xb8, 255, 7}, {3, 2, 1}, {255, 1, 0}, {0, 0, 0}, {0x55, 128, 255}} {
				p := ip(client4, vip4, 6, tcp(40000, 80, ack, make([]byte, size)...))
				p[1], p[8] = head.tos, head.ttl
				for tags := range 3 {
					in := ethernet(fragmented(p, uint16(head.id)<<8, 0x4000), []uint16{10, 20}[:tags]...)
					set(true, l2)
					verdict, short := b.pass(in)
					set(false, l2)
					want, long := b.pass(in)
					differ[want] = true
					if b.want(verdict, want); !bytes.Equal(short, long) {
						t.Errorf("to %d octets of frame header, from %d tags, %d octets, TOS %d, TTL %d:\n% x, the long way gives\n% x", l2, tags, size, head.tos, head.ttl, short, long)
					}
				}
			}
		}
	}
	for _, v := range []string{"forward_tx", "answer_too_big", "drop_ttl"} {
		if !differ[v] {
			t.Errorf("no packet met %s", v)
		}
	}
}

func TestTooBigForTheTunnelIsAnswered(t *testing.T) {
	for family, c := range map[int]struct {
		fits, over int // octets of payload
		want       string
		mtu        uint16
	}{
		4: {1440, 1441, "to 2, 192.0.2.100 > 192.0.2.10 ttl 64, ICMP 3/4", 1480},
		6: {1400, 1401, "to 2, 2001:db8::100 > 2001:db8::10 hops 64, ICMP 2/0", 1460},
	} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			b := matrixBed(t)
			from, to, real := client4, vip4, "198.51.100.7"
			if family == 6 {
				from, to, real = client6, vip6, "2001:db8:1::7"
			}
			b.apply(variant(family, dataplane.TCP, "mh", server(real, 80, dataplane.TUN)))
			if got := b.through(ethernet(ip(from, to, 6, tcp(40000, 80, ack, make([]byte, c.fits)...)))); !strings.Contains(got, "IPIP") {
				t.Errorf("what just fits: %s", got)
			}
			for tags := range 3 {
				verdict, out := b.pass(ethernet(ip(from, to, 6, tcp(40000, 80, ack, make([]byte, c.over)...)), []uint16{10, 20}[:min(tags, 2)]...))
				b.want(verdict, "answer_too_big")
				got := describe(out)
				for i := range tags {
					got = strings.Replace(got, fmt.Sprintf("vlan %d, ", 10*(i+1)), "", 1)
				}
				b.want(got, c.want)
				p := out[14+4*tags:]
				at := 26
				if family == 6 {
					at = 46
				}
				if got := port(p, at); got != c.mtu {
					t.Errorf("next hop MTU %d, want %d", got, c.mtu)
				}
			}
		})
	}
}

func TestMartiansLoopsAndOthers(t *testing.T) {
	b := matrixBed(t)
	b.apply(variant(4, dataplane.TCP, "rr", server("198.51.100.7", 80, dataplane.DR)), variant(6, dataplane.TCP, "rr", server("2001:db8:1::7", 80, dataplane.DR)))
	for src, want := range map[string]string{
		"127.0.0.1": "drop_martian", "0.0.0.0": "drop_martian", "224.0.0.1": "drop_martian", "255.255.255.255": "drop_martian", vip4: "drop_martian",
		"::1": "drop_martian", "::": "drop_martian", "ff02::1": "drop_martian", "::ffff:192.0.2.10": "drop_martian", vip6: "drop_martian", "2001:db8::55": "forward_tx",
	} {
		dst, s := vip4, netip.MustParseAddr(src)
		if s.Is6() {
			dst = vip6
		}
		if got, _ := b.pass(ethernet(ip(src, dst, 6, tcp(1, 80, syn)))); got != want {
			t.Errorf("from %s: %s, want %s", src, got, want)
		}
	}
	for _, p := range [][]byte{first(4, dataplane.TCP), first(6, dataplane.TCP)} {
		if p[0]>>4 == 4 {
			p[8], p[10], p[11] = 1, 0, 0
		} else {
			p[7] = 1
		}
		b.want(b.through(ethernet(p)), "drop_ttl")
	}
}

func TestServicesOnAllPorts(t *testing.T) {
	b := matrixBed(t)
	all := variant(4, dataplane.TCP, "rr", server("198.51.100.7", 0, dataplane.NAT))
	all.Port = 0
	b.apply(all, variant(4, dataplane.TCP, "rr", server("198.51.100.8", 80, dataplane.DR)))
	b.want(b.through(ethernet(ip(client4, vip4, 6, tcp(40000, 80, syn)))), "to 8, 192.0.2.10 > 192.0.2.100 ttl 63, TCP 40000 > 80")
	b.want(b.through(ethernet(ip(client4, vip4, 6, tcp(40000, 81, syn)))), "to 7, 192.0.2.10 > 198.51.100.7 ttl 63, TCP 40000 > 81")
	b.want(b.through(ethernet(ip(client4, vip4, 17, udp(40000, 81)))), "pass_not_service")
}

func TestPersistence(t *testing.T) {
	b := matrixBed(t)
	svc := web("rr", 1, 1, 1)
	svc.Persistence, svc.PersistenceBits = 50*time.Second, 24
	b.apply(svc)
	servers := func(src string, sport uint16) string { return b.send(frame{src: src, sport: sport}) }
	b.want(servers("10.0.0.1", 1), "forward_tx 1")
	b.want(servers("10.0.0.1", 2), "forward_tx 1") // same client
	b.want(servers("10.0.0.9", 3), "forward_tx 1") // same network
	b.want(servers("10.0.1.1", 1), "forward_tx 2") // another
	b.want(servers("10.0.0.1", 4), "forward_tx 1")
	gone := svc
	gone.RealServers = svc.RealServers[1:]
	b.apply(gone)
	if got := servers("10.0.0.1", 5); got == "forward_tx 1" {
		t.Error("the server has gone and still gets the client")
	}
}

func TestOnePacketScheduling(t *testing.T) {
	b := matrixBed(t)
	svc := variant(4, dataplane.UDP, "rr", server("198.51.100.7", 80, dataplane.DR))
	svc.RealServers = append(svc.RealServers, server("198.51.100.8", 80, dataplane.DR))
	svc.RealServers[1].Weight, svc.OnePacket = 1, true
	b.apply(svc)
	for _, want := range []string{"to 7", "to 8", "to 7", "to 8"} {
		got, _, _ := strings.Cut(b.through(ethernet(first(4, dataplane.UDP))), ",")
		b.want(got, want)
	}
}
