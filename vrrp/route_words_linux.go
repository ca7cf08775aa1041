package vrrp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protoKeepalived marks the routes and rules as ours in the kernel's tables
// (include/uapi/linux/rtnetlink.h, RTPROT_KEEPALIVED).
const protoKeepalived = 18

// routeTypes are the words of ip-route(8) for RTN_* of rtnetlink.h.
func routeType(word string) (int, error) {
	types := map[string]int{"": unix.RTN_UNICAST, "unicast": unix.RTN_UNICAST, "local": unix.RTN_LOCAL, "broadcast": unix.RTN_BROADCAST,
		"anycast": unix.RTN_ANYCAST, "multicast": unix.RTN_MULTICAST, "blackhole": unix.RTN_BLACKHOLE,
		"unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT, "throw": unix.RTN_THROW}
	if t, ok := types[word]; ok {
		return t, nil
	}
	return 0, fmt.Errorf("route type %q is not supported by the kernel", word)
}

// routeOptions set what follows an option of ip-route(8).
func routeOptions() map[string]func(r *netlink.Route, n RouteNames, v []string) error {
	number := func(field func(r *netlink.Route) *int) func(*netlink.Route, RouteNames, []string) error {
		return func(r *netlink.Route, _ RouteNames, v []string) error { return setNumber(field(r), v) }
	}
	lockable := func(field func(r *netlink.Route) (*int, *bool)) func(*netlink.Route, RouteNames, []string) error {
		return func(r *netlink.Route, _ RouteNames, v []string) error {
			value, lock := field(r)
			if len(v) == 2 && v[0] == "lock" {
				*lock, v = true, v[1:]
			}
			return setTime(value, v, 1)
		}
	}
	return map[string]func(*netlink.Route, RouteNames, []string) error{
		"mtu":                lockable(func(r *netlink.Route) (*int, *bool) { return &r.MTU, &r.MTULock }),
		"rto_min":            lockable(func(r *netlink.Route) (*int, *bool) { return &r.RtoMin, &r.RtoMinLock }),
		"hoplimit":           number(func(r *netlink.Route) *int { return &r.Hoplimit }),
		"advmss":             number(func(r *netlink.Route) *int { return &r.AdvMSS }),
		"reordering":         number(func(r *netlink.Route) *int { return &r.Reordering }),
		"window":             number(func(r *netlink.Route) *int { return &r.Window }),
		"cwnd":               number(func(r *netlink.Route) *int { return &r.Cwnd }),
		"ssthresh":           number(func(r *netlink.Route) *int { return &r.Ssthresh }),
		"initcwnd":           number(func(r *netlink.Route) *int { return &r.InitCwnd }),
		"initrwnd":           number(func(r *netlink.Route) *int { return &r.InitRwnd }),
		"quickack":           number(func(r *netlink.Route) *int { return &r.QuickACK }),
		"fastopen_no_cookie": number(func(r *netlink.Route) *int { return &r.FastOpenNoCookie }),
		// The kernel counts the round trip in 1/8 and its variance in 1/4 ms.
		"rtt":     func(r *netlink.Route, _ RouteNames, v []string) error { return setTime(&r.Rtt, v, 8) },
		"rttvar":  func(r *netlink.Route, _ RouteNames, v []string) error { return setTime(&r.RttVar, v, 4) },
		"congctl": func(r *netlink.Route, _ RouteNames, v []string) error { return setWord(&r.Congctl, v) },
		"realms":  func(r *netlink.Route, n RouteNames, v []string) error { return setRealms(&r.Realm, n, v) },
		"onlink": func(r *netlink.Route, _ RouteNames, _ []string) error {
			r.Flags |= unix.RTNH_F_ONLINK
			return nil
		},
		"features": func(r *netlink.Route, _ RouteNames, v []string) error {
			if len(v) != 1 || v[0] != "ecn" {
				return fmt.Errorf("features %q are not known; expected ecn", v)
			}
			r.Features |= 1 // RTAX_FEATURE_ECN
			return nil
		},
		"inet":  func(*netlink.Route, RouteNames, []string) error { return nil },
		"inet6": func(*netlink.Route, RouteNames, []string) error { return nil },
	}
}

// setNumber takes one number.
func setNumber(field *int, v []string) error {
	if len(v) != 1 {
		return fmt.Errorf("%q is not one number", v)
	}
	n, err := strconv.ParseUint(v[0], 0, 32)
	if err != nil {
		return fmt.Errorf("%q is not a number", v[0])
	}
	*field = int(n)
	return nil
}

// setTime takes a number as it is, or a time with its unit as milliseconds
// times the factor.
func setTime(field *int, v []string, factor int) error {
	if len(v) != 1 {
		return fmt.Errorf("%q is not one time", v)
	}
	for _, unit := range []struct {
		suffix string
		ms     int
	}{{"ms", 1}, {"s", 1000}} {
		if text, ok := strings.CutSuffix(v[0], unit.suffix); ok {
			if err := setNumber(field, []string{text}); err != nil {
				return err
			}
			*field *= unit.ms * factor
			return nil
		}
	}
	return setNumber(field, v)
}

func setWord(field *string, v []string) error {
	if len(v) != 1 {
		return fmt.Errorf("%q is not one word", v)
	}
	*field = v[0]
	return nil
}

// setRealms takes [FROM/]TO.
func setRealms(field *int, n RouteNames, v []string) error {
	if len(v) != 1 {
		return fmt.Errorf("realms %q are not one word", v)
	}
	from, to, both := strings.Cut(v[0], "/")
	if !both {
		from, to = "0", from
	}
	a, errA := lookup(n.realms, "realm", from, 0xffff)
	b, errB := lookup(n.realms, "realm", to, 0xffff)
	*field = int(a<<16 | b)
	return errors.Join(errA, errB)
}

// compiledRoute is a route but for the numbers of its interfaces, which may
// change.
type compiledRoute struct {
	source VirtualRoute
	route  netlink.Route
	append bool
	hops   []string // the device of each hop of a multipath route, or empty
}

// compileRoute translates a route or says which word cannot be.
func compileRoute(v VirtualRoute, names RouteNames) (compiledRoute, error) {
	c := compiledRoute{source: v}
	err := c.fill(v, names)
	if err != nil {
		return c, fmt.Errorf("virtual route %q: %w", v, err)
	}
	return c, nil
}

func (c *compiledRoute) fill(v VirtualRoute, names RouteNames) error {
	if !v.Dst.IsValid() {
		return errors.New("no destination")
	}
	r := &c.route
	r.Dst, r.Priority, r.Table, r.Protocol = ipNet(v.Dst.Masked()), int(v.Metric), unix.RT_TABLE_MAIN, protoKeepalived
	if v.Src.IsValid() {
		r.Src = v.Src.AsSlice()
	}
	if v.Via.IsValid() && !v.Or.IsValid() {
		setGateway(&r.Gw, &r.Via, v.Via, v.Dst.Addr().Is4())
	}
	var err error
	if r.Type, err = routeType(v.Type); err != nil {
		return err
	}
	if err := c.numbers(v, names); err != nil {
		return err
	}
	known := routeOptions()
	for _, o := range v.Options {
		if len(o) == 1 && o[0] == "append" {
			c.append = true
			continue
		}
		set := known[o[0]]
		if set == nil {
			return fmt.Errorf("option %q is not supported", o[0])
		}
		if err := set(r, names, o[1:]); err != nil {
			return fmt.Errorf("option %q: %w", o[0], err)
		}
	}
	return c.multipath(v)
}

// numbers looks the names of a route up.
func (c *compiledRoute) numbers(v VirtualRoute, names RouteNames) error {
	r := &c.route
	for _, f := range []struct {
		word, what string
		names      map[string]uint32
		most       uint64
		set        func(uint32)
	}{
		{v.Table, "table", names.tables, 1<<32 - 1, func(n uint32) { r.Table = int(n) }},
		{v.Protocol, "protocol", names.protocols, 255, func(n uint32) { r.Protocol = netlink.RouteProtocol(n) }},
		{v.TOS, "tos", names.fields, 255, func(n uint32) { r.Tos = int(n) }},
	} {
		if f.word == "" {
			continue
		}
		n, err := lookup(f.names, f.what, f.word, f.most)
		if err != nil {
			return err
		}
		f.set(n)
	}
	if v.Scope != "" {
		n, err := lookup(names.scopes, "scope", v.Scope, 255)
		r.Scope = netlink.Scope(n)
		return err
	}
	r.Scope = defaultScope(v, r.Type)
	return nil
}

// defaultScope is what ip-route(8) takes when none is given.
func defaultScope(v VirtualRoute, kind int) netlink.Scope {
	switch {
	case v.Dst.Addr().Is6():
		return unix.RT_SCOPE_UNIVERSE
	case kind == unix.RTN_LOCAL:
		return unix.RT_SCOPE_HOST
	case kind == unix.RTN_BROADCAST, kind == unix.RTN_MULTICAST, kind == unix.RTN_ANYCAST,
		kind == unix.RTN_UNICAST && !v.Via.IsValid() && len(v.NextHops) == 0:
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// setGateway sets a gateway; one of the other family goes a way of its own.
func setGateway(gw *net.IP, via *netlink.Destination, addr netip.Addr, is4 bool) {
	if addr.Is4() == is4 {
		*gw = addr.AsSlice()
		return
	}
	family := netlink.FAMILY_V6
	if addr.Is4() {
		family = netlink.FAMILY_V4
	}
	*via = &netlink.Via{AddrFamily: family, Addr: addr.AsSlice()}
}

// multipath makes hops of "via A or B" and of "nexthop".
func (c *compiledRoute) multipath(v VirtualRoute) error {
	hops := v.NextHops
	if v.Or.IsValid() {
		hops = [][]string{{"via", v.Via.String()}, {"via", v.Or.String()}}
		if v.Dev != "" {
			hops[0], hops[1] = append(hops[0], "dev", v.Dev), append(hops[1], "dev", v.Dev)
		}
	}
	for _, words := range hops {
		hop, dev, err := compileHop(words, v.Dst.Addr().Is4())
		if err != nil {
			return fmt.Errorf("nexthop %q: %w", strings.Join(words, " "), err)
		}
		c.route.MultiPath = append(c.route.MultiPath, hop)
		c.hops = append(c.hops, dev)
	}
	return nil
}

func compileHop(words []string, is4 bool) (hop *netlink.NexthopInfo, dev string, err error) {
	hop = &netlink.NexthopInfo{}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if word == "onlink" {
			hop.Flags |= unix.RTNH_F_ONLINK
			continue
		}
		if len(words) == 0 {
			return nil, "", fmt.Errorf("%q has no value", word)
		}
		value := words[0]
		words = words[1:]
		switch word {
		case "via":
			if value == "inet" || value == "inet6" {
				if len(words) == 0 {
					return nil, "", fmt.Errorf("%q has no value", value)
				}
				value, words = words[0], words[1:]
			}
			addr, err := netip.ParseAddr(value)
			if err != nil {
				return nil, "", fmt.Errorf("%q is not an address", value)
			}
			setGateway(&hop.Gw, &hop.Via, addr, is4)
		case "dev", "oif":
			dev = value
		case "weight":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n < 1 || n > 256 {
				return nil, "", fmt.Errorf("weight %q is not between 1 and 256", value)
			}
			hop.Hops = int(n) - 1 // the kernel counts from 0
		default:
			return nil, "", fmt.Errorf("%q is not supported", word)
		}
	}
	return hop, dev, nil
}
