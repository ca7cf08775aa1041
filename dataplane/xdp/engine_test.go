package xdp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// bed is an engine on no interface, with its tables under a directory of its
// own, and the program to feed packets to.
type bed struct {
	t          *testing.T
	e          *Engine
	dir        string
	interfaces []string // of the next start
	conns      int
}

var serial int

// shared is the bed of the tests that only look at packets; TestMain removes it.
var shared *bed

func newBed(t *testing.T) *bed {
	t.Helper()
	return newSmallBed(t, 1<<16)
}

// newSmallBed is a bed with so many connections.
func newSmallBed(t *testing.T, conns int) *bed {
	t.Helper()
	b := makeBed(t, conns)
	t.Cleanup(func() {
		if err := b.remove(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func makeBed(t *testing.T, conns int) *bed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root; this is uid", os.Geteuid())
	}
	serial++
	b := &bed{t: t, conns: conns, dir: filepath.Join("/sys/fs/bpf", fmt.Sprintf("xvip-test-%d-%d", os.Getpid(), serial))}
	b.start()
	return b
}

func (b *bed) remove() error {
	err := errors.Join(b.e.Withdraw(context.Background()), b.e.Close())
	if _, left := os.Stat(b.dir); left == nil {
		err = errors.Join(err, fmt.Errorf("%s is left behind", b.dir))
	}
	return err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "remove the shared tables:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func (b *bed) start() {
	b.t.Helper()
	e, err := New(context.Background(), Options{PinDir: b.dir, Interfaces: b.interfaces, ConnTableSize: b.conns, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.e = e
}

// restart is a daemon that ends without a clean stop, and the next one.
func (b *bed) restart() {
	b.t.Helper()
	if err := b.e.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

func web(sched dataplane.Scheduler, weights ...uint32) dataplane.VirtualService {
	s := dataplane.VirtualService{Key: dataplane.Key{Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Protocol: dataplane.TCP},
		Scheduler: sched, Active: true}
	for i, w := range weights {
		s.RealServers = append(s.RealServers, dataplane.RealServer{Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), Port: 80, Method: dataplane.DR, Weight: w})
	}
	return s
}

// apply sets the services and gives every real server a next hop: the MAC
// 02:aa:00:00:00:N for the server that ends in .N, out of interface 1, where
// test packets come in.
func (b *bed) apply(want ...dataplane.VirtualService) {
	b.t.Helper()
	if err := b.e.Apply(context.Background(), want); err != nil {
		b.t.Fatal(err)
	}
	b.hops(func(r *bpfReal) {
		a := wordsAddr(r.Addr).As16()
		copy(r.L2[:], []byte{2, 0xaa, 0, 0, 0, a[15], 2, 0xbb, 0, 0, 0, 0, 8, 0})
		if wordsAddr(r.Addr).Is6() {
			copy(r.L2[12:], []byte{0x86, 0xdd})
		}
		r.L2Len, r.Ifindex, r.Mtu, r.TunnelSource = 14, 1, 1500, directorOn(r.Addr)
		r.OuterSum = outerSum(*r)
		r.Flags |= uint32(bpfRealFlagsREAL_RESOLVED)
	})
}

// directorOn is the tunnel source of the family.
func directorOn(addr [4]uint32) [4]uint32 {
	if wordsAddr(addr).Is4() {
		return addrWords(netip.MustParseAddr("192.0.2.1"))
	}
	return addrWords(netip.MustParseAddr("2001:db8::1"))
}

func (b *bed) hops(change func(*bpfReal)) {
	b.t.Helper()
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	for i, r := range b.e.tables.reals {
		change(&r)
		if err := b.e.tables.putReal(i, r); err != nil {
			b.t.Fatal(err)
		}
	}
}

// send feeds one frame and tells what came of it: the verdict, and for a
// forwarded frame the last octet of its destination MAC.
func (b *bed) send(f frame) string {
	b.t.Helper()
	before := b.verdicts()
	in := f.bytes()
	out := make([]byte, len(in)+256)
	opt := &ebpf.RunOptions{Data: in, DataOut: out}
	action, err := b.e.objs.Xvip.Run(opt)
	if err != nil {
		b.t.Fatal(err)
	}
	got, name := opt.DataOut, ""
	for v, n := range b.verdicts() {
		if n != before[v] {
			name += v
		}
	}
	want := map[string]uint32{"pass": xdpPass, "drop": xdpDrop}[strings.SplitN(name, "_", 2)[0]]
	switch name {
	case "forward_tx":
		want = xdpTX
	case "forward_redirect":
		want = xdpRedirect
	}
	if action != want {
		b.t.Errorf("verdict %q, but action %d", name, action)
	}
	if !strings.HasPrefix(name, "forward") {
		if !bytes.Equal(got, in) {
			b.t.Errorf("%s changed the frame", name)
		}
		return name
	}
	if want := hopSpent(in); !bytes.Equal(got[12:], want[12:]) {
		b.t.Errorf("direct routing changed more than the MACs and the hop limit:\n%x\n%x", want, got)
	}
	if !bytes.Equal(got[6:8], []byte{2, 0xbb}) {
		b.t.Errorf("source MAC %x is not that of the way out", got[6:12])
	}
	return fmt.Sprintf("%s %d", name, got[5])
}

// hopSpent is the IPv4 frame with one hop less and the checksum right.
func hopSpent(in []byte) []byte {
	out := bytes.Clone(in)
	ip := out[14 : 14+int(in[14]&15)*4]
	ip[8]--
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return out
}

func (b *bed) verdicts() map[string]uint64 {
	b.t.Helper()
	m := map[string]uint64{}
	for v := bpfVerdict(0); v < bpfVerdictVERDICTS; v++ {
		c, err := readCounters(b.e.objs.Verdicts, uint32(v))
		if err != nil {
			b.t.Fatal(err)
		}
		m[verdictName(v)] = c.Packets
	}
	return m
}

func (b *bed) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerdicts(t *testing.T) {
	b := newBed(t)
	udp := web("rr", 1)
	udp.Port, udp.Protocol, udp.RealServers[0].Port = 53, dataplane.UDP, 53
	idle := web("rr", 1)
	idle.Address, idle.Active = netip.MustParseAddr("192.0.2.101"), false
	empty := web("rr")
	empty.Address = netip.MustParseAddr("192.0.2.102")
	b.apply(web("rr", 1), udp, idle, empty)
	for _, c := range []struct {
		name string
		f    frame
		want string
	}{
		{"SYN to the service", frame{}, "forward_tx 1"},
		{"ACK of that flow", frame{flags: ack}, "forward_tx 1"},
		{"UDP to the service", frame{udp: true, dport: 53, payload: 30}, "forward_tx 1"},
		{"another port", frame{dport: 81}, "pass_not_service"},
		{"another address", frame{dst: "192.0.2.99"}, "pass_not_service"},
		{"UDP to the TCP service", frame{udp: true}, "pass_not_service"},
		{"ICMP", frame{protocol: 1}, "pass_not_service"},
		{"VRRP", frame{protocol: 112, dst: "224.0.0.18"}, "pass_not_service"},
		{"ARP", frame{etherType: 0x0806}, "pass_not_ip"},
		{"a first fragment", frame{fragment: 0x2000, sport: 2}, "forward_tx 1"},
		{"a later fragment of it", frame{fragment: 0x0020, sport: 2}, "forward_tx 1"},
		{"a later fragment", frame{fragment: 0x0010, src: "192.0.2.77"}, "pass_fragment"},
		{"don't fragment", frame{fragment: 0x4000, sport: 1}, "forward_tx 1"},
		{"IP options", frame{options: 4, sport: 3}, "forward_tx 1"},
		{"the address is elsewhere", frame{dst: "192.0.2.101"}, "pass_inactive"},
		{"ACK of no flow", frame{flags: ack, sport: 5}, "pass_no_connection"},
		{"SYN and ACK is no new flow", frame{flags: syn | ack, sport: 6}, "pass_no_connection"},
		{"nobody serves", frame{dst: "192.0.2.102"}, "pass_no_server"},
		{"cut in the TCP header", frame{cut: 1}, "drop_malformed"},
		{"cut in the IP header", frame{cut: 30}, "drop_malformed"},
		{"cut in the UDP header", frame{udp: true, dport: 53, cut: 1}, "drop_malformed"},
		{"longer than it is", frame{totalLength: 1000}, "drop_malformed"},
		{"header length 0", frame{ihl: 0xf0 & 0x0f}, "forward_tx 1"},
		{"header length 4", frame{ihl: 4}, "drop_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := *b
			b.t = t
			b.want(b.send(c.f), c.want)
		})
	}
}

func TestEveryLengthOfFrameGetsAVerdictAndIsNeverForwardedShort(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1))
	full := frame{}.bytes()
	for n := 14; n < len(full); n++ { // the kernel takes no test frame shorter than an Ethernet header
		if got := b.send(frame{cut: len(full) - n}); strings.HasPrefix(got, "forward") {
			t.Errorf("%d octets: %s", n, got)
		}
	}
}

func TestRotationIsExact(t *testing.T) {
	for _, c := range []struct {
		sched   dataplane.Scheduler
		weights []uint32
		want    string
	}{
		{"rr", []uint32{1, 1}, "1 2 1 2 1 2"},
		{"rr", []uint32{5, 1, 9}, "1 2 3 1 2 3"},
		{"rr", []uint32{1, 0, 1}, "1 3 1 3 1 3"},
		{"wrr", []uint32{2, 1}, "1 2 1 1 2 1"},
		{"wrr", []uint32{5, 1, 1}, "1 1 2 1 3 1 1 1 1 2 1 3 1 1"},
		{"wrr", []uint32{4, 0, 4}, "1 3 1 3"},
	} {
		b := newBed(t)
		b.apply(web(c.sched, c.weights...))
		var got []string
		for i := range strings.Fields(c.want) {
			got = append(got, strings.TrimPrefix(b.send(frame{sport: uint16(1000 + i)}), "forward_tx "))
		}
		b.want(strings.Join(got, " "), c.want)
	}
}

func TestAFlowStaysWhereItIs(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1, 1, 1))
	for sport := uint16(1); sport <= 9; sport++ {
		first := b.send(frame{sport: sport})
		for _, flags := range []byte{syn, ack, ack, ack | fin, ack} {
			b.want(b.send(frame{sport: sport, flags: flags}), first)
		}
	}
}

func TestAPortThatIsUsedAgainIsANewConnection(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1, 1))
	b.want(b.send(frame{}), "forward_tx 1")
	b.send(frame{flags: ack})
	b.want(b.send(frame{}), "forward_tx 1") // a SYN within the connection does not move it
	b.send(frame{flags: ack | fin})
	b.want(b.send(frame{}), "forward_tx 2")
}

func TestServersComeAndGo(t *testing.T) {
	b := newBed(t)
	svc := web("rr", 1, 1)
	b.apply(svc)
	b.want(b.send(frame{sport: 1}), "forward_tx 1")
	b.want(b.send(frame{sport: 1, flags: ack}), "forward_tx 1")
	b.want(b.send(frame{sport: 2}), "forward_tx 2")
	b.want(b.send(frame{sport: 2, flags: ack}), "forward_tx 2")

	quiet := svc
	quiet.RealServers = append([]dataplane.RealServer{}, svc.RealServers...)
	quiet.RealServers[0].Weight = 0
	b.apply(quiet)
	b.want(b.send(frame{sport: 1, flags: ack}), "forward_tx 1") // goes on
	for sport := uint16(10); sport < 14; sport++ {
		b.want(b.send(frame{sport: sport}), "forward_tx 2") // none new
	}

	gone := svc
	gone.RealServers = svc.RealServers[1:]
	b.apply(gone)
	b.want(b.send(frame{sport: 1, flags: ack}), "pass_no_connection")
	b.want(b.send(frame{sport: 1}), "forward_tx 2")
	b.want(b.send(frame{sport: 2, flags: ack}), "forward_tx 2")

	b.apply(svc) // returns, and the flow on the other stays
	b.want(b.send(frame{sport: 2, flags: ack}), "forward_tx 2")
	seen := b.send(frame{sport: 30}) + " " + b.send(frame{sport: 31})
	if seen != "forward_tx 1 forward_tx 2" && seen != "forward_tx 2 forward_tx 1" {
		t.Errorf("after its return: %s", seen)
	}
}

func TestNextHops(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1))
	b.hops(func(r *bpfReal) { r.Flags &^= uint32(bpfRealFlagsREAL_RESOLVED) })
	b.want(b.send(frame{}), "drop_no_next_hop")
	b.hops(func(r *bpfReal) { r.Flags |= uint32(bpfRealFlagsREAL_RESOLVED); r.Ifindex = 2 })
	b.want(b.send(frame{}), "forward_redirect 1")
	b.hops(func(r *bpfReal) { r.Ifindex = 1; r.Flags |= uint32(bpfRealFlagsREAL_REDIRECT) })
	b.want(b.send(frame{}), "forward_redirect 1")
}

func TestAServerOnThisHostIsLocalWhateverTheMethod(t *testing.T) {
	b := newBed(t)
	svc := web("rr")
	svc.RealServers = []dataplane.RealServer{{Address: netip.MustParseAddr("127.0.0.1"), Port: 80, Method: dataplane.NAT, Weight: 1}}
	b.apply(svc)
	b.want(b.send(frame{}), "pass_local")
	b.want(b.send(frame{flags: ack}), "pass_local")
	st, err := b.e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rs := st.Services[svc.Key].RealServers[svc.RealServers[0].Key()]
	if rs.NextHop != "local" || rs.PacketsIn != 2 || rs.Connections != 1 || rs.Active != 1 {
		t.Errorf("stats %+v", rs)
	}
}

func TestARestartAdoptsServicesAndConnections(t *testing.T) {
	b := newBed(t)
	udp := web("wrr", 3, 0, 1)
	udp.Protocol, udp.Port, udp.Active = dataplane.UDP, 53, false
	for i := range udp.RealServers {
		udp.RealServers[i].Port = 53
	}
	b.apply(web("rr", 1, 1), udp)
	b.want(b.send(frame{sport: 1}), "forward_tx 1")
	b.want(b.send(frame{sport: 2}), "forward_tx 2")
	b.want(b.send(frame{sport: 2, flags: ack}), "forward_tx 2")
	before, err := b.e.Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	after, err := b.e.Services(context.Background())
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) || len(after) != 2 {
		t.Fatalf("read back %v, %v\nwant %v", after, err, before)
	}
	b.want(b.send(frame{sport: 2, flags: ack}), "forward_tx 2")
	if changed, err := b.e.tables.apply(after); changed != 0 || err != nil {
		t.Errorf("applying the same again changed %d services, %v", changed, err)
	}
	b.want(b.send(frame{sport: 3}), "forward_tx 1") // and the rotation goes on
}

func TestASYNFloodPushesNoEstablishedFlowOut(t *testing.T) {
	b := newSmallBed(t, 4096)
	b.apply(web("rr", 1, 1))
	held := map[uint16]string{}
	for sport := uint16(1); sport <= 200; sport++ {
		held[sport] = b.send(frame{sport: sport})
		b.want(b.send(frame{sport: sport, flags: ack}), held[sport])
	}
	for i := range 20000 { // five times the table
		b.flood(frame{src: fmt.Sprintf("10.%d.%d.%d", i>>16&0xff, i>>8&0xff, i&0xff)})
	}
	lost := 0
	for sport, want := range held {
		if b.send(frame{sport: sport, flags: ack}) != want {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d established flows were lost", lost, len(held))
	}
}

func (b *bed) flood(f frame) {
	if _, err := b.e.objs.Xvip.Run(&ebpf.RunOptions{Data: f.bytes()}); err != nil {
		b.t.Fatal(err)
	}
}

func TestCountersAddUp(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1, 1))
	const n = 50
	for i := range uint16(n) {
		b.send(frame{sport: i + 1})
		b.send(frame{sport: i + 1, flags: ack, payload: 100})
		b.send(frame{dport: 9})
	}
	st, err := b.e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, v := range st.Verdicts {
		sum += v.Packets
	}
	if sum != 3*n {
		t.Errorf("verdicts add up to %d of %d packets", sum, 3*n)
	}
	svc := st.Services[web("rr").Key]
	want := dataplane.Counters{Connections: n, PacketsIn: 2 * n, BytesIn: n*40 + n*140}
	if svc.Counters != want {
		t.Errorf("service counts %+v, want %+v", svc.Counters, want)
	}
	var active, conns uint64
	for _, r := range svc.RealServers {
		active += r.Active
		conns += r.Connections
	}
	if active != n || conns != n {
		t.Errorf("real servers have %d active of %d connections, want %d", active, conns, n)
	}
}

func TestSupportsNamesWhatItCannotCarry(t *testing.T) {
	e := &Engine{}
	for want, change := range map[string]func(*dataplane.VirtualService){
		"fwmark need IPVS":          func(s *dataplane.VirtualService) { s.FWMark = 7 },
		"protocol proto-99":         func(s *dataplane.VirtualService) { s.Protocol = 99 },
		"scheduler lblc needs IPVS": func(s *dataplane.VirtualService) { s.Scheduler = "lblc" },
		"engine sip needs IPVS":     func(s *dataplane.VirtualService) { s.PersistenceSIP = true },
		"one-packet":                func(s *dataplane.VirtualService) { s.OnePacket = true },
		"cannot change the port":    func(s *dataplane.VirtualService) { s.RealServers[0].Port = 8080 },
		"change the address family": func(s *dataplane.VirtualService) { s.RealServers[0].Address = netip.MustParseAddr("2001:db8::2") },
		"thresholds need IPVS":      func(s *dataplane.VirtualService) { s.RealServers[0].UpperThreshold = 9 },
		"checksums of the tunnel": func(s *dataplane.VirtualService) {
			s.RealServers[0].Method, s.RealServers[0].Tunnel.Checksum = dataplane.TUN, dataplane.Checksum
		},
		"GUE needs a port": func(s *dataplane.VirtualService) {
			s.RealServers[0].Method, s.RealServers[0].Tunnel.Type = dataplane.TUN, dataplane.GUE
		},
		"NAT of SCTP": func(s *dataplane.VirtualService) { s.Protocol, s.RealServers[0].Method = dataplane.SCTP, dataplane.NAT },
		"tunnel cannot change": func(s *dataplane.VirtualService) {
			s.RealServers[0].Method, s.RealServers[0].Port = dataplane.TUN, 8080
		},
		"compares at most 1024": func(s *dataplane.VirtualService) {
			s.Scheduler, s.RealServers = "wlc", slices.Repeat(s.RealServers, 1025)
		},
		"another port than the service": func(s *dataplane.VirtualService) {
			s.RealServers[0].Address, s.RealServers[0].Port = netip.MustParseAddr("127.0.0.1"), 8080
		},
	} {
		s := web("rr", 1)
		change(&s)
		if err := e.Supports(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := e.Supports(web("wrr", 1, 2)); err != nil {
		t.Errorf("a plain service: %v", err)
	}
}

func TestVerdictNamesFollowTheHeader(t *testing.T) {
	text, err := os.ReadFile("../../bpf/verdict.h")
	if err != nil {
		t.Fatal(err)
	}
	for v := bpfVerdict(0); v < bpfVerdictVERDICTS; v++ {
		if name := verdictName(v); name == "" || !strings.Contains(string(text), strings.ToUpper(name)) {
			t.Errorf("verdict %d is called %q, which verdict.h does not have", v, name)
		}
	}
}

func TestBenchMeasuresEveryProgram(t *testing.T) {
	newBed(t) // skips without root
	var out bytes.Buffer
	if err := Bench(context.Background(), BenchOptions{Flows: []int{100}, Services: []int{3}, Rounds: 1, Packets: 200}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "rr, NAT, from the server") {
		t.Errorf("output:\n%s", out.String())
	}
}
