package vrrp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func vmacOf(vrid uint8) VirtualLink {
	return VirtualLink{Name: "vrrp.51", Parent: "v0", MAC: VirtualMAC(vrid, 4).String(), IPv4: true}
}

// arpAnswer gives the MAC by which an address answers, or nothing.
func arpAnswer(t *testing.T, from *Netlink, device string, target netip.Addr) string {
	t.Helper()
	link := linkOf(t, from, device)
	_ = from.h.NeighDel(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: target.AsSlice()})
	answers(t, from, target)
	list, err := from.h.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
	noError(t, err)
	for _, n := range list {
		if n.IP.Equal(target.AsSlice()) && n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

// readSysctls gives the settings that a virtual MAC touches.
func readSysctls(t *testing.T, nl *Netlink, devices ...string) map[string]string {
	t.Helper()
	s := newSysctls(nl)
	got := map[string]string{}
	noError(t, nl.Do(func() error {
		for _, d := range devices {
			for _, name := range []string{"arp_ignore", "arp_announce", "rp_filter", "accept_local"} {
				v, err := s.read("ipv4/conf/" + d + "/" + name)
				if err != nil {
					return err
				}
				got[d+"."+name] = v
			}
		}
		return nil
	}))
	return got
}

// Conformance A05, A06, A11 and M06: the virtual address answers by the virtual
// MAC while it is held, the host's own by the real one, and never crosswise.
func TestVirtualMACAnswersARP(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	peer := peerNetns(t, nl, "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	addrAdd(t, peer, "v1", "192.0.2.2/24")
	s := newSysctls(nl)
	noError(t, errors.Join(s.set("test", "ipv4/conf/all/rp_filter", "1"), s.set("test", "ipv4/conf/v0/rp_filter", "0"), s.set("test", "ipv4/conf/v0/arp_ignore", "0")))
	before := readSysctls(t, nl, "all", "default", "v0")

	log, logs := testLog()
	v := NewVirtualLinks(nl, log)
	noError(t, v.Ensure(vmacOf(51)))
	o, _ := newTestOwner(nl, vip("vrrp.51", "192.0.2.100/32"))
	real := linkOf(t, nl, "v0").Attrs().HardwareAddr.String()
	if got := arpAnswer(t, peer, "v1", addr("192.0.2.100")); got != "" {
		t.Errorf("as backup the address is answered by %s", got)
	}
	noError(t, o.Take(t.Context()))
	if got := arpAnswer(t, peer, "v1", addr("192.0.2.100")); got != "00:00:5e:00:01:33" {
		t.Errorf("the virtual address is answered by %q", got)
	}
	if !answers(t, peer, addr("192.0.2.100")) {
		t.Error("the virtual address does not answer: reverse path filter")
	}
	if got := arpAnswer(t, peer, "v1", addr("192.0.2.1")); got != real {
		t.Errorf("the real address is answered by %q, want %q", got, real)
	}
	if got := readSysctls(t, nl, "all", "v0"); got["all.rp_filter"] != "0" || got["v0.rp_filter"] != "1" {
		t.Errorf("the reverse path filter is not kept on the parent: %v", got)
	}
	noError(t, o.Release(t.Context()))
	if got := arpAnswer(t, peer, "v1", addr("192.0.2.100")); got != "" {
		t.Errorf("after the release the address is answered by %s", got)
	}
	noError(t, v.Close())
	if _, err := nl.index("vrrp.51"); !isNotFound(err) {
		t.Errorf("the interface is still there: %v", err)
	}
	if d := cmp.Diff(before, readSysctls(t, nl, "all", "default", "v0")); d != "" {
		t.Errorf("settings are not as before (-want +got):\n%s", d)
	}
	if logs.String() != "" {
		t.Errorf("log: %s", logs)
	}
}

// Conformance M04: the next life takes the interface over; a name that is taken
// by something else is an error.
func TestVirtualMACLeftoverAndClash(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, _ := testLog()
	noError(t, NewVirtualLinks(nl, log).Ensure(vmacOf(51))) // and dies
	index, err := nl.index("vrrp.51")
	noError(t, err)
	v := NewVirtualLinks(nl, log)
	for range 2 {
		noError(t, v.Ensure(vmacOf(51)))
	}
	if again, err := nl.index("vrrp.51"); err != nil || again != index {
		t.Errorf("index %d, before %d: %v", again, index, err)
	}
	for name, l := range map[string]VirtualLink{
		"another VRID": vmacOf(52),
		"ipvlan":       {Name: "vrrp.51", Parent: "v0", IPVLAN: true},
		"parent":       {Name: "vrrp.51", Parent: "v1", MAC: VirtualMAC(51, 4).String()},
		"no macvlan":   {Name: "v1", Parent: "v0", MAC: VirtualMAC(51, 4).String()},
	} {
		err := NewVirtualLinks(nl, log).Ensure(l)
		if err == nil || !strings.Contains(err.Error(), "the name is taken") || !strings.Contains(err.Error(), l.Name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	noError(t, v.Remove("vrrp.51"))
	noError(t, v.Remove("vrrp.51"))
	if err := v.Ensure(VirtualLink{Name: "x", Parent: "none", MAC: VirtualMAC(1, 4).String()}); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("a missing parent: %v", err)
	}
}

// What an earlier life has left and nobody wants is removed with its addresses;
// what others have made stays.
func TestVirtualMACLeftAndUnwanted(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, _ := testLog()
	old := NewVirtualLinks(nl, log) // and dies
	for _, name := range []string{"vrrp.51", "vrrp.52"} {
		l := vmacOf(51)
		l.Name, l.MAC = name, VirtualMAC(name[6], 4).String()
		noError(t, old.Ensure(l))
		addrAdd(t, nl, name, "192.0.2.100/24")
	}
	foreign, err := kernelLink(VirtualLink{Name: "vrrp.53", MAC: VirtualMAC(53, 4).String()}, linkOf(t, nl, "v0").Attrs().Index)
	noError(t, err)
	noError(t, nl.h.LinkAdd(foreign))
	noError(t, NewVirtualLinks(nl, log).RemoveLeft([]VirtualLink{{Name: "vrrp.52", Parent: "v0"}}))
	for name, want := range map[string]bool{"vrrp.51": false, "vrrp.52": true, "vrrp.53": true, "v0": true} {
		if _, err := nl.index(name); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v: %v", name, err == nil, want, err)
		}
	}
	if got := tables(t, nl); !slices.Equal(got, []string{"xvip_vrrp.52"}) {
		t.Errorf("tables %v", got)
	}
}

// The settings of a parent outlive whoever has changed them: the life that takes
// the last interface there away puts them back.
func TestVirtualMACSettingsAfterADeath(t *testing.T) {
	for name, end := range map[string]func(v *VirtualLinks) error{
		"taken over": func(v *VirtualLinks) error {
			one, two := vmacOf(51), vmacOf(52)
			two.Name = "vrrp.52"
			return errors.Join(v.RemoveLeft([]VirtualLink{one}), v.Ensure(one), v.Ensure(two), v.Remove("vrrp.51"), v.Close())
		},
		"removed": func(v *VirtualLinks) error { return v.RemoveLeft(nil) },
		"the other one is taken over": func(v *VirtualLinks) error {
			other := vmacOf(53)
			other.Name = "vrrp.53"
			return errors.Join(v.RemoveLeft([]VirtualLink{other}), v.Ensure(other), v.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			nl := inNetns(t)
			addVeth(t, nl, "v0", "v1")
			s := newSysctls(nl)
			noError(t, errors.Join(s.set("test", settingOf("v0", "arp_ignore"), "2"), s.set("test", settingOf("v0", "arp_announce"), "1")))
			before := readSysctls(t, nl, "v0")
			log, _ := testLog()
			for range 2 { // lives that die
				noError(t, NewVirtualLinks(nl, log).Ensure(vmacOf(51)))
			}
			if got := readSysctls(t, nl, "v0"); got["v0.arp_ignore"] != "1" || got["v0.arp_announce"] != "2" {
				t.Errorf("settings %v", got)
			}
			noError(t, end(NewVirtualLinks(nl, log)))
			if d := cmp.Diff(before, readSysctls(t, nl, "v0")); d != "" {
				t.Errorf("settings are not as before (-want +got):\n%s", d)
			}
		})
	}
}

// An interface vanishes with its parent, and comes back with it.
func TestVirtualMACParentMadeAnew(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, _ := testLog()
	v := NewVirtualLinks(nl, log)
	noError(t, v.Ensure(vmacOf(51)))
	noError(t, nl.h.LinkDel(linkOf(t, nl, "v0")))
	addVeth(t, nl, "v0", "v1")
	noError(t, v.Ensure(vmacOf(51)))
	if link := linkOf(t, nl, "vrrp.51"); link.Attrs().ParentIndex != linkOf(t, nl, "v0").Attrs().Index {
		t.Errorf("got %+v", link.Attrs())
	}
	noError(t, v.Close())
}

// Conformance M02 and M03: an IPv6 interface has the address it is given, and
// none made of the virtual MAC.
func TestVirtualMACIPv6Addresses(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, logs := testLog()
	v := NewVirtualLinks(nl, log)
	l := VirtualLink{Name: "vrrp6.51", Parent: "v0", MAC: VirtualMAC(51, 6).String(), Addresses: []netip.Prefix{prefix("fe80::1234/64")}, Group: 7, HasGroup: true}
	noError(t, v.Ensure(l))
	link := linkOf(t, nl, "vrrp6.51")
	if link.Attrs().HardwareAddr.String() != "00:00:5e:00:02:33" || link.Attrs().Group != 7 {
		t.Errorf("got %+v", link.Attrs())
	}
	m := newTestMonitor(t, nl)
	eventually(t, "the interface is not up", func() bool { return m.Get("vrrp6.51").Up })
	list, err := nl.h.AddrList(link, netlink.FAMILY_ALL)
	noError(t, err)
	if got := prefixes(list); !slices.Equal(got, []string{"fe80::1234/64"}) {
		t.Errorf("addresses %v", got)
	}
	if got := m.Get("vrrp6.51").LinkLocal6; got != addr("fe80::1234") {
		t.Errorf("link-local address %v", got)
	}
	noError(t, v.Close())
	if logs.String() != "" {
		t.Errorf("log: %s", logs)
	}
}

func TestVirtualIPVLAN(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, _ := testLog()
	v := NewVirtualLinks(nl, log)
	err := v.Ensure(VirtualLink{Name: "ipv.51", Parent: "v0", IPVLAN: true, Addresses: []netip.Prefix{prefix("192.0.2.9/24")}, IPv4: true})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the kernel has no ipvlan")
	}
	noError(t, err)
	if link := linkOf(t, nl, "ipv.51"); link.Type() != "ipvlan" {
		t.Errorf("got %s", link.Type())
	}
	wantAddrs(t, nl, "ipv.51", "192.0.2.9/24")
	noError(t, v.Close())
	if err := v.Ensure(VirtualLink{Name: "x", Parent: "v0", IPVLAN: true, Mode: "y"}); err == nil || !strings.Contains(err.Error(), `mode "y"`) {
		t.Errorf("got %v", err)
	}
}
