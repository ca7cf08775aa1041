package vrrp

import "fmt"

// judge computes from the states of everything that is tracked with what fault
// or priority a virtual router takes part. A script that is not known does not
// count; ready is false while one has not spoken yet.
func judge(spec *RouterSpec, own LinkState, link func(name string) LinkState, script func(name string) (TrackState, bool)) (c Conditions, ready bool) {
	c.Source = spec.Source
	family := "IPv4"
	if spec.Config.Family == 6 {
		family = "link-local IPv6"
	}
	if !c.Source.IsValid() && spec.Config.Family == 6 {
		c.Source = own.LinkLocal6
	} else if !c.Source.IsValid() {
		c.Source = own.Primary4
	}
	switch {
	case spec.TrackPrimary && !own.Exists:
		c.Fault = fmt.Sprintf("interface %s does not exist", own.Name)
	case spec.TrackPrimary && !own.Up:
		c.Fault = fmt.Sprintf("interface %s is down", own.Name)
	case !c.Source.IsValid():
		c.Fault = fmt.Sprintf("interface %s has no %s address", own.Name, family)
	}
	delta := 0
	effect := func(what, name string, st TrackState, t TrackRef) {
		d, fault := TrackEffect(st, t.Weight, t.Reverse)
		delta += d
		if fault && c.Fault == "" {
			c.Fault = fmt.Sprintf("%s %s is %s", what, name, st)
		}
	}
	for _, t := range spec.TrackInterfaces {
		effect("interface", t.Name, trackStateOf(link(t.Name).Up), t)
	}
	for _, t := range spec.TrackScripts {
		st, known := script(t.Name)
		switch {
		case !known:
		case st == TrackUnknown:
			return c, false
		default:
			effect("script", t.Name, st, t)
		}
	}
	c.Priority = EffectivePriority(spec.Config.Priority, delta)
	return c, true
}
