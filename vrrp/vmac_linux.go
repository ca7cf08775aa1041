package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// VirtualLink is the interface of a virtual MAC (use_vmac), or one that shares
// its parent's MAC (use_ipvlan).
type VirtualLink struct {
	Name   string
	Parent string
	// MAC is the virtual MAC, such as 00:00:5e:00:01:33 (RFC 9568 §7.3).
	MAC string
	// IPVLAN makes an ipvlan in L2 mode instead of a macvlan in private mode.
	// Mode is "bridge" (also when empty), "private" or "vepa".
	IPVLAN bool
	Mode   string
	// IPv4 sets the interface and its parent up for IPv4: each answers ARP for
	// its own addresses only.
	IPv4 bool
	// Addresses are those of the interface itself, from which advertisements
	// are sent, such as the link-local address of the parent.
	Addresses []netip.Prefix
	// Group is the interface group, when HasGroup is set.
	Group    uint32
	HasGroup bool
}

// VirtualMAC gives the virtual MAC of a virtual router, family 4 or 6
// (RFC 9568 §7.3).
func VirtualMAC(vrid uint8, family uint8) net.HardwareAddr {
	kind := byte(1)
	if family == 6 {
		kind = 2
	}
	return net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, kind, vrid}
}

// VirtualLinks makes and removes the interfaces of virtual MACs, and the kernel's
// settings that they need.
type VirtualLinks struct {
	nl  *Netlink
	log *slog.Logger

	mu    sync.Mutex
	links map[string]VirtualLink
	sys   *sysctls
}

// NewVirtualLinks prepares the owner of such interfaces.
func NewVirtualLinks(nl *Netlink, log *slog.Logger) *VirtualLinks {
	return &VirtualLinks{nl: nl, log: log, links: map[string]VirtualLink{}, sys: newSysctls(nl)}
}

// Ensure makes the interface and sets it up, or takes over one that an earlier
// life has left. It may be called again, as after the parent was made anew. An
// interface of that name and of another kind is an error.
func (v *VirtualLinks) Ensure(l VirtualLink) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.ensure(l); err != nil {
		return fmt.Errorf("make virtual interface %q on %q: %w", l.Name, l.Parent, err)
	}
	v.links[l.Name] = l
	return nil
}

func (v *VirtualLinks) ensure(l VirtualLink) error {
	parent, err := v.nl.h.LinkByName(l.Parent)
	if err != nil {
		return err
	}
	want, err := kernelLink(l, parent.Attrs().Index)
	if err != nil {
		return err
	}
	have, err := v.nl.h.LinkByName(l.Name)
	switch {
	case isNotFound(err):
		if err := v.nl.h.LinkAdd(want); err != nil {
			return err
		}
		if have, err = v.nl.h.LinkByName(l.Name); err != nil {
			return err
		}
		if err := v.forward(l, false); err != nil {
			v.log.Warn("virtual interface forwards in Backup too", "interface", l.Name, "err", err)
		}
	case err != nil:
		return err
	case !sameLink(have, want):
		return errors.New("the name is taken by an interface of another kind, parent or hardware address")
	}
	// What cannot be set is told, and the interface works as far as it can: in
	// a container /proc/sys may be read-only.
	v.remember(l.Parent, have.Attrs().Alias)
	if err := errors.Join(v.settings(l), v.quietOf(l)); err != nil {
		v.log.Warn("virtual interface lacks settings", "interface", l.Name, "err", err)
	}
	if err := v.nl.h.LinkSetAlias(have, v.alias(l.Parent)); err != nil {
		return err
	}
	if err := v.nl.h.LinkSetUp(have); err != nil {
		return err
	}
	for _, p := range l.Addresses {
		a := &netlink.Addr{IPNet: ipNet(p), LinkIndex: have.Attrs().Index, Broadcast: net.IPv4zero}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // the parent's address is not a duplicate
		}
		if err := v.nl.h.AddrAdd(nil, a); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add address %q: %w", p, err)
		}
	}
	return nil
}

// quietOf keeps an interface with a virtual MAC quiet; one that shares its
// parent's MAC misleads nobody.
func (v *VirtualLinks) quietOf(l VirtualLink) error {
	if l.IPVLAN {
		return nil
	}
	return v.quiet(l.Name)
}

// kernelLink translates the interface for the kernel.
func kernelLink(l VirtualLink, parent int) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = l.Name, parent
	if l.HasGroup {
		attrs.Group = l.Group
	}
	if l.IPVLAN {
		modes := map[string]netlink.IPVlanFlag{"": netlink.IPVLAN_FLAG_BRIDGE, "bridge": netlink.IPVLAN_FLAG_BRIDGE,
			"private": netlink.IPVLAN_FLAG_PRIVATE, "vepa": netlink.IPVLAN_FLAG_VEPA}
		flag, ok := modes[l.Mode]
		if !ok {
			return nil, fmt.Errorf("ipvlan mode %q is not bridge, private or vepa", l.Mode)
		}
		return &netlink.IPVlan{LinkAttrs: attrs, Mode: netlink.IPVLAN_MODE_L2, Flag: flag}, nil
	}
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return nil, err
	}
	attrs.HardwareAddr = mac
	return &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}, nil
}

// sameLink tells whether an interface is the one we would make.
func sameLink(have, want netlink.Link) bool {
	h, w := have.Attrs(), want.Attrs()
	if have.Type() != want.Type() || h.ParentIndex != w.ParentIndex {
		return false
	}
	return len(w.HardwareAddr) == 0 || h.HardwareAddr.String() == w.HardwareAddr.String()
}

// settings makes the interface and its parent each answer ARP for their own
// addresses only, or both would answer for all; lets packets in that come from
// the subnet of the parent, and keeps an address from being made of the virtual
// MAC (RFC 9568 §7.4).
func (v *VirtualLinks) settings(l VirtualLink) error {
	const none = "1" // IN6_ADDR_GEN_MODE_NONE
	errs := []error{v.sys.set(l.Name, "ipv6/conf/"+l.Name+"/accept_ra", "0")}
	if !l.IPVLAN || len(l.Addresses) > 0 { // else it speaks from the address that the kernel makes
		errs = append(errs, v.sys.set(l.Name, "ipv6/conf/"+l.Name+"/addr_gen_mode", none))
	}
	if !l.IPv4 {
		return errors.Join(errs...)
	}
	errs = append(errs, v.sys.spreadRPFilter("all"))
	for _, s := range []struct{ owner, device, name, value string }{
		{l.Parent, l.Parent, "arp_ignore", "1"},
		// What the virtual address answers leaves by the parent, which would
		// ask for its next hop in the name of the virtual address: the
		// neighbour would learn the wrong MAC.
		{l.Parent, l.Parent, "arp_announce", "2"},
		{l.Name, l.Name, "arp_ignore", "1"},
		{l.Name, l.Name, "rp_filter", "0"},
		{l.Name, l.Name, "accept_local", "1"},
		{l.Name, l.Name, "promote_secondaries", "1"},
	} {
		errs = append(errs, v.sys.set(s.owner, "ipv4/conf/"+s.device+"/"+s.name, s.value))
	}
	return errors.Join(errs...)
}

// Forward lets an interface forward as its parent does, or not at all: only the
// Master forwards what is sent to the virtual MAC (RFC 9568 section 6.4.2).
func (v *VirtualLinks) Forward(name string, yes bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	l, ok := v.links[name]
	if !ok {
		return nil
	}
	if err := v.forward(l, yes); err != nil {
		return fmt.Errorf("set forwarding of virtual interface %q: %w", name, err)
	}
	return nil
}

func (v *VirtualLinks) forward(l VirtualLink, yes bool) error {
	if l.IPVLAN { // nothing is sent to it but what is for its own addresses
		return nil
	}
	return v.nl.Do(func() error {
		var errs []error
		for _, family := range []string{"ipv4", "ipv6"} {
			value := "0"
			var err error
			if yes {
				value, err = v.sys.read(family + "/conf/" + l.Parent + "/forwarding")
			}
			if err == nil {
				err = v.sys.write(family+"/conf/"+l.Name+"/forwarding", value)
			}
			if !errors.Is(err, fs.ErrNotExist) { // gone, or a host without IPv6
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}

// Remove removes an interface that Ensure made or took over, and puts the
// settings of its parent back when it was the last one there.
func (v *VirtualLinks) Remove(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.remove(name)
}

func (v *VirtualLinks) remove(name string) error {
	l, ok := v.links[name]
	if !ok {
		return nil
	}
	delete(v.links, name)
	link, err := v.nl.h.LinkByName(name)
	if err == nil {
		err = v.nl.h.LinkDel(link)
	}
	if isNotFound(err) {
		err = nil
	}
	errs := []error{err, v.unquiet(name), v.sys.restore(name)}
	others := map[string]bool{}
	for _, other := range v.links {
		others[other.Parent] = true
	}
	if !others[l.Parent] {
		errs = append(errs, v.sys.restore(l.Parent))
	}
	if len(v.links) == 0 {
		errs = append(errs, v.sys.restore("all"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove virtual interface %q: %w", name, err)
	}
	return nil
}

// Close removes all interfaces.
func (v *VirtualLinks) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs []error
	for name := range v.links {
		errs = append(errs, v.remove(name))
	}
	return errors.Join(errs...)
}
