package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/xvip-lb/xvip/dataplane"
)

// BenchOptions say what to measure. The zero values of Rounds and Packets mean
// 9 rounds of 500,000 packets.
type BenchOptions struct {
	Flows    []int // numbers of flows, each measured on its own
	Services int   // virtual services in the table, at least 1
	Rounds   int
	Packets  int // a round and program
}

// rungReals is RUNG_REALS and rungRing RUNG_RING of bpf/bench.bpf.c.
const (
	rungReals = 128
	rungRing  = 65537
)

// subject is one program under test and its times, in nanoseconds a packet.
type subject struct {
	name string
	prog *ebpf.Program
	ns   []float64
}

// Bench measures what the forwarding program costs a packet, above the feeder
// and beside a ladder of small programs, in interleaved rounds of one run, and
// writes a table. Nothing is pinned or attached.
func Bench(ctx context.Context, opt BenchOptions, w io.Writer) (err error) {
	opt.Rounds, opt.Packets, opt.Services = max(opt.Rounds, 0), max(opt.Packets, 0), max(opt.Services, 1)
	if opt.Rounds == 0 {
		opt.Rounds = 9
	}
	if opt.Packets == 0 {
		opt.Packets = 500_000
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	b, err := newBench(opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.rungs.Close(), b.objs.Close(), b.clock.close()) }()
	fmt.Fprintf(w, "direct routing, rr, TCP, 64-octet frames, %d real servers, %d services; nanoseconds a packet above the feeder\n", rungReals, opt.Services)
	fmt.Fprintf(w, "median of %d interleaved rounds of %d packets (least to most)\n\n", opt.Rounds, opt.Packets)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, flows := range opt.Flows {
		if err := b.measure(ctx, flows, opt); err != nil {
			return err
		}
		b.report(t, flows)
	}
	return t.Flush()
}

type bench struct {
	objs     *bpfObjects
	rungs    *benchObjects
	clock    *tickClock
	subjects []*subject
}

func newBench(opt BenchOptions) (*bench, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read embedded BPF object: %w", err)
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	clock, err := newClock()
	if err != nil {
		return nil, err
	}
	// As many as the kernel's LRU table of the ladder has.
	if err := setConstants(spec, 0x9e3779b97f4a7c15, Options{ConnTableSize: 2 * slices.Max(append(opt.Flows, 1<<16))}, clock); err != nil {
		return nil, err
	}
	b := &bench{objs: &bpfObjects{}, rungs: &benchObjects{}, clock: clock}
	if err := spec.LoadAndAssign(b.objs, nil); err != nil {
		return nil, explainLoad(err)
	}
	if err := loadBenchObjects(b.rungs, nil); err != nil {
		return nil, errors.Join(explainLoad(err), b.objs.Close())
	}
	b.subjects = []*subject{
		{name: "bare XDP_TX (with the feeder, raw)", prog: b.rungs.RungBare},
		{name: "floor: service, counters, MACs", prog: b.rungs.RungService},
		{name: "floor + hash ring", prog: b.rungs.RungHash},
		{name: "floor + kernel LRU flow table", prog: b.rungs.RungLruTable},
		{name: "floor + one line a flow", prog: b.rungs.RungLineTable},
		{name: "xvip, established connection", prog: b.objs.Xvip},
	}
	if err := b.fill(opt.Services); err != nil {
		return nil, errors.Join(err, b.objs.Close(), b.rungs.Close())
	}
	return b, nil
}

var benchVIP = netip.MustParseAddr("192.0.2.1")

// fill makes the services of both sides. The one that is measured is the first.
func (b *bench) fill(services int) error {
	t := newTables(&b.objs.bpfMaps, b.clock)
	var want []dataplane.VirtualService
	addr := benchVIP
	for i := range services {
		svc := dataplane.VirtualService{Key: dataplane.Key{Address: addr, Port: 80, Protocol: dataplane.TCP}, Scheduler: "rr", Active: true}
		n := rungReals
		if i > 0 {
			n = 2 // the tables are to be big, not the start long
		}
		for r := range n {
			svc.RealServers = append(svc.RealServers, dataplane.RealServer{Address: netip.AddrFrom4([4]byte{198, 51, byte(r >> 8), byte(r)}), Port: 80, Method: dataplane.DR, Weight: 1})
		}
		want = append(want, svc)
		if err := b.rungs.RungServices.Put(benchRungKey{Addr: addrWords(svc.Address)[3], Port: swap16(svc.Port), Proto: uint8(svc.Protocol)}, uint32(0)); err != nil && i < int(b.rungs.RungServices.MaxEntries()) {
			return fmt.Errorf("fill services of the ladder: %w", err)
		}
		addr = addr.Next()
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
	for i := range uint32(rungRing) {
		if err := b.rungs.RungRing.Put(i, i%rungReals); err != nil {
			return fmt.Errorf("fill ring of the ladder: %w", err)
		}
	}
	return nil
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// measure makes the flows known to every program, then times them in turn.
func (b *bench) measure(ctx context.Context, flows int, opt BenchOptions) error {
	for _, s := range b.subjects {
		s.ns = s.ns[:0]
		for _, flags := range []byte{tcpSYN, tcpACK} {
			if _, err := b.run(s, flows, flags, flows); err != nil {
				return err
			}
		}
		if action, err := b.check(s, flows); err != nil {
			return err
		} else if action != actionTX {
			return fmt.Errorf("measure %s: the program answers %d, not XDP_TX", s.name, action)
		}
	}
	for range opt.Rounds {
		for _, s := range b.subjects {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, err := b.run(s, flows, tcpACK, opt.Packets)
			if err != nil {
				return err
			}
			s.ns = append(s.ns, float64(d.Nanoseconds()))
		}
	}
	return nil
}

const actionTX = 3 // XDP_TX, include/uapi/linux/bpf.h

func (b *bench) prepare(s *subject, flows int, flags byte) ([]byte, error) {
	f := benchFrame(flags)
	feed := benchFeed{Length: uint32(len(f)), Flows: uint32(flows)}
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

// check runs one packet and gives the action: a PASS must not be taken for a
// fast forward.
func (b *bench) check(s *subject, flows int) (uint32, error) {
	f, err := b.prepare(s, flows, tcpACK)
	if err != nil {
		return 0, err
	}
	return b.rungs.Feeder.Run(&ebpf.RunOptions{Data: f})
}

// benchFrame is a TCP segment to the measured service, 64 octets of frame. The
// feeder changes its source; nobody looks at its checksums.
func benchFrame(flags byte) []byte {
	f := make([]byte, 64)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45})
	binary.BigEndian.PutUint16(f[16:], 50)
	f[22], f[23] = 64, byte(dataplane.TCP)
	copy(f[30:], benchVIP.AsSlice())
	binary.BigEndian.PutUint16(f[36:], 80)
	f[46], f[47] = 0x50, flags
	return f
}

func (b *bench) report(w io.Writer, flows int) {
	bare := median(b.subjects[0].ns)
	lru := median(b.subjects[3].ns) - bare
	fmt.Fprintf(w, "%d flows\tns\t(spread)\tto LRU\t\n", flows)
	for i, s := range b.subjects {
		m := median(s.ns)
		low, high := slices.Min(s.ns), slices.Max(s.ns)
		if i == 0 {
			fmt.Fprintf(w, "%s\t%.1f\t(%.0f to %.0f)\t\t\n", s.name, m, low, high)
			continue
		}
		fmt.Fprintf(w, "%s\t%.1f\t(%.0f to %.0f)\t%.2f\t\n", s.name, m-bare, low-bare, high-bare, (m-bare)/lru)
	}
	fmt.Fprintln(w, "\t\t\t\t")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
