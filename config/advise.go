package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Advise says what an experienced operator would say of a configuration that
// loads: settings that cannot do what they seem meant for, and well-known
// traps. It is pure; every piece of advice carries the anchor in
// docs/CONFIG.md that says more.
func Advise(c *Config) []Diagnostic {
	a := &adviser{cfg: c}
	for _, v := range c.VRRPInstances {
		a.instance(v)
	}
	for _, s := range c.VRRPScripts {
		a.script(s)
	}
	for _, vs := range c.VirtualServers {
		a.service(vs)
	}
	a.scripts()
	return a.list
}

type adviser struct {
	cfg  *Config
	list []Diagnostic
}

// say adds advice about a keyword, whose path makes the anchor.
func (a *adviser) say(pos Pos, path, format string, args ...any) {
	word := path[strings.LastIndexByte(path, '.')+1:]
	a.list = append(a.list, Diagnostic{Pos: pos, Severity: Advice, Keyword: word, Message: fmt.Sprintf(format, args...),
		Link: "docs/CONFIG.md#" + Anchor(path)})
}

// Anchor is the anchor of a keyword, given by its path, in docs/CONFIG.md.
func Anchor(path string) string {
	return strings.ToLower(strings.NewReplacer(".", "-", "_", "_").Replace(path))
}

func (a *adviser) instance(v *VRRPInstance) {
	if v.Priority == 255 && len(v.TrackScript)+len(v.TrackFile)+len(v.TrackProcess) > 0 {
		a.say(v.Pos, "vrrp_instance.priority", "priority 255 marks the owner of the addresses and never changes, so no weight of %q counts; use at most 254", v.Name)
	}
	if !v.Accept {
		a.say(v.Pos, "vrrp_instance.accept", "%q drops packets to its virtual addresses (strict mode or no_accept), so they do not answer ping and no service on this host can use them; add accept, or remove vrrp_strict", v.Name)
	}
	if v.DownTimerAdverts < 3 && v.AdvertInt < time.Second {
		a.say(v.Pos, "vrrp_instance.down_timer_adverts", "%d missed adverts of %s are soon reached by a busy machine, and both will be MASTER; keep 3", v.DownTimerAdverts, v.AdvertInt)
	}
	if v.AdvertInt < 100*time.Millisecond {
		a.say(v.Pos, "vrrp_instance.advert_int", "an interval of %s leaves no room for a pause of the machine; 0.1 seconds and more is safe", v.AdvertInt)
	}
	if v.Authentication.Type == "PASS" {
		a.say(v.Authentication.Pos, "vrrp_instance.authentication", "the password of %q travels in clear text and protects from mistakes only, not from attackers", v.Name)
	}
	if v.GARPMasterRepeat > 0 && v.GARPMasterDelay == 0 && v.GARPMasterRefresh == 0 {
		a.say(v.Pos, "vrrp_instance.garp_master_delay", "%q announces its addresses only once; a lost packet leaves neighbours with the old MAC address until their cache expires", v.Name)
	}
	if len(v.VirtualIPAddress) > 20 {
		a.say(v.Pos, "vrrp_instance.virtual_ipaddress", "%q advertises %d addresses; other routers may take no more than 20, and virtual_ipaddress_excluded has room for the rest", v.Name, len(v.VirtualIPAddress))
	}
	if v.Family == 6 && len(v.VirtualIPAddress) > 0 && !v.VirtualIPAddress[0].Prefix.Addr().IsLinkLocalUnicast() {
		a.say(v.Pos, "vrrp_instance.virtual_ipaddress", "the first IPv6 address of %q is not link-local, which RFC 9568 asks for and some routers insist on", v.Name)
	}
	a.unicast(v)
	a.weights(v)
}

func (a *adviser) unicast(v *VRRPInstance) {
	for _, p := range v.UnicastPeer {
		for _, own := range []netip.Addr{v.UnicastSrcIP, v.McastSrcIP} {
			if own.IsValid() && own == p.Address {
				a.say(p.Pos, "vrrp_instance.unicast_peer", "%s is this host's own source address, so %q would talk to itself; list only the others", own, v.Name)
			}
		}
	}
	if len(v.UnicastPeer) > 0 && !v.CheckUnicastSrc {
		a.say(v.Pos, "vrrp_instance.check_unicast_src", "%q takes adverts from any address; check_unicast_src accepts its peers only", v.Name)
	}
}

// weights finds trackers that can never move the addresses.
func (a *adviser) weights(v *VRRPInstance) {
	lists := []struct {
		word string
		list []Track
	}{{"track_script", v.TrackScript}, {"track_interface", v.TrackInterface}, {"track_process", v.TrackProcess}, {"track_bfd", v.TrackBFD}}
	for _, l := range lists {
		for _, t := range l.list {
			if t.Weight == 0 {
				continue
			}
			path := "vrrp_instance." + l.word
			switch {
			case !v.Preempt:
				a.say(t.Pos, path, "with nopreempt on the peers, a lower priority never moves the addresses, so weight %d of %q has no effect; use weight 0, which means FAULT", t.Weight, t.Name)
			case a.grouped(v.Name):
				a.say(t.Pos, path, "%q is in a vrrp_sync_group, which ignores weights of its members; track %q in the group, or with weight 0", v.Name, t.Name)
			case t.Weight > -10 && t.Weight < 10:
				a.say(t.Pos, path, "weight %d of %q moves the addresses only when the priorities of all hosts differ by less than that; the usual distance is 10 and more", t.Weight, t.Name)
			}
		}
	}
}

func (a *adviser) grouped(name string) bool {
	for _, g := range a.cfg.VRRPSyncGroups {
		for _, n := range g.Group {
			if n == name {
				return !g.SyncGroupTrackingWeight
			}
		}
	}
	return false
}

func (a *adviser) script(s *VRRPScript) {
	if s.Timeout > s.Interval {
		a.say(s.Pos, "vrrp_script.timeout", "%q may run for %s but is due every %s; while it still runs, the next run is left out", s.Name, s.Timeout, s.Interval)
	}
	used := false
	for _, v := range a.cfg.VRRPInstances {
		used = used || tracks(v.TrackScript, s.Name)
	}
	for _, g := range a.cfg.VRRPSyncGroups {
		used = used || tracks(g.TrackScript, s.Name)
	}
	if !used {
		a.say(s.Pos, "vrrp_script.script", "nothing tracks %q, so it never runs", s.Name)
	}
	if s.Fall == 1 && s.Weight == 0 && s.Interval <= time.Second {
		a.say(s.Pos, "vrrp_script.fall", "one failed run of %q puts its instances into FAULT; fall 2 or 3 rides out a hiccup", s.Name)
	}
}

func tracks(list []Track, name string) bool {
	for _, t := range list {
		if t.Name == name {
			return true
		}
	}
	return false
}

func (a *adviser) service(vs *VirtualServer) {
	name := serviceName(vs)
	checked := false
	for _, rs := range vs.RealServers {
		checked = checked || len(rs.Checkers) > 0
		for _, k := range rs.Checkers {
			if k.ConnectTimeout > k.DelayLoop && k.DelayLoop > 0 {
				a.say(k.Pos, "virtual_server.connect_timeout", "a probe of %s may take %s but is due every %s", rs.Address, k.ConnectTimeout, k.DelayLoop)
			}
		}
		if rs.Weight > 0 && len(rs.Checkers) == 0 {
			a.say(rs.Pos, "virtual_server.real_server", "%s in %s has no checker, so it counts as up for ever", rs.Address, name)
		}
	}
	if checked && vs.SorryServer == nil && len(vs.RealServers) == 1 {
		a.say(vs.Pos, "virtual_server.sorry_server", "%s has one real server and no sorry_server; when that fails, clients are refused", name)
	}
	if vs.Address.IsValid() && !a.owned(vs.Address) && len(a.cfg.VRRPInstances) > 0 {
		a.say(vs.Pos, "virtual_server", "no vrrp_instance has %s, so this service is not part of the failover", vs.Address)
	}
}

func (a *adviser) owned(addr netip.Addr) bool {
	for _, v := range a.cfg.VRRPInstances {
		for _, list := range [][]VirtualIPAddress{v.VirtualIPAddress, v.VirtualIPAddressExcluded} {
			for _, p := range list {
				if p.Prefix.Addr() == addr {
					return true
				}
			}
		}
	}
	return false
}

// scripts: a program that a stranger can replace should not run as root.
func (a *adviser) scripts() {
	g := &a.cfg.Global
	if !g.EnableScriptSecurity && g.ScriptUID == 0 && len(a.cfg.VRRPScripts) > 0 {
		a.say(a.cfg.VRRPScripts[0].Pos, "global_defs.enable_script_security", "scripts run as root; with script_user they need not, and enable_script_security refuses those that others can change")
	}
}
