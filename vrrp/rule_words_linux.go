package vrrp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// compiledRule is a rule for each family that it is for.
type compiledRule struct {
	source VirtualRule
	rules  []*netlink.Rule
}

// compileRule translates a rule or says which word cannot be.
func compileRule(v VirtualRule, names RouteNames) (compiledRule, error) {
	c := compiledRule{source: v}
	families := []int{unix.AF_INET, unix.AF_INET6}
	switch v.Family {
	case 4:
		families = families[:1]
	case 6:
		families = families[1:]
	}
	for _, family := range families {
		r, err := newRule(v, names)
		if err != nil {
			return c, fmt.Errorf("virtual rule %q: %w", v, err)
		}
		r.Family = family
		c.rules = append(c.rules, r)
	}
	return c, nil
}

func newRule(v VirtualRule, names RouteNames) (*netlink.Rule, error) {
	r := netlink.NewRule()
	r.Invert, r.IifName, r.OifName, r.Protocol = v.Not, v.IIF, v.OIF, protoKeepalived
	if v.From.IsValid() && v.From.Bits() > 0 {
		r.Src = ipNet(v.From.Masked())
	}
	if v.To.IsValid() && v.To.Bits() > 0 {
		r.Dst = ipNet(v.To.Masked())
	}
	if v.HasPriority {
		r.Priority = int(v.Priority)
	}
	if err := ruleAction(r, v, names); err != nil {
		return nil, err
	}
	if v.TOS != "" {
		n, err := lookup(names.fields, "tos", v.TOS, 255)
		if err != nil {
			return nil, err
		}
		r.Tos = uint(n)
	}
	if v.FWMark != "" {
		if err := setMark(r, v.FWMark); err != nil {
			return nil, err
		}
	}
	known := ruleOptions()
	for _, o := range v.Options {
		set := known[o[0]]
		if set == nil {
			return nil, fmt.Errorf("option %q is not supported", o[0])
		}
		if len(o) != 2 {
			return nil, fmt.Errorf("option %q has no value", o[0])
		}
		if err := set(r, names, o[1]); err != nil {
			return nil, fmt.Errorf("option %q: %w", o[0], err)
		}
	}
	return r, nil
}

// ruleAction sets what a rule does: look into a table unless said otherwise.
func ruleAction(r *netlink.Rule, v VirtualRule, names RouteNames) error {
	actions := map[string]uint8{"blackhole": nl.FR_ACT_BLACKHOLE, "unreachable": nl.FR_ACT_UNREACHABLE,
		"prohibit": nl.FR_ACT_PROHIBIT, "nop": nl.FR_ACT_NOP}
	switch v.Action {
	case "", "table":
		word := v.Table
		if word == "" {
			word = "main"
		}
		n, err := lookup(names.tables, "table", word, 1<<32-1)
		r.Table = int(n)
		return err
	case "goto": // among the options
		return nil
	}
	action, ok := actions[v.Action]
	if !ok {
		return fmt.Errorf("action %q is not supported", v.Action)
	}
	r.Type = action
	return nil
}

// setMark takes N[/MASK].
func setMark(r *netlink.Rule, text string) error {
	mark, mask, both := strings.Cut(text, "/")
	n, err := strconv.ParseUint(mark, 0, 32)
	if err != nil {
		return fmt.Errorf("fwmark %q is not a number", mark)
	}
	r.Mark = uint32(n)
	if both {
		m, err := strconv.ParseUint(mask, 0, 32)
		if err != nil {
			return fmt.Errorf("mask of fwmark %q is not a number", mask)
		}
		m32 := uint32(m)
		r.Mask = &m32
	}
	return nil
}

// ruleOptions set what follows an option of ip-rule(8).
func ruleOptions() map[string]func(r *netlink.Rule, n RouteNames, v string) error {
	ports := func(field func(*netlink.Rule) **netlink.RulePortRange) func(*netlink.Rule, RouteNames, string) error {
		return func(r *netlink.Rule, _ RouteNames, v string) error {
			low, high, err := numberRange(v, 16)
			*field(r) = netlink.NewRulePortRange(uint16(low), uint16(high))
			return err
		}
	}
	protocol := func(r *netlink.Rule, n RouteNames, v string) error {
		p, err := lookup(n.protocols, "protocol", v, 255)
		r.Protocol = uint8(p)
		return err
	}
	ipProto := func(r *netlink.Rule, _ RouteNames, v string) error {
		names := map[string]uint32{"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
			"ipv6-icmp": 58, "sctp": 132, "udplite": 136}
		p, err := lookup(names, "IP protocol", strings.ToLower(v), 255)
		r.IPProto = int(p)
		return err
	}
	return map[string]func(*netlink.Rule, RouteNames, string) error{
		"sport":    ports(func(r *netlink.Rule) **netlink.RulePortRange { return &r.Sport }),
		"dport":    ports(func(r *netlink.Rule) **netlink.RulePortRange { return &r.Dport }),
		"protocol": protocol, "proto": protocol,
		"ipproto": ipProto, "ip_proto": ipProto,
		"goto":   func(r *netlink.Rule, _ RouteNames, v string) error { return setNumber(&r.Goto, []string{v}) },
		"realms": func(r *netlink.Rule, n RouteNames, v string) error { return setRealms(&r.Flow, n, []string{v}) },
		"suppress_prefixlength": func(r *netlink.Rule, _ RouteNames, v string) error {
			return setNumber(&r.SuppressPrefixlen, []string{v})
		},
		"suppress_ifgroup": func(r *netlink.Rule, _ RouteNames, v string) error { return setNumber(&r.SuppressIfgroup, []string{v}) },
		"tun_id": func(r *netlink.Rule, _ RouteNames, v string) error {
			n, err := strconv.ParseUint(v, 0, 32)
			r.TunID = uint(n)
			return err
		},
		"uidrange": func(r *netlink.Rule, _ RouteNames, v string) error {
			low, high, err := numberRange(v, 32)
			r.UIDRange = netlink.NewRuleUIDRange(uint32(low), uint32(high))
			return err
		},
	}
}

// numberRange takes N or N-M.
func numberRange(text string, bits int) (low, high uint64, err error) {
	first, last, both := strings.Cut(text, "-")
	if !both {
		last = first
	}
	low, errLow := strconv.ParseUint(first, 10, bits)
	high, errHigh := strconv.ParseUint(last, 10, bits)
	if err := errors.Join(errLow, errHigh); err != nil || low > high {
		return 0, 0, fmt.Errorf("%q is not a range", text)
	}
	return low, high, nil
}
