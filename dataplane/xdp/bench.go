package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/xvip-lb/xvip/dataplane"
)

// BenchOptions say what to measure. The zero values of Rounds and Packets mean
// 9 rounds of 200,000 packets.
type BenchOptions struct {
	Flows    []int // numbers of flows, each measured on its own
	Services []int // virtual services in the tables, each measured on its own
	Rounds   int
	Packets  int // a round and program
}

// rungReals is RUNG_REALS and rungRing RUNG_RING of bpf/bench.bpf.c.
const (
	rungReals = 128
	rungRing  = 65537
)

// subject is one program under test, the frames it gets, and its times in
// nanoseconds a packet.
type subject struct {
	name   string
	prog   *ebpf.Program
	frame  func(flags byte) []byte
	shape  benchShape
	fresh  bool // every packet is a new connection
	action uint32
	base   *subject // what is subtracted: the bare program with such frames
	grow   *subject // a bare program whose frame grows as much, or none
	to     *subject // what it is compared with; goal says how it should come out
	goal   float64
	asks   *subject // the packets that are answered
	ns     []float64
}

// Bench measures what the forwarding program costs a packet, above the feeder
// and beside a ladder of small programs, in interleaved rounds of one run, and
// writes a table. Nothing is pinned or attached; the namespace is one of its own.
func Bench(ctx context.Context, opt BenchOptions, w io.Writer) error {
	opt.Rounds, opt.Packets = max(opt.Rounds, 0), max(opt.Packets, 0)
	if opt.Rounds == 0 {
		opt.Rounds = 9
	}
	if opt.Packets == 0 {
		opt.Packets = 200_000
	}
	if len(opt.Services) == 0 {
		opt.Services = []int{1}
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	fmt.Fprintf(w, "TCP, 64-octet frames (IPv6: 80), %d real servers; nanoseconds a packet above the feeder,\n", rungReals)
	fmt.Fprintf(w, "median of %d interleaved rounds of %d packets (least to most); ratios are medians of the rounds' ratios\n\n", opt.Rounds, opt.Packets)
	return apart(func() error {
		for _, services := range opt.Services {
			if err := benchWith(ctx, services, opt, w); err != nil {
				return err
			}
		}
		return nil
	})
}

func benchWith(ctx context.Context, services int, opt BenchOptions, w io.Writer) (err error) {
	b, err := newBench(max(services, 1), opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, flows := range opt.Flows {
		if err := b.measure(ctx, flows, opt); err != nil {
			return err
		}
		fmt.Fprintf(t, "%d services, %d flows\tns\t(spread)\tto\tratio\tgoal\t\n", services, flows)
		for _, s := range b.subjects {
			s.report(t, flows)
		}
		fmt.Fprintln(t, "\t\t\t\t\t\t")
	}
	return t.Flush()
}

type bench struct {
	loaded   []*bpfObjects // one for each subject that fills the table of connections
	rungs    *benchObjects
	clock    *tickClock
	subjects []*subject
}

func newBench(services int, opt BenchOptions) (*bench, error) {
	clock, err := newClock()
	if err != nil {
		return nil, err
	}
	b := &bench{rungs: &benchObjects{}, clock: clock}
	if err := loadBenchObjects(b.rungs, nil); err != nil {
		return nil, errors.Join(explainLoad(err), clock.close())
	}
	want := benchServices(services)
	if err := b.fillRungs(want); err != nil {
		return nil, errors.Join(err, b.close())
	}
	err = b.list(func() (*bpfObjects, error) { return b.load(want, slices.Max(append(opt.Flows, 1<<16))) })
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	err := errors.Join(b.rungs.Close(), b.clock.close())
	for _, o := range b.loaded {
		err = errors.Join(err, o.Close())
	}
	return err
}

// load makes one more instance of the program with tables of its own.
func (b *bench) load(want []dataplane.VirtualService, flows int) (*bpfObjects, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read embedded BPF object: %w", err)
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	// As many connections as the kernel's LRU table of the ladder has.
	if err := setConstants(spec, 0x9e3779b97f4a7c15, Options{ConnTableSize: 2 * flows}, b.clock); err != nil {
		return nil, err
	}
	objs := &bpfObjects{}
	if err := spec.LoadAndAssign(objs, nil); err != nil {
		return nil, explainLoad(err)
	}
	b.loaded = append(b.loaded, objs)
	return objs, b.fill(objs, want)
}

// The services that are measured, by port.
const (
	portRotate = 80 + iota
	portMaglev
	portTunnel
	portNAT
	portReply // one real server, so that its replies are to all flows
)

var (
	benchVIP  = netip.MustParseAddr("192.0.2.1")
	benchVIP6 = netip.MustParseAddr("2001:db8::1")
)

// list makes the programs in the order of the table. The goals are ours: how
// near a whole balancer should come to a rung that does one thing.
func (b *bench) list(load func() (*bpfObjects, error)) error {
	const tx, redirect = 3, 4 // XDP_TX, XDP_REDIRECT (include/uapi/linux/bpf.h)
	v4 := func(port uint16) func(byte) []byte {
		return func(f byte) []byte { return benchFrame(benchVIP, port, f) }
	}
	v6 := func(port uint16) func(byte) []byte {
		return func(f byte) []byte { return benchFrame(benchVIP6, port, f) }
	}
	bare := &subject{name: "bare XDP_TX (raw, with the feeder)", prog: b.rungs.RungBare, frame: v4(portRotate), action: tx}
	grow := &subject{name: "the same, grown by 20 octets and shrunk again", prog: b.rungs.RungGrow, frame: v4(portRotate), action: tx}
	bare6 := &subject{name: "the same for IPv6", prog: b.rungs.RungBare, frame: v6(portRotate), shape: benchShapeFROM_CLIENT6, action: tx}
	bareReply := &subject{name: "the same for replies", prog: b.rungs.RungBare, frame: benchReply, shape: benchShapeTO_CLIENT4, action: tx}
	rung := func(name string, p *ebpf.Program) *subject {
		return &subject{name: name, prog: p, frame: v4(portRotate), action: tx, base: bare}
	}
	f3 := rung("f3: f2 and a hash ring", b.rungs.RungHash)
	f4 := rung("f4: f2 and the kernel's LRU flow table", b.rungs.RungLruTable)
	own := func(name string, port uint16, to *subject, goal float64) *subject {
		return &subject{name: name, frame: v4(port), action: tx, base: bare, to: to, goal: goal}
	}
	six := func(name string, port uint16, to *subject) *subject {
		return &subject{name: name, frame: v6(port), shape: benchShapeFROM_CLIENT6, action: tx, base: bare6, to: to, goal: 1.25}
	}
	maglev, rotate := own("mh, DR, stateless", portMaglev, f3, 1.6), own("rr, DR, established", portRotate, f4, 1.15)
	reply := &subject{name: "rr, NAT, from the server", frame: benchReply, shape: benchShapeTO_CLIENT4, action: redirect, base: bareReply,
		to: f4, goal: 1.6, asks: own("", portReply, nil, 0)}
	fresh := own("rr, DR, new connection", portRotate, rotate, 3)
	fresh.fresh = true
	tunnel := own("mh, TUN (IPIP), stateless", portTunnel, f3, 1.9)
	tunnel.grow = grow
	b.subjects = []*subject{bare, grow, bare6, bareReply, rung("f2: service, counters, MACs", b.rungs.RungService), f3, f4,
		rung("f6: f2 and one cache line a flow", b.rungs.RungLineTable),
		maglev, tunnel, rotate, own("rr, NAT, to the server", portNAT, f4, 1.6), reply,
		six("mh, DR, stateless, IPv6", portMaglev, maglev), six("rr, DR, established, IPv6", portRotate, rotate), fresh}
	for _, s := range b.subjects {
		if s.prog != nil {
			continue
		}
		objs, err := load()
		if err != nil {
			return err
		}
		s.prog = objs.Xvip
		if s.asks != nil {
			s.asks.prog = objs.Xvip
		}
	}
	return nil
}

// benchServices gives the services that are measured and as many others.
func benchServices(n int) []dataplane.VirtualService {
	want := []dataplane.VirtualService{
		benchService(benchVIP, portRotate, "rr", dataplane.DR, rungReals), benchService(benchVIP, portMaglev, "mh", dataplane.DR, rungReals),
		benchService(benchVIP, portTunnel, "mh", dataplane.TUN, rungReals), benchService(benchVIP, portNAT, "rr", dataplane.NAT, rungReals),
		benchService(benchVIP, portReply, "rr", dataplane.NAT, 1),
		benchService(benchVIP6, portRotate, "rr", dataplane.DR, rungReals), benchService(benchVIP6, portMaglev, "mh", dataplane.DR, rungReals),
	}
	addr := benchVIP
	for range n - 1 {
		addr = addr.Next()
		want = append(want, benchService(addr, portRotate, "rr", dataplane.DR, 2)) // the tables are to be big, not the start long
	}
	return want
}

// fillRungs makes the services of the ladder.
func (b *bench) fillRungs(want []dataplane.VirtualService) error {
	for i, svc := range want {
		if !svc.Address.Is4() || i >= int(b.rungs.RungServices.MaxEntries()) {
			continue
		}
		if err := b.rungs.RungServices.Put(benchRungKey{Addr: addrWords(svc.Address)[3], Port: swap16(svc.Port), Proto: uint8(svc.Protocol)}, uint32(0)); err != nil {
			return fmt.Errorf("fill services of the ladder: %w", err)
		}
	}
	for i := range uint32(rungRing) {
		if err := b.rungs.RungRing.Put(i, i%rungReals); err != nil {
			return fmt.Errorf("fill ring of the ladder: %w", err)
		}
	}
	return nil
}

// fill makes the services of one instance; every real server is known.
func (b *bench) fill(objs *bpfObjects, want []dataplane.VirtualService) error {
	t := newTables(&objs.bpfMaps, b.clock)
	if err := t.setTimeouts(Timeouts{}); err != nil {
		return err
	}
	if _, err := t.apply(want); err != nil {
		return err
	}
	for i, r := range t.reals {
		r.Flags |= uint32(bpfRealFlagsREAL_RESOLVED)
		r.Ifindex, r.L2Len, r.Mtu = 1, 14, 1500
		r.L2[12] = 8
		if err := t.putReal(i, r); err != nil {
			return err
		}
	}
	return t.setWays(newResolver(false).ways())
}

func benchService(vip netip.Addr, port uint16, sched dataplane.Scheduler, m dataplane.Method, reals int) dataplane.VirtualService {
	s := dataplane.VirtualService{Key: dataplane.Key{Address: vip, Port: port, Protocol: dataplane.TCP}, Scheduler: sched, Flags: dataplane.SchedFlag2, Active: true}
	for r := range reals {
		a := netip.AddrFrom4([4]byte{198, 51, byte(r >> 8), byte(r)})
		if vip.Is6() {
			a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 14: byte(r >> 8), 15: byte(r)})
		}
		s.RealServers = append(s.RealServers, dataplane.RealServer{Address: a, Port: port, Method: m, Weight: 1})
	}
	return s
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// measure makes the flows known to every program, then times them in turn.
func (b *bench) measure(ctx context.Context, flows int, opt BenchOptions) error {
	for _, s := range b.subjects {
		s.ns = s.ns[:0]
		asks := s
		if s.asks != nil {
			asks = s.asks
		}
		for _, flags := range []byte{tcpSYN, tcpACK} {
			if _, err := b.run(asks, flows, flags, flows); err != nil {
				return err
			}
		}
		if err := b.check(s, flows); err != nil {
			return err
		}
	}
	for range opt.Rounds {
		for _, s := range b.subjects {
			if err := ctx.Err(); err != nil {
				return err
			}
			flags, n := byte(tcpACK), flows
			if s.fresh {
				flags, n = tcpSYN, 1<<30
			}
			d, err := b.run(s, n, flags, opt.Packets)
			if err != nil {
				return err
			}
			s.ns = append(s.ns, float64(d.Nanoseconds()))
		}
	}
	return nil
}

func (b *bench) prepare(s *subject, flows int, flags byte) ([]byte, error) {
	f := s.frame(flags)
	feed := benchFeed{Length: uint32(len(f)), Flows: uint32(flows), Shape: uint32(s.shape)}
	copy(feed.Frame[:], f)
	err := errors.Join(b.rungs.Feeds.Put(uint32(0), feed), b.rungs.Subject.Put(uint32(0), s.prog))
	if err != nil {
		return nil, fmt.Errorf("set up the feeder: %w", err)
	}
	return f, nil
}

func (b *bench) run(s *subject, flows int, flags byte, packets int) (time.Duration, error) {
	f, err := b.prepare(s, flows, flags)
	if err != nil {
		return 0, err
	}
	_, d, err := b.rungs.Feeder.Benchmark(f, packets, nil)
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", s.name, err)
	}
	return d, nil
}

// check runs one packet and looks at the action: a PASS must not be taken for a
// fast forward.
func (b *bench) check(s *subject, flows int) error {
	flags := byte(tcpACK)
	if s.fresh { // its table is full of new flows, where one more may have pushed this out
		flags = tcpSYN
	}
	f, err := b.prepare(s, flows, flags)
	if err != nil {
		return err
	}
	action, err := b.rungs.Feeder.Run(&ebpf.RunOptions{Data: f, DataOut: make([]byte, len(f)+64)})
	if err == nil && action != s.action {
		err = fmt.Errorf("the program answers %d, not %d", action, s.action)
	}
	if err != nil {
		return fmt.Errorf("measure %s with %d flows: %w", s.name, flows, err)
	}
	return nil
}

// benchFrame is a TCP segment to the measured service. The feeder changes its
// source; nobody looks at its checksums.
func benchFrame(vip netip.Addr, port uint16, flags byte) []byte {
	f := make([]byte, 64, 80)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45})
	if vip.Is6() {
		f = f[:80]
		copy(f[12:], []byte{0x86, 0xdd, 0x60})
		binary.BigEndian.PutUint16(f[18:], 26)
		f[20], f[21], f[22], f[23] = byte(dataplane.TCP), 64, 0x20, 1
		copy(f[38:], vip.AsSlice())
		binary.BigEndian.PutUint16(f[56:], port)
		f[66], f[67] = 0x50, flags
		return f
	}
	binary.BigEndian.PutUint16(f[16:], 50)
	f[22], f[23] = 64, byte(dataplane.TCP)
	copy(f[30:], vip.AsSlice())
	binary.BigEndian.PutUint16(f[36:], port)
	f[46], f[47] = 0x50, flags
	return f
}

// benchReply is what the real server of portReply answers.
func benchReply(byte) []byte {
	f := benchFrame(benchVIP, 0, tcpACK)
	copy(f[26:], []byte{198, 51, 0, 0})
	binary.BigEndian.PutUint16(f[34:], portReply)
	return f
}

func (s *subject) report(w io.Writer, flows int) {
	m, low, high := median(s.ns), slices.Min(s.ns), slices.Max(s.ns)
	if s.base == nil {
		fmt.Fprintf(w, "%s\t%.1f\t(%.0f to %.0f)\t\t\t\t\n", s.name, m, low, high)
		return
	}
	base := s.above(median)
	fmt.Fprintf(w, "%s\t%.1f\t(%.0f to %.0f)", s.name, m-base, low-base, high-base)
	if s.to == nil {
		fmt.Fprint(w, "\t\t\t\t\n")
		return
	}
	goal := s.goal
	if s.goal == 1.15 && flows >= 1_000_000 {
		goal = 0.8 // where the kernel's table leaves the cache
	}
	var ratios []float64
	for i := range s.ns {
		at := func(ns []float64) float64 { return ns[i] }
		ratios = append(ratios, (s.ns[i]-s.above(at))/(s.to.ns[i]-s.to.above(at)))
	}
	word, _, _ := strings.Cut(s.to.name, ":")
	fmt.Fprintf(w, "\t%s\t%.2f\t%.2f\t\n", word, median(ratios), goal)
}

// above gives what is subtracted from the times of s. Of growing a frame one half
// is the program's, and one half the feeder's, who shrinks it.
func (s *subject) above(pick func([]float64) float64) float64 {
	if s.grow == nil {
		return pick(s.base.ns)
	}
	return (pick(s.base.ns) + pick(s.grow.ns)) / 2
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
