package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Timing of next hops. The kernel is asked to confirm a neighbour again long
// before it would forget one; changes it tells at once.
const (
	confirmEvery = 5 * time.Second
	settle       = 5 * time.Millisecond // a burst of changes is one
)

// usable are the neighbour states whose MAC may be used (include/uapi/linux/neighbour.h).
const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT | unix.NUD_NOARP

// Run keeps the next hops of all real servers fresh and the connection table
// tidy until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { e.again(ctx, "connections are not expired", e.tidy) })
	tasks.Go(func() { e.again(ctx, "neighbours of clients are not asked for", e.hearMissing) })
	tasks.Go(func() { e.again(ctx, "next hops are read anew", e.follow) })
	tasks.Wait()
	return nil
}

// again runs a task until ctx ends, with a pause after each error.
func (e *Engine) again(ctx context.Context, trouble string, task func(context.Context) error) {
	for ctx.Err() == nil {
		if err := task(ctx); err != nil {
			e.log.Warn(trouble, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// tidy is upkeep, every second.
func (e *Engine) tidy(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := e.upkeep(now); err != nil {
				return err
			}
		}
	}
}

// follow subscribes to neighbours, routes, links and addresses, and resolves
// after each change; an error means that messages may have been lost.
func (e *Engine) follow(ctx context.Context) error {
	done := make(chan struct{})
	defer close(done)
	broken := make(chan error, 4)
	fail := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	neighbours := make(chan netlink.NeighUpdate, 256)
	routes := make(chan netlink.RouteUpdate, 256)
	links := make(chan netlink.LinkUpdate, 64)
	addrs := make(chan netlink.AddrUpdate, 64)
	if err := errors.Join(
		netlink.NeighSubscribeWithOptions(neighbours, done, netlink.NeighSubscribeOptions{ErrorCallback: fail}),
		netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ErrorCallback: fail}),
		netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: fail}),
		netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: fail}),
	); err != nil {
		return fmt.Errorf("subscribe to netlink: %w", err)
	}
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	wait := time.NewTimer(0)
	defer wait.Stop()
	pause := time.Duration(0) // with many servers a look takes long, and is made less often
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case _, ok := <-neighbours:
			if !ok {
				return errors.New("neighbour subscription ended")
			}
			wait.Reset(max(settle, pause))
		case <-routes:
			wait.Reset(max(settle, pause))
		case <-links:
			wait.Reset(max(settle, pause))
		case <-addrs:
			wait.Reset(max(settle, pause))
		case <-tick.C:
			pause = e.timed(true)
			tick.Reset(max(confirmEvery, pause))
		case <-wait.C:
			pause = e.timed(false)
		}
	}
}

// timed refreshes and gives the pause that should follow: nine times as long, so
// that next hops never take more than a tenth of a CPU.
func (e *Engine) timed(confirm bool) time.Duration {
	begin := time.Now()
	e.refresh(confirm)
	return 9 * time.Since(begin)
}

// refresh looks up the next hops of all servers; with confirm it also asks the
// kernel to confirm neighbours that grow old. The lookups are made without the
// lock: with many servers they take long.
func (e *Engine) refresh(confirm bool) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	addrs, nat := e.tables.addresses(), len(e.tables.replies) > 0
	e.mu.Unlock()
	r := newResolver(confirm)
	for _, a := range addrs {
		r.lookup(a)
	}
	var ways []bpfWay
	if nat {
		ways = r.ways()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	if err := errors.Join(e.tables.resolveKnown(r), e.tables.setWays(ways)); err != nil {
		e.log.Error("next hops not updated", "err", err)
	}
}

// probe makes the kernel ask for the neighbour by ARP or neighbour solicitation
// (NTF_USE, net/core/neighbour.c). Whatever comes of it arrives as a neighbour message.
func probe(index int, addr netip.Addr) {
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	_ = netlink.NeighSet(&netlink.Neigh{LinkIndex: index, Family: family, State: unix.NUD_NONE, Flags: netlink.NTF_USE, IP: addr.AsSlice()})
}

// hearMissing probes neighbours that replies of NAT missed, until ctx ends.
func (e *Engine) hearMissing(ctx context.Context) error {
	r, err := ringbuf.NewReader(e.objs.MissingNeighbours)
	if err != nil {
		return fmt.Errorf("read missing neighbours: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.Close() })
	defer stop()
	for {
		rec, err := r.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read missing neighbours: %w", err)
		}
		var m bpfMissing
		if _, err := binary.Decode(rec.RawSample, binary.NativeEndian, &m); err == nil {
			probe(int(m.Ifindex), wordsAddr(m.Addr))
		}
	}
}

func interfaceIndex(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}

func isVeth(name string) bool {
	l, err := netlink.LinkByName(name)
	return err == nil && l.Type() == "veth"
}

// programOn names the XDP program on an interface; empty when there is none.
func programOn(name string) (string, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return "", fmt.Errorf("look for XDP on %q: %w", name, err)
	}
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return "", nil
	}
	who := fmt.Sprintf("id %d", x.ProgId)
	if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(x.ProgId)); err == nil {
		defer p.Close()
		if info, err := p.Info(); err == nil && info.Name != "" {
			who += " (" + info.Name + ")"
		}
	}
	return who, nil
}

// attachedSKB is XDP_ATTACHED_SKB (include/uapi/linux/if_link.h).
const attachedSKB = 2

// attachedMode tells how the program is attached.
func attachedMode(name string) string {
	l, err := netlink.LinkByName(name)
	if err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.AttachMode == attachedSKB {
		return "generic"
	}
	return "native"
}
