package xdp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
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

// Run keeps the next hops of all real servers fresh until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := e.follow(ctx); err != nil {
			e.log.Warn("next hops are read anew", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
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
			wait.Reset(settle)
		case <-routes:
			wait.Reset(settle)
		case <-links:
			wait.Reset(settle)
		case <-addrs:
			wait.Reset(settle)
		case <-e.resolve:
			wait.Reset(settle)
		case <-tick.C:
			e.refresh(true)
		case <-wait.C:
			e.refresh(false)
		}
	}
}

// refresh resolves all servers; with confirm it also asks the kernel to confirm
// neighbours that grow old.
func (e *Engine) refresh(confirm bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	r := newResolver(confirm)
	if err := e.tables.resolve(r); err != nil {
		e.log.Error("next hops not updated", "err", err)
	}
}

// resolveAll is refresh for a caller that holds the lock.
func (e *Engine) resolveAll() error { return e.tables.resolve(newResolver(true)) }

// resolve brings the next hop of every real server up to date.
func (t *tables) resolve(r *resolver) error {
	var errs []error
	for index, real := range t.reals {
		now := real
		now.Flags &^= uint32(bpfRealFlagsREAL_RESOLVED | bpfRealFlagsREAL_LOCAL | bpfRealFlagsREAL_REDIRECT)
		hop := r.lookup(wordAddr(real.Addr))
		switch {
		case hop.local:
			now.Flags |= uint32(bpfRealFlagsREAL_LOCAL)
		case hop.known:
			now.Flags |= uint32(bpfRealFlagsREAL_RESOLVED)
			if hop.redirect {
				now.Flags |= uint32(bpfRealFlagsREAL_REDIRECT)
			}
			now.Dst, now.Src, now.Ifindex = hop.dst, hop.src, hop.ifindex
		}
		errs = append(errs, t.putReal(index, now))
	}
	return errors.Join(errs...)
}

// hop is the way to one address.
type hop struct {
	local, known bool
	redirect     bool // see REAL_REDIRECT in bpf/types.h
	dst, src     [6]byte
	ifindex      uint32
}

// resolver answers one round of lookups; it reads each link's neighbours once.
type resolver struct {
	confirm    bool
	cache      map[netip.Addr]hop
	neighbours map[int]map[netip.Addr]netlink.Neigh
	links      map[int]netlink.Link
}

func newResolver(confirm bool) *resolver {
	return &resolver{confirm: confirm, cache: map[netip.Addr]hop{}, neighbours: map[int]map[netip.Addr]netlink.Neigh{}, links: map[int]netlink.Link{}}
}

func (r *resolver) lookup(addr netip.Addr) hop {
	h, ok := r.cache[addr]
	if !ok {
		h = r.find(addr)
		r.cache[addr] = h
	}
	return h
}

func (r *resolver) find(addr netip.Addr) hop {
	if addr.IsLoopback() {
		return hop{local: true}
	}
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil || len(routes) == 0 {
		return hop{}
	}
	route := routes[0]
	if route.Type == unix.RTN_LOCAL {
		return hop{local: true}
	}
	via := addr
	if gw, ok := netip.AddrFromSlice(route.Gw); ok {
		via = gw.Unmap()
	}
	link := r.link(route.LinkIndex)
	if link == nil || len(link.Attrs().HardwareAddr) != 6 {
		return hop{}
	}
	n, ok := r.table(route.LinkIndex)[via]
	good := ok && n.State&usable != 0 && len(n.HardwareAddr) == 6
	if !good || r.confirm && n.State&(unix.NUD_STALE|unix.NUD_FAILED) != 0 {
		probe(route.LinkIndex, via)
	}
	if !good {
		return hop{}
	}
	h := hop{known: true, ifindex: uint32(route.LinkIndex), redirect: link.Type() == "veth"}
	copy(h.dst[:], n.HardwareAddr)
	copy(h.src[:], link.Attrs().HardwareAddr)
	return h
}

func (r *resolver) link(index int) netlink.Link {
	l, ok := r.links[index]
	if !ok {
		l, _ = netlink.LinkByIndex(index) // nil: gone meanwhile, and so unresolved
		r.links[index] = l
	}
	return l
}

func (r *resolver) table(index int) map[netip.Addr]netlink.Neigh {
	t, ok := r.neighbours[index]
	if ok {
		return t
	}
	t = map[netip.Addr]netlink.Neigh{}
	list, err := netlink.NeighList(index, unix.AF_INET)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		list, err = netlink.NeighList(index, unix.AF_INET)
	}
	if err == nil {
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				t[a.Unmap()] = n
			}
		}
	}
	r.neighbours[index] = t
	return t
}

// probe makes the kernel ask for the neighbour by ARP (NTF_USE, net/core/neighbour.c).
// Whatever comes of it arrives as a neighbour message.
func probe(index int, addr netip.Addr) {
	_ = netlink.NeighSet(&netlink.Neigh{LinkIndex: index, Family: unix.AF_INET, State: unix.NUD_NONE, Flags: netlink.NTF_USE, IP: addr.AsSlice()})
}

func interfaceIndex(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}

// hostHas says that some interface carries the address.
func hostHas(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			if h, ok := netip.AddrFromSlice(n.IP); ok && h.Unmap() == a {
				return true
			}
		}
	}
	return false
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
