package daemon

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/xvip-lb/xvip/config"
)

// wantedInterfaces names the interfaces the XDP program belongs on: those the
// configuration lists, else those where clients' packets come in (of the
// virtual router that owns the address, or that carries the address) and those
// towards the real servers. Sorted, without doubles, and without loopback.
func wantedInterfaces(cfg *config.Config) []string {
	if len(cfg.XVIP.XDPInterfaces) > 0 {
		return uniq(slices.Clone(cfg.XVIP.XDPInterfaces))
	}
	owner := map[netip.Addr]string{}
	for _, in := range cfg.VRRPInstances {
		for _, list := range [][]config.VirtualIPAddress{in.VirtualIPAddress, in.VirtualIPAddressExcluded} {
			for _, a := range list {
				owner[a.Prefix.Addr()] = in.Interface
				if a.Dev != "" {
					owner[a.Prefix.Addr()] = a.Dev
				}
			}
		}
	}
	var names []string
	for _, vs := range cfg.VirtualServers {
		if vs.Address.IsValid() {
			if dev, ok := owner[vs.Address]; ok {
				names = append(names, dev)
			} else {
				names = append(names, carrying(vs.Address)...)
			}
		}
		for _, rs := range vs.RealServers {
			names = append(names, towards(rs.Address)...)
		}
	}
	for i, name := range names {
		names[i] = below(name)
	}
	return uniq(names)
}

// carrying names the interface that has addr, or that routes to it.
func carrying(addr netip.Addr) []string {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr && i.Flags&net.FlagLoopback == 0 {
				return []string{i.Name}
			}
		}
	}
	return towards(addr)
}

// towards names the interface that the kernel's routes choose for addr; none
// when there is no route or the address is this host's.
func towards(addr netip.Addr) []string {
	routes, err := netlink.RouteGet(addr.AsSlice())
	if err != nil || len(routes) == 0 {
		return nil
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil || link.Attrs().Flags&net.FlagLoopback != 0 {
		return nil
	}
	return []string{link.Attrs().Name}
}

// below names the device whose frames carry those of a VLAN interface, tags and
// all, or of one with a MAC of its own: there the program runs, before the kernel
// tells such interfaces apart.
func below(name string) string {
	link, err := netlink.LinkByName(name)
	for err == nil {
		switch link.(type) {
		case *netlink.Vlan, *netlink.Macvlan, *netlink.IPVlan:
			link, err = netlink.LinkByIndex(link.Attrs().ParentIndex)
		default:
			return link.Attrs().Name
		}
	}
	return name
}

func uniq(names []string) []string {
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || n == "lo" })
}
