package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// had tells whether the file gave an object a keyword.
func (b *binder) had(obj any, section, word string) bool {
	return b.given[obj].has(b.sections[section].rows[word])
}

// resolve fills in what depends on other parts of the configuration.
func (b *binder) resolve() {
	b.resolveGlobal()
	b.resolveScripts()
	b.resolveVRRPScripts()
	b.cfg.VRRPInstances = slices.DeleteFunc(b.cfg.VRRPInstances, func(v *VRRPInstance) bool {
		if b.complete(v) {
			b.resolveInstance(v)
			return false
		}
		delete(b.instances, v.Name)
		return true
	})
	b.resolveTracks()
	b.resolveGroups()
	for _, vs := range b.cfg.VirtualServers {
		b.resolveVirtualServer(vs)
	}
	b.cfg.VirtualServers = slices.DeleteFunc(b.cfg.VirtualServers, b.dropService)
	for _, a := range b.cfg.StaticAddresses {
		if a.Dev == "" {
			a.Dev = b.cfg.Global.DefaultInterface
		}
	}
}

func (b *binder) resolveGlobal() {
	g := &b.cfg.Global
	had := func(word string) bool { return b.had(g, "global_defs", word) }
	host := b.opt.HostName
	if host == "" {
		host = "localhost"
	}
	if g.RouterID == "" {
		g.RouterID = host
	}
	if g.NotificationEmailFrom == "" {
		g.NotificationEmailFrom = "root@" + host
	}
	if g.SMTPHeloName == "" {
		g.SMTPHeloName = host
	}
	if !had("vrrp_garp_lower_prio_delay") {
		g.VRRPGARPLowerPrioDelay = g.VRRPGARPMasterDelay
	}
	if g.VRRPMinGARP {
		if !had("vrrp_garp_master_repeat") {
			g.VRRPGARPMasterRepeat = 1
		}
		if !had("vrrp_garp_master_delay") {
			g.VRRPGARPMasterDelay = 0
		}
		if !had("vrrp_garp_lower_prio_delay") {
			g.VRRPGARPLowerPrioDelay = 0
		}
	}
	if !had("vrrp_garp_lower_prio_repeat") {
		g.VRRPGARPLowerPrioRepeat = g.VRRPGARPMasterRepeat
	}
	if g.VRRPGARPMasterRepeat == 0 {
		g.VRRPGARPMasterRepeat = 1
	}
	b.checkVMACPrefix("vmac_prefix", &g.VMACPrefix, "vrrp")
	b.checkVMACPrefix("vmac_addr_prefix", &g.VMACAddrPrefix, "")
	if g.VMACAddrPrefix == "" {
		g.VMACAddrPrefix = g.VMACPrefix
	}
	g.HasRandomSeed = had("random_seed")
}

// checkVMACPrefix takes back what cannot start the name of an interface: 6.VRID
// may follow.
func (b *binder) checkVMACPrefix(word string, prefix *string, instead string) {
	if limit := maxInterface - len("6.255"); len(*prefix) > limit || strings.Contains(*prefix, "/") {
		g := &b.cfg.Global
		b.add(b.where(g, word, g.Pos), nil, Warning, word, "%q cannot start the name of an interface; expected at most %d characters and no slash", printable(*prefix), limit)
		*prefix = instead
	}
}

// resolveVRRPScripts drops scripts that have nothing to run.
func (b *binder) resolveVRRPScripts() {
	b.cfg.VRRPScripts = slices.DeleteFunc(b.cfg.VRRPScripts, func(s *VRRPScript) bool {
		if s.Timeout == unsetTime {
			s.Timeout = s.Interval
		}
		if len(s.Script.Argv) > 0 {
			return false
		}
		if !b.had(s, "vrrp_script", "script") {
			b.add(s.Pos, nil, Warning, "vrrp_script", "%q has no script; it is removed", printable(s.Name))
		}
		return true
	})
	b.cfg.TrackProcesses = slices.DeleteFunc(b.cfg.TrackProcesses, func(p *TrackProcess) bool {
		if p.Process == "" {
			b.add(p.Pos, nil, Warning, "vrrp_track_process", "%q names no process; it is removed", printable(p.Name))
		}
		return p.Process == ""
	})
	b.cfg.TrackFiles = slices.DeleteFunc(b.cfg.TrackFiles, func(f *TrackFile) bool {
		if f.File == "" {
			b.add(f.Pos, nil, Warning, "track_file", "%q names no file; it is removed", printable(f.Name))
		}
		return f.File == ""
	})
	for _, d := range b.cfg.BFDInstances {
		if !b.had(d, "bfd_instance", "vrrp") && !b.had(d, "bfd_instance", "checker") {
			d.VRRP, d.Checker = true, true
		}
	}
	b.cfg.BFDInstances = slices.DeleteFunc(b.cfg.BFDInstances, func(d *BFDInstance) bool {
		if !d.NeighborIP.IsValid() {
			b.add(d.Pos, nil, Warning, "bfd_instance", "%q has no neighbor_ip; it is removed", printable(d.Name))
			return true
		}
		if d.SourceIP.IsValid() && familyOf(d.SourceIP) != familyOf(d.NeighborIP) {
			b.add(d.Pos, nil, Warning, "bfd_instance", "%q has a source_ip of another family than its neighbor_ip; it is removed", printable(d.Name))
			return true
		}
		return false
	})
}

// resolveInstance fills in the family, the version and what comes from
// global_defs.
func (b *binder) resolveInstance(v *VRRPInstance) {
	g := &b.cfg.Global
	had := func(word string) bool { return b.had(v, "vrrp_instance", word) }
	v.Family = instanceFamily(v)
	if !had("version") {
		v.Version = g.VRRPVersion
	}
	if v.Family == 6 {
		v.Version = 3
	}
	if !had("strict_mode") {
		v.Strict = g.VRRPStrict
	}
	if !had("accept") && !had("no_accept") && v.Strict && v.Priority != 255 {
		v.Accept = false
	}
	// State and priority stand for each other: without the one, the other
	// says whether this is the owner of the addresses.
	switch {
	case !had("priority") && v.State == "MASTER":
		v.Priority = 255
	case !had("state") && v.Priority == 255:
		v.State = "MASTER"
	}
	if !had("mcast_dst_ip") {
		if v.McastDstIP = g.VRRPMcastGroup4; v.Family == 6 {
			v.McastDstIP = g.VRRPMcastGroup6
		}
	}
	for _, p := range v.UnicastPeer {
		v.CheckUnicastSrc = v.CheckUnicastSrc || p.HasTTL
	}
	v.CheckUnicastSrc = v.CheckUnicastSrc || g.VRRPCheckUnicastSrc
	if !had("down_timer_adverts") {
		v.DownTimerAdverts = g.VRRPDownTimerAdverts
	}
	inherit := func(word string, to *bool, from bool) {
		if !had(word) {
			*to = from
		}
	}
	inherit("skip_check_adv_addr", &v.SkipCheckAdvAddr, g.VRRPSkipCheckAdvAddr)
	inherit("lower_prio_no_advert", &v.LowerPrioNoAdvert, g.VRRPLowerPrioNoAdvert || v.Strict)
	inherit("higher_prio_send_advert", &v.HigherPrioSendAdvert, g.VRRPHigherPrioSendAdvert)
	inherit("owner_ignore_adverts", &v.OwnerIgnoreAdverts, g.VRRPOwnerIgnoreAdverts)
	inherit("v3_checksum_as_v2", &v.V3ChecksumAsV2, g.V3ChecksumAsV2)
	inherit("notify_priority_changes", &v.NotifyPriorityChanges, g.VRRPNotifyPriorityChanges)
	inherit("smtp_alert", &v.SMTPAlert, alert(g.SMTPAlertVRRP, g.SMTPAlert, false))
	b.resolveGARP(v, had)
	b.resolveAdvert(v)
	b.resolveAddresses(v)
	resolveVMAC(v, g)
	if h := v.AuthHMAC; h != nil && h.TimeWindow == unsetTime {
		h.TimeWindow = max(3*v.AdvertInt, 5*time.Second)
	}
}

// alert is the first of the settings that was given.
func alert(special, general *bool, or bool) bool {
	switch {
	case special != nil:
		return *special
	case general != nil:
		return *general
	}
	return or
}

// instanceFamily follows the first address, else the peers and the source.
func instanceFamily(v *VRRPInstance) int {
	if len(v.VirtualIPAddress) > 0 {
		return familyOf(v.VirtualIPAddress[0].Prefix.Addr())
	}
	if len(v.UnicastPeer) > 0 {
		return familyOf(v.UnicastPeer[0].Address)
	}
	for _, a := range []netip.Addr{v.UnicastSrcIP, v.McastSrcIP} {
		if a.IsValid() {
			return familyOf(a)
		}
	}
	return 4
}

func (b *binder) resolveGARP(v *VRRPInstance, had func(string) bool) {
	g := &b.cfg.Global
	if !had("garp_master_delay") {
		v.GARPMasterDelay = g.VRRPGARPMasterDelay
	}
	if !had("garp_master_repeat") {
		v.GARPMasterRepeat = g.VRRPGARPMasterRepeat
	} else if v.GARPMasterRepeat == 0 {
		v.GARPMasterRepeat = 1
	}
	if !had("garp_master_refresh") {
		v.GARPMasterRefresh = g.VRRPGARPMasterRefresh
	}
	if !had("garp_master_refresh_repeat") {
		v.GARPMasterRefreshRepeat = g.VRRPGARPMasterRefreshRepeat
	} else if v.GARPMasterRefreshRepeat == 0 {
		v.GARPMasterRefreshRepeat = 1
	}
	if !had("garp_lower_prio_delay") {
		v.GARPLowerPrioDelay = g.VRRPGARPLowerPrioDelay
	}
	if !had("garp_lower_prio_repeat") {
		v.GARPLowerPrioRepeat = g.VRRPGARPLowerPrioRepeat
	}
	if !had("garp_extra_if") && !had("vmac_garp_intvl") {
		v.GARPExtraIf, v.GARPExtraIfAll = g.VRRPGARPExtraIf, g.VRRPGARPExtraIfAll
	}
}

// resolveAdvert brings the interval to what the version can carry: whole
// seconds in version 2, at most 40.95 s in hundredths in version 3.
func (b *binder) resolveAdvert(v *VRRPInstance) {
	pos := b.noted(v, "advert_int", v.Pos)
	if v.Version == 2 {
		if whole := v.AdvertInt.Round(time.Second); whole != v.AdvertInt {
			whole = max(whole, time.Second)
			b.add(pos, b.fromOf(v), Warning, "advert_int", "VRRP version 2 has whole seconds only; %s becomes %s", v.AdvertInt, whole)
			v.AdvertInt = whole
		}
		return
	}
	const longest = 4095 * 10 * time.Millisecond
	if v.AdvertInt > longest {
		b.add(pos, b.fromOf(v), Warning, "advert_int", "VRRP version 3 has at most 40.95 seconds; %s is cut to that", v.AdvertInt)
		v.AdvertInt = longest
	}
	v.AdvertInt = v.AdvertInt.Round(10 * time.Millisecond)
}

func (b *binder) fromOf(obj any) *frame {
	if g := b.given[obj]; g != nil {
		return g.from
	}
	return nil
}

// resolveAddresses gives every address its interface and the defaults of its
// family.
func (b *binder) resolveAddresses(v *VRRPInstance) {
	dev := v.Interface
	if dev == "" {
		dev = b.cfg.Global.DefaultInterface
	}
	for _, list := range [][]VirtualIPAddress{v.VirtualIPAddress, v.VirtualIPAddressExcluded} {
		for i := range list {
			if a := &list[i]; a.Dev == "" {
				a.Dev = dev
			}
			list[i].NoDAD = list[i].NoDAD || list[i].Prefix.Addr().Is6()
		}
	}
}

func resolveVMAC(v *VRRPInstance, g *Global) {
	m := v.UseVMAC
	if m == nil {
		return
	}
	if m.Name == "" {
		m.Name = g.VMACPrefix
		if v.Family == 6 {
			m.Name += "6"
		}
		m.Name += "." + strconv.Itoa(int(v.VirtualRouterID))
	}
	if m.IPVLAN {
		if len(v.UnicastPeer) > 0 {
			v.VMACXmitBase = true
		}
		return
	}
	if m.MAC == "" {
		m.MAC = "00:00:5e:00:01"
		if v.Family == 6 {
			m.MAC = "00:00:5e:00:02"
		}
	}
	if len(m.MAC) == 14 {
		m.MAC += fmt.Sprintf(":%02x", v.VirtualRouterID)
	}
	if len(v.UnicastPeer) > 0 {
		v.VMACXmitBase = true
	}
}
