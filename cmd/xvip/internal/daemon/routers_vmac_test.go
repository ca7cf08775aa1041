package daemon

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xvip-lb/xvip/vrrp"
)

// TestInterfacesOfVirtualMACs: their names, parents and MACs, and which address
// goes where.
func TestInterfacesOfVirtualMACs(t *testing.T) {
	instance := func(name, device, vip, more string) string {
		return "vrrp_instance " + name + " {\ninterface " + device + "\nvirtual_router_id 51\nvirtual_ipaddress {\n" + vip + "\n}\n" + more + "}\n"
	}
	const globals = "global_defs {\nvmac_prefix vm\nvmac_addr_prefix va\n}\n"
	for _, c := range []struct {
		name, text string
		want       []string // of each router: links, then addresses with their device
	}{
		{"none", instance("A", "eth0", "10.0.0.1", ""), []string{"10.0.0.1/32@eth0"}},
		{"own", instance("A", "eth0", "10.0.0.1\n10.0.1.1 dev eth1", "use_vmac\n"),
			[]string{"vrrp.51 on eth0 00:00:5e:00:01:33 for IPv4", "10.0.0.1/32@vrrp.51 10.0.1.1/32@eth1"}},
		{"with others", instance("A", "eth0", "10.0.0.1\n10.0.1.1 dev eth1\n10.0.1.2 dev eth1", "use_vmac\nuse_vmac_addr\n"),
			[]string{"vrrp.51 on eth0 00:00:5e:00:01:33 for IPv4", "vrrp.51.1 on eth1 00:00:5e:00:01:33 for IPv4",
				"10.0.0.1/32@vrrp.51 10.0.1.1/32@vrrp.51.1 10.0.1.2/32@vrrp.51.1"}},
		{"one address of two", instance("A", "eth0", "10.0.0.1\n10.0.1.1 dev eth1 use_vmac\n10.0.1.2 dev eth1", ""),
			[]string{"vrrp.51 on eth1 00:00:5e:00:01:33 for IPv4", "10.0.0.1/32@eth0 10.0.1.1/32@vrrp.51 10.0.1.2/32@eth1"}},
		{"IPv6", globals + instance("A", "eth0", "fe80::1\n2001:db8::1 dev eth1", "use_vmac\nuse_vmac_addr\nvmac_xmit_base\n"),
			[]string{"vm6.51 on eth0 00:00:5e:00:02:33", "va6.51 on eth1 00:00:5e:00:02:33", "fe80::1/128@vm6.51 2001:db8::1/128@va6.51", "by the base"}},
		{"one VRID on two interfaces, and unicast",
			instance("A", "eth0", "10.0.0.1", "use_vmac\n") + instance("B", "eth1", "10.0.1.1", "use_vmac\nunicast_peer {\n10.0.1.9\n}\n"),
			[]string{"vrrp.51 on eth0 00:00:5e:00:01:33 for IPv4", "10.0.0.1/32@vrrp.51",
				"vrrp.51.1 on eth1 00:00:5e:00:01:33 for IPv4", "10.0.1.1/32@vrrp.51.1", "by the base"}},
		{"the names that are given come first", instance("A", "eth0", "10.0.0.1\n10.0.1.1 dev eth1 use_vmac", "") +
			instance("B", "eth1", "10.0.1.2", "use_vmac vrrp.51 02:00:00:00:00:01 group 7\n"),
			[]string{"vrrp.51.1 on eth1 00:00:5e:00:01:33 for IPv4", "10.0.0.1/32@eth0 10.0.1.1/32@vrrp.51.1",
				"vrrp.51 on eth1 02:00:00:00:00:01 for IPv4 in group 7", "10.0.1.2/32@vrrp.51"}},
		{"use_ipvlan is not acted on", instance("A", "eth0", "10.0.0.1", "use_ipvlan\n"), []string{"10.0.0.1/32@eth0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range wantedOf(t, c.name, c.text).(vrrp.Wanted).Routers {
				got = append(got, linksOf(r)...)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error("(-want +got)\n" + d)
			}
		})
	}
}

// linksOf tells a router's interfaces and addresses.
func linksOf(r vrrp.RouterSpec) (out []string) {
	links := r.Extra
	if r.Virtual != nil {
		links = append([]vrrp.VirtualLink{*r.Virtual}, links...)
	}
	for _, l := range links {
		line := fmt.Sprintf("%s on %s %s", l.Name, l.Parent, l.MAC)
		if l.IPv4 {
			line += " for IPv4"
		}
		if l.HasGroup {
			line += fmt.Sprintf(" in group %d", l.Group)
		}
		out = append(out, line)
	}
	addrs := ""
	for i, a := range r.Owned {
		if i > 0 {
			addrs += " "
		}
		addrs += a.Prefix.String() + "@" + a.Device
	}
	out = append(out, addrs)
	if r.OnBase {
		out = append(out, "by the base")
	}
	return out
}
