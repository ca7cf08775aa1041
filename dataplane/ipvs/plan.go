package ipvs

import (
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/xvip-lb/xvip/dataplane"
)

// step is one change of the kernel's tables.
type step struct {
	cmd  uint8
	svc  service
	dest dest // of the dest commands
}

// plan gives the steps from have to want. Services of have that want lacks go
// only if ours says so. Additions and changes come before removals, service by
// service, so that no moment has fewer real servers than both states have.
func plan(have, want []entry, ours func(dataplane.Key) bool) []step {
	held := make(map[dataplane.Key]entry, len(have))
	for _, e := range have {
		held[e.key] = e
	}
	wanted := make(map[dataplane.Key]bool, len(want))
	var steps []step
	for _, w := range want {
		wanted[w.key] = true
		h, ok := held[w.key]
		switch {
		case !ok:
			steps = append(steps, step{cmd: cmdNewService, svc: w.service})
		case h.service != w.service:
			steps = append(steps, step{cmd: cmdSetService, svc: w.service})
		}
		steps = append(steps, planDests(w.service, h.dests, w.dests)...)
	}
	for _, h := range have {
		if !wanted[h.key] && ours(h.key) {
			steps = append(steps, step{cmd: cmdDelService, svc: h.service})
		}
	}
	return steps
}

func planDests(svc service, have, want []dest) []step {
	held := make(map[dataplane.RealKey]dest, len(have))
	for _, d := range have {
		held[d.key()] = d
	}
	wanted := make(map[dataplane.RealKey]bool, len(want))
	var steps []step
	for _, d := range want {
		if wanted[d.key()] {
			continue // the first of two equal identities counts
		}
		wanted[d.key()] = true
		h, ok := held[d.key()]
		switch {
		case !ok:
			steps = append(steps, step{cmd: cmdNewDest, svc: svc, dest: d})
		case h != d:
			steps = append(steps, step{cmd: cmdSetDest, svc: svc, dest: d})
		}
	}
	for _, d := range have {
		if !wanted[d.key()] {
			steps = append(steps, step{cmd: cmdDelDest, svc: svc, dest: d})
		}
	}
	return steps
}

// command is the wire form of the step.
func (s step) command() (command, error) {
	ae := netlink.NewAttributeEncoder()
	switch s.cmd {
	case cmdNewService, cmdSetService:
		ae.Nested(attrService, encodeService(s.svc))
	default:
		ae.Nested(attrService, func(ae *netlink.AttributeEncoder) error { encodeKey(ae, s.svc.key); return nil })
	}
	if s.isDest() {
		ae.Nested(attrDest, encodeDest(s.dest, s.cmd == cmdDelDest))
	}
	b, err := ae.Encode()
	if err != nil {
		return command{}, fmt.Errorf("%s: %w", s, err)
	}
	return command{s.cmd, b}, nil
}

func (s step) isDest() bool { return s.cmd >= cmdNewDest && s.cmd <= cmdDelDest }

// String says what the step does, for errors.
func (s step) String() string {
	verb := "change"
	switch s.cmd {
	case cmdNewService, cmdNewDest:
		verb = "add"
	case cmdDelService, cmdDelDest:
		verb = "remove"
	}
	if s.isDest() {
		return fmt.Sprintf("%s real server %s of service %s", verb, s.dest.key(), s.svc.key)
	}
	return fmt.Sprintf("%s service %s", verb, s.svc.key)
}
