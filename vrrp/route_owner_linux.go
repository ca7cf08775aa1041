package vrrp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Routing is the routes and rules that go with the addresses of a virtual
// router, ready for the kernel.
type Routing struct {
	routes []compiledRoute
	rules  []compiledRule
}

// NewRouting translates routes and rules. Those that cannot be are left out,
// and each is named with its reason in the joined errors.
func NewRouting(names RouteNames, routes []VirtualRoute, rules []VirtualRule) (Routing, error) {
	var g Routing
	var errs []error
	for _, v := range routes {
		c, err := compileRoute(v, names)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		g.routes = append(g.routes, c)
	}
	for _, v := range rules {
		c, err := compileRule(v, names)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		g.rules = append(g.rules, c)
	}
	return g, errors.Join(errs...)
}

// without gives the part of g that other has not.
func (g Routing) without(other Routing) Routing {
	return Routing{
		routes: slices.DeleteFunc(slices.Clone(g.routes), func(c compiledRoute) bool {
			return slices.ContainsFunc(other.routes, func(o compiledRoute) bool { return reflect.DeepEqual(c, o) })
		}),
		rules: slices.DeleteFunc(slices.Clone(g.rules), func(c compiledRule) bool {
			return slices.ContainsFunc(other.rules, func(o compiledRule) bool { return reflect.DeepEqual(c, o) })
		}),
	}
}

// tracked gives the part of g that is put back when somebody removes it.
func (g Routing) tracked() Routing {
	return Routing{
		routes: slices.DeleteFunc(slices.Clone(g.routes), func(c compiledRoute) bool { return c.source.NoTrack }),
		rules:  slices.DeleteFunc(slices.Clone(g.rules), func(c compiledRule) bool { return c.source.NoTrack }),
	}
}

// SetRouting replaces the routes and rules. While the addresses are held, those
// that are no longer wanted are removed and new ones added.
func (o *AddressOwner) SetRouting(ctx context.Context, g Routing) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.routing
	o.routing = g
	if !o.held {
		return nil
	}
	return errors.Join(o.removeRouting(old.without(g)), o.addRouting(ctx, g.without(old)))
}

// addRouting adds what is missing, routes before the rules that lead to them.
func (o *AddressOwner) addRouting(ctx context.Context, g Routing) error {
	var errs []error
	for _, c := range g.routes {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		r, err := o.nl.resolve(c)
		if err == nil && c.append {
			err = o.nl.h.RouteAppend(r)
		} else if err == nil {
			err = o.nl.h.RouteAdd(r)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			err = fmt.Errorf("add route %q: %w", c.source, err)
			o.setBroken(c.source.TrackGroup, err)
			errs = append(errs, err)
		}
	}
	for _, c := range g.rules {
		for _, r := range c.rules {
			if err := o.addRule(c, r); err != nil {
				err = fmt.Errorf("add rule %q: %w", c.source, err)
				o.setBroken(c.source.TrackGroup, err)
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// addRule adds a rule that is missing. To the kernel a rule without priority is
// never the same as one before, since it gives each a priority of its own: we
// remember which ones we have added.
func (o *AddressOwner) addRule(c compiledRule, r *netlink.Rule) error {
	if !c.source.HasPriority && slices.ContainsFunc(o.ruled, func(have *netlink.Rule) bool { return reflect.DeepEqual(have, r) }) {
		return nil
	}
	if err := o.nl.h.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if !c.source.HasPriority {
		o.ruled = append(o.ruled, r)
	}
	return nil
}

// removeRouting removes what is present, in the other order.
func (o *AddressOwner) removeRouting(g Routing) error {
	var errs []error
	for _, c := range slices.Backward(g.rules) {
		for _, r := range c.rules {
			o.ruled = slices.DeleteFunc(o.ruled, func(have *netlink.Rule) bool { return reflect.DeepEqual(have, r) })
			if err := o.nl.h.RuleDel(r); err != nil && !isNotFound(err) {
				errs = append(errs, fmt.Errorf("remove rule %q: %w", c.source, err))
			}
		}
	}
	for _, c := range slices.Backward(g.routes) {
		r, err := o.nl.resolve(c)
		if err == nil {
			err = o.nl.h.RouteDel(r)
		}
		if err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("remove route %q: %w", c.source, err))
		}
	}
	return errors.Join(errs...)
}

// resolve fills the numbers of the interfaces in.
func (n *Netlink) resolve(c compiledRoute) (*netlink.Route, error) {
	r := c.route
	var err error
	if c.source.Dev != "" && len(c.hops) == 0 {
		if r.LinkIndex, err = n.index(c.source.Dev); err != nil {
			return nil, err
		}
	}
	r.MultiPath = nil
	for i, dev := range c.hops {
		hop := *c.route.MultiPath[i]
		if dev != "" {
			if hop.LinkIndex, err = n.index(dev); err != nil {
				return nil, err
			}
		}
		r.MultiPath = append(r.MultiPath, &hop)
	}
	return &r, nil
}
