package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxWays is MAX_WAYS of bpf/maps.h.
const maxWays = 16

// ways gives the host's routes for replies of NAT, the longest prefixes first.
// It gives none when they are too many, or when more than the destination
// decides: then the program asks the kernel for each packet.
func (r *resolver) ways() []bpfWay {
	if policy() {
		return nil
	}
	var routes []netlink.Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil
		}
		for _, route := range list {
			if prefix, ok := destination(route, family); ok && !prefix.Addr().IsLinkLocalUnicast() && !prefix.Addr().IsMulticast() {
				routes = append(routes, route)
			}
		}
	}
	if len(routes) > maxWays {
		return nil
	}
	ways := make([]bpfWay, 0, len(routes))
	for _, route := range routes {
		ways = append(ways, r.way(route))
	}
	slices.SortStableFunc(ways, func(a, b bpfWay) int { return prefixLength(b.Mask) - prefixLength(a.Mask) })
	return ways
}

func prefixLength(mask [4]uint32) int {
	n := 0
	for _, b := range wordsBytes(mask) {
		for ; b != 0; b <<= 1 {
			n++
		}
	}
	return n
}

// policy says that rules other than the three of every host choose routes.
func policy() bool {
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return true
	}
	for _, rule := range rules {
		if rule.Table != unix.RT_TABLE_LOCAL && rule.Table != unix.RT_TABLE_MAIN && rule.Table != unix.RT_TABLE_DEFAULT {
			return true
		}
	}
	return false
}

func destination(route netlink.Route, family int) (netip.Prefix, bool) {
	if route.Dst == nil {
		if family == unix.AF_INET {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), true
	}
	addr, ok := netip.AddrFromSlice(route.Dst.IP)
	ones, _ := route.Dst.Mask.Size()
	if family == unix.AF_INET {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, ones), ok
}

// way makes the entry of a route; one that leads through a router whose MAC is
// known says how frames to it begin.
func (r *resolver) way(route netlink.Route) bpfWay {
	prefix, _ := destination(route, route.Family)
	w := bpfWay{Net: addrWords(prefix.Masked().Addr()), Mask: maskWords(prefix), Flags: uint8(bpfWayFlagsWAY_USED)}
	via, ok := netip.AddrFromSlice(route.Gw)
	if !ok || len(route.MultiPath) > 0 || route.Type != unix.RTN_UNICAST {
		return w
	}
	via = via.Unmap()
	link := r.link(route.LinkIndex)
	if link == nil || len(link.Attrs().HardwareAddr) != 6 {
		return w
	}
	n, ok := r.table(route.LinkIndex)[via]
	good := ok && n.State&usable != 0 && len(n.HardwareAddr) == 6
	if !good || r.confirm && n.State&(unix.NUD_STALE|unix.NUD_FAILED) != 0 {
		probe(route.LinkIndex, via)
	}
	if !good {
		return w
	}
	if h := r.out(link, n, prefix.Addr(), route); h.known {
		w.L2, w.L2Len, w.Ifindex, w.Mtu = h.l2, h.l2Len, h.ifindex, uint32(h.mtu)
		w.Flags |= uint8(bpfWayFlagsWAY_KNOWN)
	}
	return w
}

// setWays makes the map hold exactly these routes. While they change a packet may
// see two of them; both are routes that the host has or had a moment ago.
func (t *tables) setWays(ways []bpfWay) error {
	var errs []error
	for i := range maxWays {
		var w bpfWay
		if i < len(ways) {
			w = ways[i]
		}
		if w == t.ways[i] {
			continue
		}
		if err := t.maps.Ways.Put(uint32(i), w); err != nil {
			errs = append(errs, fmt.Errorf("write route: %w", err))
			continue
		}
		t.ways[i] = w
	}
	return errors.Join(errs...)
}
