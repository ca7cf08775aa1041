package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// routeTypes are the words of ip-route(8) that may begin a route.
var routeTypes = map[string]bool{"unicast": true, "local": true, "broadcast": true, "multicast": true, "throw": true,
	"unreachable": true, "prohibit": true, "blackhole": true, "nat": true, "anycast": true}

// routeFlags are words without a value, routeValues words with one.
var (
	routeFlags  = map[string]bool{"onlink": true, "append": true, "inet": true, "inet6": true}
	routeValues = map[string]bool{"mtu": true, "hoplimit": true, "advmss": true, "rtt": true, "rttvar": true,
		"reordering": true, "window": true, "cwnd": true, "ssthresh": true, "realms": true, "rto_min": true,
		"initcwnd": true, "initrwnd": true, "vrf": true, "features": true, "quickack": true, "congctl": true,
		"pref": true, "expires": true, "encap": true, "fastopen_no_cookie": true, "nhid": true, "ttl-propagate": true}
)

// words hands out the words of a line one after the other.
type words struct {
	b    *binder
	c    *call
	list []word
}

func (w *words) next() (word, bool) {
	if len(w.list) == 0 {
		return word{}, false
	}
	first := w.list[0]
	w.list = w.list[1:]
	return first, true
}

// value is the word after an option; keepalived does not start without it.
func (w *words) value(option word) (word, bool) {
	v, ok := w.next()
	if !ok {
		w.b.add(w.c.st.at(option), w.c.st.from(), Error, w.c.row.word, "%q has no value; expected one, as in ip-route(8) and ip-rule(8)", printable(option.text))
	}
	return v, ok
}

// routeItem reads one line in the language of ip-route(8), with keepalived's
// old forms: "src IP to NET", "gw" for "via", and "via A or B".
func (b *binder) routeItem(c *call) {
	r := &VirtualRoute{Pos: c.st.pos(), Type: "unicast"}
	w := &words{b: b, c: c, list: c.st.words}
	if routeTypes[w.list[0].text] {
		first, _ := w.next()
		r.Type = strings.Clone(first.text)
	}
	inet6 := false
	for {
		o, ok := w.next()
		if !ok {
			break
		}
		inet6 = inet6 || o.text == "inet6"
		if !b.routeOption(w, r, o) {
			return
		}
	}
	if !r.Dst.IsValid() {
		b.warn(c, c.st.words[0], "the route has no destination; expected [to] IP/LEN or default; the line is ignored")
		return
	}
	if r.Dst.Bits() == 0 && (inet6 || r.Via.Is6()) {
		r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if list, ok := c.field.Addr().Interface().(*[]VirtualRoute); ok {
		*list = append(*list, *r)
		return
	}
	b.cfg.StaticRoutes = append(b.cfg.StaticRoutes, r)
}

// routeOption takes one option with its value. False drops the line.
func (b *binder) routeOption(w *words, r *VirtualRoute, o word) bool {
	c := w.c
	if routeFlags[o.text] {
		r.Options = append(r.Options, []string{strings.Clone(o.text)})
		return true
	}
	switch o.text {
	case "no_track":
		r.NoTrack = true
		return true
	case "nexthop":
		return b.nextHop(w, r, o)
	case "to", "from", "src", "via", "gw", "or", "dev", "oif", "table", "scope", "proto", "protocol", "metric", "priority", "preference", "tos", "dsfield", "track_group", "as":
	default:
		if !routeValues[o.text] {
			return b.destination(c, r, o)
		}
		v, ok := w.value(o)
		if !ok {
			return false
		}
		opt := []string{strings.Clone(o.text), strings.Clone(v.text)}
		if v.text == "lock" || v.text == "via" {
			if v, ok = w.value(o); !ok {
				return false
			}
			opt = append(opt, strings.Clone(v.text))
		}
		r.Options = append(r.Options, opt)
		return true
	}
	v, ok := w.value(o)
	if !ok {
		return false
	}
	if (o.text == "to" || o.text == "via" || o.text == "as") && (v.text == "to" || v.text == "inet" || v.text == "inet6") {
		if v, ok = w.value(v); !ok {
			return false
		}
	}
	if routeTypes[v.text] && o.text == "to" {
		r.Type = strings.Clone(v.text)
		return true
	}
	return b.routeValue(c, r, o, v)
}

func (b *binder) routeValue(c *call, r *VirtualRoute, o, v word) bool {
	ok := true
	switch o.text {
	case "to":
		return b.destination(c, r, v)
	case "from":
		r.From, ok = b.prefix(c, v)
	case "src":
		r.Src, ok = b.address(c, v, 0)
	case "via", "gw", "as":
		r.Via, ok = b.address(c, v, 0)
		if o.text == "gw" {
			b.warn(c, o, `"gw" is deprecated; use "via"`)
		}
	case "or":
		r.Or, ok = b.address(c, v, 0)
	case "dev", "oif":
		ok = b.interfaceName(c, v)
		r.Dev = strings.Clone(v.text)
	case "table":
		r.Table = strings.Clone(v.text)
	case "scope":
		r.Scope = strings.Clone(v.text)
		var n uint8
		b.scope(c, v, &n)
	case "proto", "protocol":
		r.Protocol = strings.Clone(v.text)
	case "metric", "priority", "preference":
		var n float64
		if n, ok = b.number(c, v, 0, 1<<32-1); ok {
			r.Metric = uint32(n)
		}
	case "tos", "dsfield":
		r.TOS = strings.Clone(v.text)
	case "track_group":
		r.TrackGroup = strings.Clone(v.text)
	}
	return ok
}

// destination reads IP[/LEN] or default. A second one on a line is a mistake
// of its own: keepalived takes one route a line.
func (b *binder) destination(c *call, r *VirtualRoute, w word) bool {
	if r.Dst.IsValid() {
		b.warn(c, w, "%q is not understood; one route a line, in the language of ip-route(8); the line is ignored", printable(w.text))
		return false
	}
	if w.text == "default" {
		r.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		return true
	}
	p, ok := b.prefix(c, w)
	r.Dst = p
	return ok
}

// nextHop takes the words after "nexthop" up to the next one.
func (b *binder) nextHop(w *words, r *VirtualRoute, o word) bool {
	var hop []string
	for len(w.list) > 0 && w.list[0].text != "nexthop" && w.list[0].text != "no_track" && w.list[0].text != "track_group" {
		v, _ := w.next()
		hop = append(hop, strings.Clone(v.text))
	}
	if len(hop) == 0 {
		b.warn(w.c, o, "the nexthop is empty; the line is ignored")
		return false
	}
	r.NextHops = append(r.NextHops, hop)
	return true
}

// ruleValues are the words of ip-rule(8) with a value that are kept as they
// are.
var ruleValues = map[string]bool{"realms": true, "suppress_prefixlength": true, "suppress_ifgroup": true, "tun_id": true,
	"uidrange": true, "ipproto": true, "ip_proto": true, "sport": true, "dport": true, "protocol": true, "proto": true}

// ruleItem reads one line in the language of ip-rule(8).
func (b *binder) ruleItem(c *call) {
	r := &VirtualRule{Pos: c.st.pos(), Action: "table"}
	w := &words{b: b, c: c, list: c.st.words}
	for {
		o, ok := w.next()
		if !ok {
			break
		}
		if !b.ruleOption(w, r, o) {
			return
		}
	}
	if r.Family == 0 {
		for _, p := range []netip.Prefix{r.From, r.To} {
			if p.IsValid() {
				r.Family = familyOf(p.Addr())
			}
		}
	}
	if list, ok := c.field.Addr().Interface().(*[]VirtualRule); ok {
		*list = append(*list, *r)
		return
	}
	b.cfg.StaticRules = append(b.cfg.StaticRules, r)
}

func (b *binder) ruleOption(w *words, r *VirtualRule, o word) bool {
	switch o.text {
	case "not":
		r.Not = true
		return true
	case "no_track":
		r.NoTrack = true
		return true
	case "inet", "inet6":
		r.Family = 4
		if o.text == "inet6" {
			r.Family = 6
		}
		return true
	case "blackhole", "unreachable", "prohibit", "nop":
		r.Action = strings.Clone(o.text)
		return true
	case "l3mdev":
		r.Options = append(r.Options, []string{"l3mdev"})
		return true
	case "type":
		return true
	}
	known := ruleValues[o.text]
	switch o.text {
	case "from", "to", "table", "lookup", "priority", "preference", "pref", "order", "fwmark", "iif", "dev", "oif", "tos", "dsfield", "goto", "track_group":
		known = true
	}
	if !known {
		w.b.warn(w.c, o, "%q is not understood; expected the language of ip-rule(8); the line is ignored", printable(o.text))
		return false
	}
	v, ok := w.value(o)
	if !ok {
		return false
	}
	return b.ruleValue(w.c, r, o, v)
}

func (b *binder) ruleValue(c *call, r *VirtualRule, o, v word) bool {
	ok := true
	text := strings.Clone(v.text)
	switch o.text {
	case "from", "to":
		if text == "all" || text == "any" || text == "default" {
			return true
		}
		var p netip.Prefix
		p, ok = b.prefix(c, v)
		if o.text == "from" {
			r.From = p
		} else {
			r.To = p
		}
	case "table", "lookup":
		r.Table = text
	case "priority", "preference", "pref", "order":
		n, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			b.warn(c, v, "bad preference %q; expected a number", printable(text))
			return false
		}
		r.Priority, r.HasPriority = uint32(n), true
	case "fwmark":
		r.FWMark = text
	case "iif", "dev":
		r.IIF = text
	case "oif":
		r.OIF = text
	case "tos", "dsfield":
		r.TOS = text
	case "goto":
		r.Action = "goto"
		r.Options = append(r.Options, []string{"goto", text})
	case "track_group":
		r.TrackGroup = text
	default:
		r.Options = append(r.Options, []string{strings.Clone(o.text), text})
	}
	return ok
}
