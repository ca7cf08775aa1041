package config

import (
	"net/netip"
	"slices"
	"strconv"
)

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// complete says whether an instance has what it cannot be without; keepalived
// starts without such an instance.
func (b *binder) complete(v *VRRPInstance) bool {
	why := ""
	switch {
	case v.VirtualRouterID == 0:
		why = "it has no valid virtual_router_id; expected a number from 1 to 255"
	case v.Interface == "" && len(v.UnicastPeer) == 0:
		why = "it has no interface; expected one, or unicast_peer"
	default:
		return true
	}
	b.add(v.Pos, b.fromOf(v), Warning, "vrrp_instance", "%q is removed: %s", printable(v.Name), why)
	return false
}

// check looks for what is wrong between the parts of the configuration.
func (b *binder) check() {
	b.checkInterfaces()
	b.checkVRIDs()
	for _, v := range b.cfg.VRRPInstances {
		b.checkInstance(v)
	}
	for _, g := range b.cfg.VRRPSyncGroups {
		b.groupState(g)
	}
	b.checkAddressOwners()
	for _, vs := range b.cfg.VirtualServers {
		b.checkService(vs)
	}
}

// checkInterfaces: a missing interface keeps the daemon from starting, unless
// dynamic_interfaces says that it may come later.
func (b *binder) checkInterfaces() {
	if b.opt.InterfaceExists == nil {
		return
	}
	known := map[string]bool{} // the host is asked once for each name
	exists := func(name string) bool {
		yes, asked := known[name]
		if !asked {
			yes = b.opt.InterfaceExists(name)
			known[name] = yes
		}
		return yes
	}
	sev, hint := Error, "expected an interface of this host, or dynamic_interfaces in global_defs if it comes later"
	if b.cfg.Global.DynamicInterfaces {
		sev, hint = Warning, "the instance stays in FAULT until it comes"
	}
	reported := map[string]bool{}
	need := func(pos Pos, from *frame, word, name string) {
		if name == "" || reported[name+word] || exists(name) {
			return
		}
		reported[name+word] = true
		b.add(pos, from, sev, word, "interface %q does not exist; %s", printable(name), hint)
	}
	for _, v := range b.cfg.VRRPInstances {
		from := b.fromOf(v)
		need(b.noted(v, "interface", v.Pos), from, "interface", v.Interface)
		for _, list := range [][]VirtualIPAddress{v.VirtualIPAddress, v.VirtualIPAddressExcluded} {
			for _, a := range list {
				if a.Dev != v.Interface {
					need(b.noted(a.Pos, "dev", a.Pos), from, "virtual_ipaddress", a.Dev)
				}
			}
		}
		for _, t := range v.TrackInterface {
			need(t.Pos, from, "track_interface", t.Name)
		}
	}
	for _, g := range b.cfg.VRRPSyncGroups {
		for _, t := range g.TrackInterface {
			need(t.Pos, b.fromOf(g), "track_interface", t.Name)
		}
	}
	for _, a := range b.cfg.StaticAddresses {
		need(b.noted(a.Pos, "dev", a.Pos), nil, "static_ipaddress", a.Dev)
	}
}

// checkVRIDs: two virtual routers with one VRID, family and interface hear
// each other as a foreign master. Different groups or peers keep them apart.
func (b *binder) checkVRIDs() {
	type key struct {
		iface  string
		vrid   uint8
		family int
	}
	seen := map[key][]*VRRPInstance{}
	for _, v := range b.cfg.VRRPInstances {
		if v.VirtualRouterID == 0 {
			continue
		}
		k := key{v.Interface, v.VirtualRouterID, v.Family}
		for _, o := range seen[k] {
			if !apart(v, o) {
				b.add(b.noted(v, "virtual_router_id", v.Pos), b.fromOf(v), Error, "virtual_router_id",
					"%d is used already on interface %q for IPv%d by %q; expected a number of its own", v.VirtualRouterID, printable(v.Interface), v.Family, printable(o.Name))
				break
			}
		}
		seen[k] = append(seen[k], v)
	}
}

func apart(v, o *VRRPInstance) bool {
	if (len(v.UnicastPeer) > 0) != (len(o.UnicastPeer) > 0) {
		return true
	}
	if len(v.UnicastPeer) == 0 {
		return v.McastDstIP != o.McastDstIP
	}
	for _, p := range v.UnicastPeer {
		if slices.ContainsFunc(o.UnicastPeer, func(q UnicastPeer) bool { return q.Address == p.Address }) {
			return false
		}
	}
	return true
}

// checkInstance finds what one instance contradicts in itself.
func (b *binder) checkInstance(v *VRRPInstance) {
	from := b.fromOf(v)
	warn := func(word, format string, args ...any) {
		b.add(b.where(v, word, v.Pos), from, Warning, word, format, args...)
	}
	if !v.Preempt && v.State == "MASTER" && v.Priority != 255 {
		warn("nopreempt", "it does not work together with state MASTER and is ignored; use state BACKUP")
		v.Preempt = true
	}
	if !v.Preempt && v.Priority == 255 {
		warn("nopreempt", "it does not work together with priority 255 and is ignored")
		v.Preempt = true
	}
	if v.PreemptDelay != 0 && v.State == "MASTER" {
		warn("preempt_delay", "it does not work together with state MASTER and is ignored; use state BACKUP")
		v.PreemptDelay = 0
	}
	if v.PreemptDelay != 0 && !v.Preempt {
		warn("preempt_delay", "it has no meaning together with nopreempt and is ignored")
		v.PreemptDelay = 0
	}
	if m := v.UseVMAC; m != nil && m.IPVLAN && (!m.Address.IsValid() && v.Family == 4 || m.Address.IsValid() && familyOf(m.Address.Addr()) != v.Family) {
		warn("use_ipvlan", "it needs an address of the instance's family, IPv%d, for the interface; it is ignored", v.Family)
		v.UseVMAC = nil
	}
	b.checkAuthentication(v, warn)
	b.checkFamilies(v, warn)
	if v.Strict {
		b.checkStrict(v, warn)
	}
	if n := len(v.VirtualIPAddress); n == 0 && !v.NoVirtualIPAddress {
		b.add(v.Pos, from, Warning, "vrrp_instance", "%q has no virtual_ipaddress; expected at least one", printable(v.Name))
	} else if n > 255 {
		b.add(v.Pos, from, Error, "virtual_ipaddress", "%q has %d addresses; an advertisement has room for 255, the others belong in virtual_ipaddress_excluded", printable(v.Name), n)
	}
}

// groupState: members of a group wait for each other, so none starts as
// MASTER, unless one of them owns its addresses.
func (b *binder) groupState(g *VRRPSyncGroup) {
	for _, name := range g.Group {
		if b.instances[name].Priority == 255 {
			return
		}
	}
	for _, name := range g.Group {
		b.instances[name].State = "BACKUP"
	}
}

func (b *binder) checkAuthentication(v *VRRPInstance, warn func(string, string, ...any)) {
	a := &v.Authentication
	word := "authentication"
	switch {
	case a.Pos.Line == 0:
	case v.Version == 3 && a.Type != "":
		warn(word, "VRRP version 3 has no authentication; it is ignored")
		a.Type, a.Pass = "", ""
	case a.Type == "" && a.Pass != "":
		warn(word, "auth_pass without a valid auth_type; there is no authentication")
		a.Pass = ""
	case a.Type != "" && a.Pass == "":
		warn(word, "auth_type without auth_pass; there is no authentication")
		a.Type = ""
	case a.Type == "AH" && v.State == "MASTER" && v.Priority != 255:
		warn("state", "MASTER does not go together with AH authentication; BACKUP is used")
		v.State = "BACKUP"
	}
	if v.AuthHMAC != nil && a.Type != "" {
		warn("auth_hmac", "it does not go together with authentication, which is ignored")
		a.Type, a.Pass = "", ""
	}
	if h := v.AuthHMAC; h != nil && !slices.ContainsFunc(h.Keys, func(k HMACKey) bool { return k.ID == h.ActiveKey }) {
		if h.ActiveKey == 0 && len(h.Keys) == 1 {
			h.ActiveKey = h.Keys[0].ID
			return
		}
		b.add(h.Pos, b.fromOf(v), Error, "auth_hmac", "active_key %d is none of the keys; expected the id of one of them", h.ActiveKey)
	}
}

// checkFamilies: an advertisement carries addresses of one family.
func (b *binder) checkFamilies(v *VRRPInstance, warn func(string, string, ...any)) {
	v.VirtualIPAddress = slices.DeleteFunc(v.VirtualIPAddress, func(a VirtualIPAddress) bool {
		if familyOf(a.Prefix.Addr()) == v.Family {
			return false
		}
		b.add(a.Pos, b.fromOf(v), Warning, "virtual_ipaddress", "%s is not of the family of the first address, IPv%d; it is ignored, virtual_ipaddress_excluded can have it", a.Prefix.Addr(), v.Family)
		return true
	})
	v.UnicastPeer = slices.DeleteFunc(v.UnicastPeer, func(p UnicastPeer) bool {
		if familyOf(p.Address) == v.Family {
			return false
		}
		b.add(p.Pos, b.fromOf(v), Warning, "unicast_peer", "%s is not of the family of the instance, IPv%d; it is left out", p.Address, v.Family)
		return true
	})
	for word, a := range map[string]*netip.Addr{"mcast_src_ip": &v.McastSrcIP, "unicast_src_ip": &v.UnicastSrcIP, "mcast_dst_ip": &v.McastDstIP} {
		if a.IsValid() && familyOf(*a) != v.Family {
			warn(word, "%s is not of the family of the instance, IPv%d; it is ignored", *a, v.Family)
			*a = netip.Addr{}
			if word == "mcast_dst_ip" {
				if *a = b.cfg.Global.VRRPMcastGroup4; v.Family == 6 {
					*a = b.cfg.Global.VRRPMcastGroup6
				}
			}
		}
	}
}

// checkStrict applies the rules of vrrp_strict, RFC 9568 to the letter.
func (b *binder) checkStrict(v *VRRPInstance, warn func(string, string, ...any)) {
	if len(v.UnicastPeer) > 0 {
		warn("unicast_peer", "unicast does not comply with the standard that strict mode is to enforce")
	}
	if len(v.VirtualIPAddress) == 0 {
		b.add(v.Pos, b.fromOf(v), Error, "vrrp_instance", "strict mode needs at least one virtual_ipaddress")
	}
	if v.Authentication.Type != "" {
		warn("authentication", "strict mode has no authentication; it is ignored")
		v.Authentication.Type, v.Authentication.Pass = "", ""
	}
	if v.PreemptDelay != 0 {
		warn("preempt_delay", "strict mode has no preempt_delay; it is ignored")
		v.PreemptDelay = 0
	}
	if v.State == "MASTER" && v.Priority != 255 {
		warn("state", "strict mode has state MASTER only with priority 255; BACKUP is used")
		v.State = "BACKUP"
	} else if v.State != "MASTER" && v.Priority == 255 {
		warn("state", "strict mode has priority 255 only with state MASTER; MASTER is used")
		v.State = "MASTER"
	}
	if v.Version == 2 && b.had(v, "vrrp_instance", "accept") && v.Priority != 255 {
		warn("accept", "strict mode has accept only in version 3; it is ignored")
		v.Accept = false
	}
	if v.VMACXmitBase {
		warn("vmac_xmit_base", "strict mode has no vmac_xmit_base; it is ignored")
		v.VMACXmitBase = false
	}
	if v.HigherPrioSendAdvert {
		warn("higher_prio_send_advert", "strict mode does not have it; it is ignored")
		v.HigherPrioSendAdvert = false
	}
	if len(v.VirtualIPAddress) > 0 && v.Family == 6 && !v.VirtualIPAddress[0].Prefix.Addr().IsLinkLocalUnicast() {
		warn("virtual_ipaddress", "strict mode has a link-local address first; %s is not one (RFC 9568 section 5.2.9)", v.VirtualIPAddress[0].Prefix.Addr())
	}
	if !v.LowerPrioNoAdvert {
		warn("lower_prio_no_advert", "strict mode has it always; off is ignored")
		v.LowerPrioNoAdvert = true
	}
	v.GARPLowerPrioDelay, v.GARPLowerPrioRepeat = 0, 0
}

// checkAddressOwners: an address in two instances moves with both of them.
func (b *binder) checkAddressOwners() {
	type key struct {
		addr netip.Addr
		dev  string
	}
	owner := map[key]*VRRPInstance{}
	for _, v := range b.cfg.VRRPInstances {
		for _, list := range [][]VirtualIPAddress{v.VirtualIPAddress, v.VirtualIPAddressExcluded} {
			for _, a := range list {
				k := key{a.Prefix.Addr(), a.Dev}
				if o := owner[k]; o != nil {
					b.add(a.Pos, b.fromOf(v), Warning, "virtual_ipaddress", "%s is an address of %q too; only one instance can move it", k.addr, printable(o.Name))
				}
				owner[k] = v
			}
		}
	}
}

// checkService finds combinations that cannot forward.
func (b *binder) checkService(vs *VirtualServer) {
	for _, rs := range vs.RealServers {
		if vs.Address.IsValid() && rs.Address == vs.Address {
			b.add(rs.Pos, nil, Warning, "real_server", "%s is the address of the virtual server itself; clients would be sent in a circle", rs.Address)
		}
	}
}
