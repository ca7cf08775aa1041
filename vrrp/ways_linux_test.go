package vrrp

import (
	"errors"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Unicast needs no interface: the routes say where packets go, and the virtual
// addresses where they are. The source address is then looked for on any.
func TestUnicastWithoutAnInterface(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := variantNamed(t, "v3 unicast")
	spec := v.spec(200, self, high)
	spec.Config.Interface, spec.TrackSource = "", true
	a.run(spec)
	b.run(v.spec(100, high, self))
	eventually(t, "the one without an interface is master", func() bool { return a.role() == Master && b.role() == Backup && a.owns(vip4) })
	addrDel(t, a.nl, "eth0", "10.99.0.5/24")
	eventually(t, "without its source it is not", func() bool {
		return a.role() == Fault && a.status().Reason == "source address 10.99.0.5 is not on this host" && b.role() == Master && b.owns(vip4)
	})
	spec.Source = netip.Addr{}
	a.set.Update(Wanted{Routers: []RouterSpec{spec}})
	eventually(t, "no source at all is a fault", func() bool {
		return a.role() == Fault && a.status().Reason == "neither an interface nor a source address is configured"
	})
}

// module skips a test where the kernel lacks a kind of interface; machines of
// their own making have it (internal/vm/rung).
func module(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the kernel has no such interfaces")
	}
	noError(t, err)
}

// vrf: unicast by the device of a VRF, whose routes are its own.
func TestUnicastInAVRF(t *testing.T) {
	a, b := twoNodes(t)
	module(t, a.nl.h.LinkAdd(&netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "red"}, Table: 77}))
	setUp(t, a.nl, "red", true)
	noError(t, a.nl.h.LinkSetMaster(linkOf(t, a.nl, "eth0"), linkOf(t, a.nl, "red")))
	v := variantNamed(t, "v3 unicast")
	spec := v.spec(200, self, high)
	spec.Config.Interface, spec.VRF = "", "red"
	a.run(spec)
	b.run(v.spec(100, high, self))
	eventually(t, "the one in the VRF is master", func() bool { return a.role() == Master && b.role() == Backup && a.owns(vip4) })
	setUp(t, a.nl, "red", false)
	eventually(t, "a VRF that is down is a fault", func() bool { return a.role() == Fault && a.status().Reason == "interface red is down" })
	setUp(t, a.nl, "red", true)
	eventually(t, "it is master again", func() bool { return a.role() == Master && b.role() == Backup })
}

// use_ipvlan: an interface with the parent's MAC and an address of its own, from
// which advertisements leave, and on which the virtual address is.
func TestIPVLAN(t *testing.T) {
	a, b := twoNodes(t)
	module(t, a.nl.h.LinkAdd(&netlink.IPVlan{LinkAttrs: netlink.LinkAttrs{Name: "probe", ParentIndex: linkOf(t, a.nl, "eth0").Attrs().Index},
		Mode: netlink.IPVLAN_MODE_L2}))
	noError(t, a.nl.h.LinkDel(linkOf(t, a.nl, "probe")))
	v := variantNamed(t, "v3")
	spec := v.spec(200, self, high)
	own := netip.MustParseAddr("10.99.0.7")
	spec.Virtual = &VirtualLink{Name: "vrrp.51", Parent: "eth0", IPVLAN: true, IPv4: true, Addresses: []netip.Prefix{netip.PrefixFrom(own, 24)}}
	spec.Source, spec.Owned[0].Device = own, "vrrp.51"
	a.run(spec)
	b.run(v.spec(100, high, self))
	eventually(t, "the one on the ipvlan is master", func() bool {
		st := b.status()
		return a.role() == Master && st.Role == Backup && st.Master == own
	})
	eventually(t, "the virtual address answers", func() bool {
		return within(b.ns, func() error { return exec.Command("ping", "-c1", "-W1", vip4.String()).Run() }) == nil
	})
	if all := listAddrs(t, a.nl, "vrrp.51"); len(all) != 2 {
		t.Errorf("addresses on the ipvlan: %v", prefixes(all))
	}
	start := time.Now()
	a.stop()
	eventually(t, "the other one is master", func() bool { return b.role() == Master })
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a clean stop took %v", took)
	}
	if _, err := a.nl.h.LinkByName("vrrp.51"); !isNotFound(err) {
		t.Errorf("the ipvlan is left: %v", err)
	}
}
