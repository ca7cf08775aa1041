package vrrp

import (
	"cmp"
	"fmt"
	"net/netip"
)

// trackedList is what a virtual router tracks of one kind.
type trackedList struct {
	kind TrackKind
	refs []TrackRef
}

// tracked gives what the trackers of the set look at, in the order of judgment.
func (s *RouterSpec) tracked() []trackedList {
	return []trackedList{{TrackKindScript, s.TrackScripts}, {TrackKindFile, s.TrackFiles}, {TrackKindProcess, s.TrackProcesses},
		{TrackKindBFD, s.TrackBFDs}}
}

// tracksSource tells whether a configured source has to be on the interface.
func (s *RouterSpec) tracksSource() bool { return s.TrackSource && s.Source.IsValid() }

// speaker is the interface whose address advertisements leave from; empty: any.
func (s *RouterSpec) speaker() string {
	if s.Virtual != nil && s.Virtual.IPVLAN && !s.OnBase {
		return s.Virtual.Name
	}
	return s.Config.Interface
}

// trackEffect is what a tracker does to a router: Trackers.Effect.
type trackEffect func(kind TrackKind, name string, weight int, reverse bool) TrackResult

// judge computes from the states of everything that is tracked with what fault
// or priority a virtual router takes part; ready is false while a tracker has
// not spoken yet, and then the rest is without it.
func judge(spec *RouterSpec, own LinkState, link func(name string) LinkState, carries func(device string, a netip.Addr) bool,
	track trackEffect) (c Conditions, ready bool) {
	c.Source = spec.Source
	family := "IPv4"
	if spec.Config.Family == 6 {
		family = "link-local IPv6"
	}
	speaks := own
	if name := spec.speaker(); name != own.Name {
		speaks = link(name)
	}
	if !c.Source.IsValid() && spec.Config.Family == 6 {
		c.Source = speaks.LinkLocal6
	} else if !c.Source.IsValid() {
		c.Source = speaks.Primary4
	}
	switch {
	case spec.TrackPrimary && own.Name != "" && linkFault(own) != "":
		c.Fault = linkFault(own)
	case spec.VRF != "" && linkFault(link(spec.VRF)) != "":
		c.Fault = linkFault(link(spec.VRF))
	case !c.Source.IsValid() && own.Name == "":
		c.Fault = "neither an interface nor a source address is configured"
	case !c.Source.IsValid():
		c.Fault = fmt.Sprintf("interface %s has no %s address", speaks.Name, family)
	case spec.NoPeer:
		c.Fault = "no unicast peer is configured"
	case spec.tracksSource() && !carries(speaks.Name, spec.Source):
		c.Fault = fmt.Sprintf("source address %s is not on %s", spec.Source, cmp.Or(speaks.Name, "this host"))
	case spec.TrackPrimary && spec.Virtual != nil:
		c.Fault = linkFault(link(spec.Virtual.Name))
	}
	delta, ready := 0, true
	apply := func(d int, fault string) {
		delta += d
		if c.Fault == "" {
			c.Fault = fault
		}
	}
	for _, t := range spec.TrackInterfaces {
		st := trackStateOf(link(t.Name).Up)
		d, fault := TrackEffect(st, t.Weight, t.Reverse)
		r := newTrackResult(d, fault, fmt.Sprintf("interface %s is %s", t.Name, st), true)
		apply(r.Delta, r.Fault)
	}
	for _, list := range spec.tracked() {
		for _, t := range list.refs {
			r := track(list.kind, t.Name, t.Weight, t.Reverse)
			if !r.Known {
				ready = false
				continue
			}
			apply(r.Delta, r.Fault)
		}
	}
	c.Priority = EffectivePriority(spec.Config.Priority, delta)
	return c, ready
}

// linkFault tells what keeps an interface from carrying advertisements; empty:
// nothing.
func linkFault(s LinkState) string {
	switch {
	case !s.Exists:
		return fmt.Sprintf("interface %s does not exist", s.Name)
	case !s.Up:
		return fmt.Sprintf("interface %s is down", s.Name)
	}
	return ""
}
