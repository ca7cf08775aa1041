package xdp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"text/tabwriter"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// PathOptions say what BenchPath measures.
type PathOptions struct {
	Flows   int // source ports of the client, a power of two
	Rounds  int
	Packets int // a round and way
	// Other opens another engine in the network namespace of the calling thread,
	// to be measured with the same services; nil is none.
	Other func(context.Context) (dataplane.Engine, error)
}

var (
	pathVIP    = netip.MustParseAddr("192.0.2.100")
	pathClient = netip.MustParseAddr("192.0.2.10")
	pathReal   = netip.MustParseAddr("198.51.100.7")
)

const (
	pathPort     = 53 // NAT
	pathRealPort = 5353
	pathDRPort   = 54
)

// pathMethods are measured, with a port each: connections outlive their service.
var pathMethods = map[dataplane.Method]uint16{dataplane.NAT: pathPort, dataplane.DR: pathDRPort}

// BenchPath measures packets a second through a whole director on one CPU:
// frames come in by a veth pair, are forwarded, and leave by another one, with
// our program in native mode, by another engine, and by the kernel with a DNAT
// rule of nftables. A program sends the frames and another one counts them at the end;
// both take part in either time. It makes a network namespace of its own. It
// needs Linux 5.18 (live frames of BPF_PROG_TEST_RUN) and nftables with NAT.
func BenchPath(ctx context.Context, opt PathOptions, w io.Writer) error {
	if opt.Flows < 1 || opt.Flows > 1<<15 || opt.Flows&(opt.Flows-1) != 0 || opt.Rounds < 1 || opt.Packets < 1 {
		return errors.New("measure the whole path: want rounds, packets, and 1 to 32,768 flows, a power of two")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	fmt.Fprintf(w, "UDP, 64-octet frames, %d flows, one service with one real server, veth to veth on one CPU;\n", opt.Flows)
	fmt.Fprintf(w, "thousands of packets a second that arrive, median of %d interleaved rounds of %d packets (least to most)\n\n", opt.Rounds, opt.Packets)
	return apart(func() (err error) {
		p, err := newPath(opt)
		defer func() { err = errors.Join(err, p.close()) }()
		if err != nil {
			return err
		}
		return p.measure(ctx, opt, w)
	})
}

// path is a director between the client's cable, in1 to in0, and the cable to
// the router behind which the real server is, out0 to out1.
type path struct {
	dir     string
	engine  *Engine
	sources map[uint16]*pathSource // by port
	sink    *ebpf.Program
	arrived *ebpf.Map // one counter for each CPU
	end     link.Link // sink on out1
	ways    []pathWay
	undo    []func() error
}

func newPath(opt PathOptions) (*path, error) {
	p := &path{sources: map[uint16]*pathSource{}}
	mac, from, err := pathCables()
	if err != nil {
		return p, fmt.Errorf("prepare the network of the benchmark: %w", err)
	}
	if err := p.programs(mac, from, opt.Flows); err != nil {
		return p, err
	}
	if p.dir, err = os.MkdirTemp("", "xvip-bench-"); err != nil {
		return p, fmt.Errorf("make a directory: %w", err)
	}
	p.later(func() error { return os.Remove(p.dir) })
	if err := unix.Mount("bpf", p.dir, "bpf", 0, ""); err != nil {
		return p, fmt.Errorf("mount a BPF file system: %w", err)
	}
	p.later(func() error { return unix.Unmount(p.dir, unix.MNT_DETACH) })
	if p.engine, err = New(context.Background(), Options{PinDir: p.dir, Mode: "native", Log: slog.New(slog.DiscardHandler)}); err != nil {
		return p, err
	}
	p.later(func() error { return errors.Join(p.engine.Withdraw(context.Background()), p.engine.Close()) })
	return p, p.list(opt)
}

// pathWay is one way of a packet through the director.
type pathWay struct {
	name string
	to   string // what it is compared with; empty: none
	port uint16
	on   func() error
	off  func() error
}

// pathService is the service as an engine forwards it.
func pathService(m dataplane.Method) []dataplane.VirtualService {
	port := pathMethods[m]
	key := dataplane.Key{Address: pathVIP, Port: port, Protocol: dataplane.UDP}
	if m == dataplane.NAT {
		port = pathRealPort
	}
	return []dataplane.VirtualService{{Key: key, Scheduler: "rr", Active: true,
		RealServers: []dataplane.RealServer{{Address: pathReal, Port: port, Method: m, Weight: 1}}}}
}

// list makes the ways. The other engine comes first, for ratios to it.
func (p *path) list(opt PathOptions) error {
	ctx := context.Background()
	nothing := func() error { return nil }
	p.ways = append(p.ways, pathWay{name: "kernel, nftables DNAT", port: pathPort, on: pathDNAT, off: removePathDNAT})
	to := map[dataplane.Method]string{dataplane.NAT: "kernel, nftables DNAT"}
	if opt.Other != nil {
		other, err := opt.Other(ctx)
		if err != nil {
			return err
		}
		p.later(other.Close)
		for _, m := range []dataplane.Method{dataplane.NAT, dataplane.DR} {
			to[m] = fmt.Sprintf("%s, %s", other.Name(), m)
			p.ways = append(p.ways, pathWay{name: to[m], port: pathMethods[m], on: func() error { return other.Apply(ctx, pathService(m)) }, off: func() error { return other.Apply(ctx, nil) }})
		}
	}
	for _, m := range []dataplane.Method{dataplane.NAT, dataplane.DR} {
		p.ways = append(p.ways, pathWay{name: fmt.Sprintf("xvip, XDP native, %s", m), to: to[m], port: pathMethods[m], off: nothing, on: func() error {
			return errors.Join(p.engine.Apply(ctx, pathService(m)), p.engine.Attach([]string{"in0"}))
		}})
	}
	for i, w := range p.ways {
		if i < len(p.ways)-2 { // none of the program
			p.ways[i].on = func() error { return errors.Join(p.engine.Attach(nil), w.on()) }
		}
	}
	return nil
}

// programs makes those that send to a MAC by the device from, and the one that
// counts.
func (p *path) programs(to net.HardwareAddr, from, flows int) (err error) {
	if p.arrived, err = ebpf.NewMap(&ebpf.MapSpec{Name: "arrived", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		return fmt.Errorf("make a counter: %w", err)
	}
	p.later(p.arrived.Close)
	for _, port := range pathMethods {
		s, err := newPathSource(pathFrame(to, port), from, flows)
		if err != nil {
			return err
		}
		p.sources[port] = s
		p.later(s.prog.Close)
	}
	if p.sink, err = pathSink(p.arrived); err != nil {
		return err
	}
	p.later(p.sink.Close)
	if p.end, err = link.AttachXDP(link.XDPOptions{Program: p.sink, Interface: interfaceIndex("out1")}); err != nil {
		return fmt.Errorf("attach the counter: %w", err)
	}
	p.later(p.end.Close)
	return nil
}

func (p *path) later(f func() error) { p.undo = append(p.undo, f) }

func (p *path) close() error {
	var err error
	for i := range p.undo {
		err = errors.Join(err, p.undo[len(p.undo)-1-i]())
	}
	return err
}

// pathCables adds the client's cable to the network of the benchmark, which has
// one to a router, and gives the director's MAC and the index of the client's end.
func pathCables() (net.HardwareAddr, int, error) {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "in0"}, PeerName: "in1"}); err != nil {
		return nil, 0, err
	}
	in0, err := netlink.LinkByName("in0")
	if err != nil {
		return nil, 0, err
	}
	in1, err := netlink.LinkByName("in1")
	if err != nil {
		return nil, 0, err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: pathVIP.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	err = errors.Join(netlink.LinkSetUp(in0), netlink.LinkSetUp(in1), netlink.AddrAdd(in0, addr), receiveOffload("in0"),
		os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o644),
		os.WriteFile("/proc/sys/net/ipv4/conf/in0/rp_filter", []byte("0"), 0o644))
	return in0.Attrs().HardwareAddr, in1.Attrs().Index, err
}

// receiveOffload turns GRO on: without a program of its own, a veth takes frames
// that another program sends only then (veth_xdp_xmit in drivers/net/veth.c).
func receiveOffload(name string) error {
	value := struct{ cmd, data uint32 }{unix.ETHTOOL_SGRO, 1}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the rest of struct ifreq
	}
	copy(req.name[:], name)
	req.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return fmt.Errorf("turn GRO on for %q: %w", name, errno)
	}
	return nil
}

// measure has all ways take turns.
func (p *path) measure(ctx context.Context, opt PathOptions, w io.Writer) error {
	rates, lost := map[string][]float64{}, map[string]float64{}
	for round := range opt.Rounds + 1 { // the first makes the flows known
		for _, way := range p.ways {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			rate, part, err := p.run(way, opt.Packets)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			lost[way.name] = max(lost[way.name], part)
			if round > 0 {
				rates[way.name] = append(rates[way.name], rate/1e3)
			}
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "way\tthousands a second\tlost at most\tratio\tto")
	for _, way := range p.ways {
		lo, mid, hi := extent(rates[way.name])
		fmt.Fprintf(t, "%s\t%.0f (%.0f to %.0f)\t%.1f %%\t", way.name, mid, lo, hi, 100*lost[way.name])
		if way.to == "" {
			fmt.Fprintln(t, "\t")
			continue
		}
		var ratios []float64
		for i, r := range rates[way.name] {
			ratios = append(ratios, r/rates[way.to][i])
		}
		lo, mid, hi = extent(ratios)
		fmt.Fprintf(t, "%.1f (%.1f to %.1f)\t%s\n", mid, lo, hi, way.to)
	}
	return t.Flush()
}

// run sends packets one way and gives how many arrive a second, and the part
// that does not.
func (p *path) run(way pathWay, packets int) (rate, lost float64, err error) {
	if err := way.on(); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, way.off()) }()
	before, err := p.total()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	// BPF_F_TEST_XDP_LIVE_FRAMES: what the program sends is sent.
	source := p.sources[way.port]
	if _, err := source.prog.Run(&ebpf.RunOptions{Data: source.frame, Repeat: uint32(packets), Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES}); err != nil {
		return 0, 0, fmt.Errorf("send frames: %w", err)
	}
	took := time.Since(start)
	after, err := p.total()
	if err != nil {
		return 0, 0, err
	}
	if after == before {
		return 0, 0, errors.New("nothing arrives")
	}
	return float64(after-before) / took.Seconds(), max(0, 1-float64(after-before)/float64(packets)), nil
}

func (p *path) total() (n uint64, err error) {
	var perCPU []uint64
	if err := p.arrived.Lookup(uint32(0), &perCPU); err != nil {
		return 0, fmt.Errorf("read the counter: %w", err)
	}
	for _, v := range perCPU {
		n += v
	}
	return n, nil
}
