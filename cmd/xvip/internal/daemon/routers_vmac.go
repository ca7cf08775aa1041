package daemon

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

// linkNames keeps names of interfaces apart: one VRID on two interfaces would
// else want the same one twice.
type linkNames map[string]bool

// free gives name, or name with the first number that is free.
func (n linkNames) free(name string) string {
	got := name
	for i := 1; n[got]; i++ {
		got = fmt.Sprintf("%s.%d", name, i)
	}
	n[got] = true
	return got
}

// wantedLinks gives the routers in w, which are in the order of the
// configuration, the interfaces of their virtual MACs, and puts their addresses
// there. Those that the configuration names come first.
func wantedLinks(cfg *config.Config, w *vrrp.Wanted) {
	names := linkNames{}
	for i, in := range cfg.VRRPInstances {
		if in.UseVMAC != nil {
			ownLink(&w.Routers[i], in, names)
		}
	}
	for i, in := range cfg.VRRPInstances {
		extraLinks(&w.Routers[i], in, cfg.Global.VMACAddrPrefix, names)
	}
}

// ownLink gives a router its interface (use_vmac).
func ownLink(spec *vrrp.RouterSpec, in *config.VRRPInstance, names linkNames) {
	m := in.UseVMAC
	link := &vrrp.VirtualLink{Name: names.free(m.Name), Parent: in.Interface, MAC: m.MAC, Group: m.Group, HasGroup: m.HasGroup}
	if m.IPVLAN {
		link.IPVLAN, link.Mode, link.MAC = true, m.Mode, ""
	}
	if m.Address.IsValid() {
		link.Addresses = []netip.Prefix{m.Address}
	}
	move(spec, in.Interface, link)
	link.IPv4 = link.IPv4 || in.Family == 4
	spec.Virtual, spec.OnBase = link, in.VMACXmitBase || len(in.UnicastPeer) > 0
	if m.Address.IsValid() && !spec.OnBase && !spec.Source.IsValid() {
		spec.Source = m.Address.Addr()
	}
}

// extraLinks gives a router interfaces for addresses elsewhere: all with
// use_vmac_addr, else those whose line says use_vmac.
func extraLinks(spec *vrrp.RouterSpec, in *config.VRRPInstance, prefix string, names linkNames) {
	mac := vrrp.VirtualMAC(in.VirtualRouterID, uint8(in.Family)).String()
	if in.UseVMAC != nil && in.UseVMAC.MAC != "" {
		mac = in.UseVMAC.MAC
	}
	if in.Family == 6 {
		prefix += "6"
	}
	all := slices.Concat(in.VirtualIPAddress, in.VirtualIPAddressExcluded)
	links := map[string]*vrrp.VirtualLink{}
	var parents []string
	for i, a := range all {
		// What is on the router's own interface has moved already.
		if spec.Owned[i].Device != a.Dev || a.Dev == "" || !(a.UseVMAC || in.UseVMACAddr && a.Dev != in.Interface) {
			continue
		}
		link := links[a.Dev]
		if link == nil {
			link = &vrrp.VirtualLink{Name: names.free(fmt.Sprintf("%s.%d", prefix, in.VirtualRouterID)), Parent: a.Dev, MAC: mac}
			links[a.Dev] = link
			parents = append(parents, a.Dev)
		}
		spec.Owned[i].Device = link.Name
		link.IPv4 = link.IPv4 || a.Prefix.Addr().Is4()
	}
	for _, p := range parents {
		spec.Extra = append(spec.Extra, *links[p])
	}
}

// move puts the addresses on a device onto the interface of a virtual MAC.
func move(spec *vrrp.RouterSpec, device string, link *vrrp.VirtualLink) {
	for i := range spec.Owned {
		if a := &spec.Owned[i]; a.Device == device {
			a.Device = link.Name
			link.IPv4 = link.IPv4 || a.Addr().Is4()
		}
	}
}

// linkPaces has the interfaces of virtual MACs share the pace of their parents.
func linkPaces(w *vrrp.Wanted) {
	for _, r := range w.Routers {
		links := r.Extra
		if r.Virtual != nil {
			links = append(slices.Clone(links), *r.Virtual)
		}
		for _, l := range links {
			for i := range w.Paces {
				if p := &w.Paces[i]; slices.Contains(p.Devices, l.Parent) {
					p.Devices = append(slices.Clone(p.Devices), l.Name)
				}
			}
		}
	}
}
