package xdp

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addresses gives those of all real servers, each once.
func (t *tables) addresses() []netip.Addr {
	seen := make(map[[4]uint32]bool, len(t.reals))
	var out []netip.Addr
	for _, r := range t.reals {
		if !seen[r.Addr] {
			seen[r.Addr] = true
			out = append(out, wordsAddr(r.Addr))
		}
	}
	return out
}

// resolveNew finds the next hops of servers that came since the last time.
func (t *tables) resolveNew(r *resolver) error {
	err := t.resolve(r, t.fresh)
	t.fresh = nil
	return err
}

// resolveKnown writes the next hops that r has looked up.
func (t *tables) resolveKnown(r *resolver) error {
	indexes := make([]uint32, 0, len(t.reals))
	for index, real := range t.reals {
		if _, ok := r.cache[wordsAddr(real.Addr)]; ok {
			indexes = append(indexes, index)
		}
	}
	return t.resolve(r, indexes)
}

// resolve brings the next hops of real servers up to date.
func (t *tables) resolve(r *resolver, indexes []uint32) error {
	var errs []error
	for _, index := range indexes {
		real, ok := t.reals[index]
		if !ok {
			continue // it left again
		}
		now := real
		now.Flags &^= uint32(bpfRealFlagsREAL_RESOLVED | bpfRealFlagsREAL_LOCAL | bpfRealFlagsREAL_REDIRECT)
		hop := r.lookup(wordsAddr(real.Addr))
		switch {
		case hop.local:
			now.Flags |= uint32(bpfRealFlagsREAL_LOCAL)
		case hop.known:
			now.Flags |= uint32(bpfRealFlagsREAL_RESOLVED)
			if hop.redirect {
				now.Flags |= uint32(bpfRealFlagsREAL_REDIRECT)
			}
			now.L2, now.L2Len, now.Ifindex, now.Mtu = hop.l2, hop.l2Len, hop.ifindex, hop.mtu
			now.TunnelSource = hop.source
			now.OuterSum = outerSum(now)
		}
		errs = append(errs, t.putReal(index, now))
	}
	return errors.Join(errs...)
}

// hop is the way to one address.
type hop struct {
	local, known bool
	redirect     bool // see REAL_REDIRECT in bpf/types.h
	l2           [22]byte
	l2Len        uint8
	ifindex      uint32 // of the device below any VLAN
	mtu          uint16
	source       [4]uint32 // this host's address on the way
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
	} else if v, ok := route.Via.(*netlink.Via); ok { // an IPv4 route through an IPv6 router
		if gw, ok := netip.AddrFromSlice(v.Addr); ok {
			via = gw.Unmap()
		}
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
	return r.out(link, n, addr, route)
}

// out makes the frame header of the way through link, tags of VLANs included.
func (r *resolver) out(link netlink.Link, n netlink.Neigh, addr netip.Addr, route netlink.Route) hop {
	h := hop{known: true, mtu: mtuOf(link, route)}
	if src, ok := netip.AddrFromSlice(route.Src); ok {
		h.source = addrWords(src.Unmap())
	}
	copy(h.l2[:], n.HardwareAddr)
	copy(h.l2[6:], link.Attrs().HardwareAddr)
	var tags []byte
	for {
		vlan, ok := link.(*netlink.Vlan)
		if !ok {
			break
		}
		proto := uint16(unix.ETH_P_8021Q)
		if vlan.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD {
			proto = unix.ETH_P_8021AD
		}
		tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, proto), uint16(vlan.VlanId))
		tags = append(tag, tags...)
		if link = r.link(vlan.Attrs().ParentIndex); link == nil || len(tags) > 8 {
			return hop{}
		}
	}
	proto := uint16(unix.ETH_P_IP)
	if addr.Is6() {
		proto = unix.ETH_P_IPV6
	}
	end := copy(h.l2[12:], binary.BigEndian.AppendUint16(tags, proto))
	h.l2Len = uint8(12 + end)
	h.ifindex, h.redirect = uint32(link.Attrs().Index), link.Type() == "veth"
	return h
}

// mtuOf gives the octets of IP packet that the way takes.
func mtuOf(link netlink.Link, route netlink.Route) uint16 {
	mtu := link.Attrs().MTU
	if route.MTU > 0 {
		mtu = min(mtu, route.MTU)
	}
	return uint16(min(mtu, 0xffff))
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
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.NeighList(index, family)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			list, err = netlink.NeighList(index, family)
		}
		if err != nil {
			continue
		}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				t[a.Unmap()] = n
			}
		}
	}
	r.neighbours[index] = t
	return t
}
