package vrrp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is static and belongs to a track group comes back when somebody removes
// it; while it cannot, the routers of the group are in Fault.
func TestTrackGroups(t *testing.T) {
	t.Parallel()
	dut, _ := twoNodes(t)
	addVeth(t, dut.nl, "eth1", "eth1p")
	spec := variantNamed(t, "v3").spec(100, self, high)
	spec.TrackGroups = []string{"G"}
	static, err := NewRouting(RouteNames{}, []VirtualRoute{{Dst: prefix("10.97.0.0/24"), Via: addr("10.98.0.1"), Dev: "eth1", TrackGroup: "G"}},
		[]VirtualRule{{Family: 4, From: prefix("10.96.0.0/24"), Table: "100", Priority: 1000, HasPriority: true, TrackGroup: "G"}})
	noError(t, err)
	dut.runAll(Wanted{Routers: []RouterSpec{spec}, StaticRouting: static,
		Static: []VirtualAddress{{Prefix: prefix("10.98.0.5/24"), Device: "eth1", TrackGroup: "G"}}})
	routes := func() int {
		list, err := dut.nl.h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: ipNet(prefix("10.97.0.0/24"))}, netlink.RT_FILTER_DST)
		noError(t, err)
		return len(list)
	}
	rules := func() (n int) {
		list, err := dut.nl.h.RuleList(netlink.FAMILY_V4)
		noError(t, err)
		for _, r := range list {
			if r.Priority == 1000 {
				n++
			}
		}
		return n
	}
	whole := func() bool { return dut.role() == Master && routes() == 1 && rules() == 1 }
	// Its third change of role would be a fault.
	eventually(t, "master with what is static", func() bool { return whole() && dut.status().Transitions == 2 })

	list, err := dut.nl.h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: ipNet(prefix("10.97.0.0/24"))}, netlink.RT_FILTER_DST)
	noError(t, err)
	noError(t, dut.nl.h.RouteDel(&list[0]))
	eventually(t, "the route is back", func() bool { return routes() == 1 })
	noError(t, dut.nl.h.RuleDel(static.rules[0].rules[0]))
	eventually(t, "the rule is back", func() bool { return rules() == 1 })
	if st := dut.status(); st.Transitions != 2 {
		t.Errorf("what came back was a change of role: %+v", st)
	}

	setUp(t, dut.nl, "eth1", false)
	eventually(t, "the loss is a fault", func() bool {
		st := dut.status()
		return st.Role == Fault && strings.HasPrefix(st.Reason, "track_group G: add route")
	})
	setUp(t, dut.nl, "eth1", true)
	eventually(t, "all is back", whole)
}

// The monitor of routes ends with its context, also before anything is wanted,
// and leaves routes of others alone.
func TestRouteMonitorConcerns(t *testing.T) {
	m := newRouteMonitor(nil, nil, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("end"))
	m.run(ctx)
	g, err := NewRouting(RouteNames{}, []VirtualRoute{{Dst: prefix("10.97.0.0/24"), Dev: "eth1"}}, nil)
	noError(t, err)
	m.set([]Routing{g})
	rtmsg := func(protocol byte) []byte {
		return append([]byte{unix.AF_INET, 24, 0, 0, 254, protocol}, make([]byte, 6)...)
	}
	for _, c := range []struct {
		what string
		kind uint16
		data []byte
		want bool
	}{
		{"ours", unix.RTM_DELROUTE, rtmsg(byte(protoKeepalived)), true}, {"of the kernel", unix.RTM_DELROUTE, rtmsg(unix.RTPROT_KERNEL), false},
		{"an addition", unix.RTM_NEWROUTE, rtmsg(byte(protoKeepalived)), false}, {"too short", unix.RTM_DELROUTE, rtmsg(byte(protoKeepalived))[:8], false},
		{"a rule", unix.RTM_DELRULE, nil, false},
	} {
		if m.concerns(c.kind, c.data) != c.want {
			t.Errorf("%s: want %v", c.what, c.want)
		}
	}
}
