package config

import (
	"net/netip"
	"strings"
	"time"
)

// dropService takes away services that keepalived would not create either.
func (b *binder) dropService(vs *VirtualServer) bool {
	name := serviceName(vs)
	switch {
	case len(vs.RealServers) == 0:
		b.add(vs.Pos, nil, Warning, "virtual_server", "%s has no real_server; it is removed", name)
	case vs.Group != "" && b.groups[vs.Group] == nil:
		b.add(vs.Pos, nil, Warning, "virtual_server", "there is no virtual_server_group called %q; the service is removed", printable(vs.Group))
	default:
		return false
	}
	return true
}

// checkerRows are the keywords of a checker, and of a real server, whose
// absence means that the value is inherited, as bits of a mask; 0: there is no
// such keyword.
type checkerRows struct{ alpha, logAll, weight, inhibit, alert uint64 }

func rowsOfCheckers(sections map[string]*section) map[string]checkerRows {
	out := map[string]checkerRows{}
	for path, sec := range sections {
		if !sec.many {
			continue
		}
		bit := func(word string) uint64 {
			if r := sec.rows[word]; r != nil {
				return 1 << r.idx
			}
			return 0
		}
		out[path[strings.LastIndexByte(path, '.')+1:]] = checkerRows{alpha: bit("alpha"), logAll: bit("log_all_failures"),
			weight: bit("weight"), inhibit: bit("inhibit_on_failure"), alert: bit("smtp_alert")}
	}
	return out
}

// nextMask is what the next virtual server, real server or checker was given:
// they are resolved in the order in which they were read.
func (b *binder) nextMask() uint64 {
	b.read++
	return b.masks[b.read-1]
}

// serviceName names a service as keepalived's messages do.
func serviceName(vs *VirtualServer) string {
	switch {
	case vs.Group != "":
		return "group " + vs.Group
	case vs.FWMark != 0:
		return "FWM " + utoa(vs.FWMark)
	}
	return "[" + vs.Address.String() + "]:" + strings.ToLower(vs.Protocol) + ":" + utoa(uint32(vs.Port))
}

func (b *binder) resolveVirtualServer(vs *VirtualServer) {
	had, rows := b.nextMask(), b.checkerRows["virtual_server"]
	if vs.LVSSched == "" {
		vs.LVSSched = "wlc"
		b.add(vs.Pos, nil, Warning, "virtual_server", "no lvs_sched is given; wlc is used")
	}
	if vs.LVSMethod.Kind == "" {
		vs.LVSMethod.Kind = "NAT"
		b.add(vs.Pos, nil, Warning, "virtual_server", "no lvs_method is given; NAT is used")
	}
	if vs.Protocol == "" && vs.FWMark == 0 {
		vs.Protocol = "UDP"
		b.add(vs.Pos, nil, Warning, "virtual_server", "no protocol is given; UDP is used, as keepalived does")
	}
	if vs.Address.IsValid() && vs.Port == 0 && vs.PersistenceTimeout == 0 {
		b.add(vs.Pos, nil, Warning, "virtual_server", "a service for every port must be persistent; persistence_timeout 360 is used")
		vs.PersistenceTimeout = 360 * time.Second
	}
	if vs.FWMark != 0 && vs.Protocol != "" {
		b.add(vs.Pos, nil, Warning, "protocol", "a fwmark service has no protocol; it is ignored")
		vs.Protocol = ""
	}
	b.resolveFamily(vs)
	if vs.PersistenceGranularity == 0 {
		if vs.PersistenceGranularity = 32; vs.Family == 6 {
			vs.PersistenceGranularity = 128
		}
	}
	if vs.OPS && vs.Protocol == "TCP" {
		b.add(vs.Pos, nil, Warning, "ops", "one packet scheduling is for UDP; it is ignored")
		vs.OPS = false
	}
	g := &b.cfg.Global
	if had&rows.alert == 0 {
		vs.SMTPAlert = alert(g.SMTPAlertChecker, g.SMTPAlert, false)
	}
	if s := vs.SorryServer; s != nil {
		s.LVSMethod = vs.LVSMethod
		if m, ok := b.sorryMethods[vs]; ok {
			s.LVSMethod = m
		}
	}
	for _, rs := range vs.RealServers {
		b.resolveRealServer(vs, rs)
	}
	b.resolveServers(vs)
	total := 0
	for _, rs := range vs.RealServers {
		total += rs.Weight
	}
	if vs.Quorum > total && len(vs.RealServers) > 0 {
		b.add(vs.Pos, nil, Warning, "quorum", "quorum %d of %s is more than the total weight of its real servers, %d; it is reduced to that", vs.Quorum, serviceName(vs), total)
		vs.Quorum = max(total, 1)
	}
	if vs.Hysteresis >= vs.Quorum {
		b.add(vs.Pos, nil, Warning, "hysteresis", "hysteresis %d of %s must be less than its quorum %d; it is reduced", vs.Hysteresis, serviceName(vs), vs.Quorum)
		vs.Hysteresis = vs.Quorum - 1
	}
}

// resolveServers brings real servers to what their service can carry: the
// port of DR and TUN, one family, no server twice.
func (b *binder) resolveServers(vs *VirtualServer) {
	var seen map[netip.AddrPort]bool
	if len(vs.RealServers) > 16 { // below that, looking at each is faster
		seen = make(map[netip.AddrPort]bool, len(vs.RealServers))
	}
	kept := vs.RealServers[:0]
	for _, rs := range vs.RealServers {
		kind := rs.LVSMethod.Kind
		if vs.Family != 0 && familyOf(rs.Address) != vs.Family && kind != "TUN" {
			b.add(rs.Pos, nil, Warning, "real_server", "%s is not of the family of the virtual server, and only TUN can carry that; it is left out", rs.Address)
			continue
		}
		if vs.Address.IsValid() && kind != "NAT" && rs.Port != vs.Port {
			b.add(rs.Pos, nil, Warning, "real_server", "port %d differs from port %d of the virtual server, but %s does not change ports; clients reach port %d", rs.Port, vs.Port, kind, vs.Port)
			rs.Port = vs.Port
		}
		k := netip.AddrPortFrom(rs.Address, rs.Port)
		again := seen[k]
		for i := 0; seen == nil && i < len(kept); i++ {
			again = again || kept[i].Port == k.Port() && kept[i].Address == k.Addr()
		}
		if again {
			b.add(rs.Pos, nil, Warning, "real_server", "%s port %d is in %s twice; the second one is left out", rs.Address, rs.Port, serviceName(vs))
			continue
		}
		if seen != nil {
			seen[k] = true
		}
		kept = append(kept, rs)
	}
	vs.RealServers = kept
}

// resolveFamily follows the address, the group, or for a mark the servers.
func (b *binder) resolveFamily(vs *VirtualServer) {
	switch {
	case vs.Address.IsValid():
		vs.Family = familyOf(vs.Address)
	case vs.Group != "":
		if g := b.groups[vs.Group]; g != nil && len(g.Addresses) > 0 {
			vs.Family = familyOf(g.Addresses[0].First)
		}
	}
	for _, rs := range vs.RealServers {
		if vs.Family == 0 {
			vs.Family = familyOf(rs.Address)
		}
	}
}

// resolveRealServer inherits from the virtual server.
func (b *binder) resolveRealServer(vs *VirtualServer, rs *RealServer) {
	g := &b.cfg.Global
	had, rows := b.nextMask(), b.checkerRows["real_server"]
	if rs.Weight < 0 {
		rs.Weight = vs.Weight
	}
	if rs.LVSMethod.Kind == "" {
		rs.LVSMethod = vs.LVSMethod
	}
	if had&rows.inhibit == 0 {
		rs.InhibitOnFailure = vs.InhibitOnFailure
	}
	if had&rows.alpha == 0 {
		rs.Alpha = vs.Alpha
	}
	if had&rows.alert == 0 {
		rs.SMTPAlert = alert(g.SMTPAlertChecker, g.SMTPAlert, true)
	}
	if rs.VirtualHost == "" {
		rs.VirtualHost = vs.VirtualHost
	}
	if rs.Retry < 0 {
		rs.Retry = vs.Retry
	}
	for _, t := range []struct{ to, from *time.Duration }{
		{&rs.DelayBeforeRetry, &vs.DelayBeforeRetry}, {&rs.Warmup, &vs.Warmup},
		{&rs.ConnectTimeout, &vs.ConnectTimeout}, {&rs.DelayLoop, &vs.DelayLoop},
	} {
		if *t.to == unsetTime {
			*t.to = *t.from
		}
	}
	kept := rs.Checkers[:0]
	for _, k := range rs.Checkers {
		b.resolveChecker(rs, k)
		if b.completeChecker(k) {
			kept = append(kept, k)
		}
	}
	rs.Checkers = kept
}

// resolveChecker inherits from the real server; what nobody gave follows from
// the type.
func (b *binder) resolveChecker(rs *RealServer, k *Checker) {
	switch k.Type {
	case MiscCheck, BFDCheck, FileCheck: // they connect to nothing
		k.ConnectTimeout = 0
	default:
		b.resolveConnect(rs, &k.ConnectOptions)
	}
	resolveTiming(rs, k)
	had, rows := b.nextMask(), b.checkerRows[k.Type]
	if had&rows.alpha == 0 {
		k.Alpha = rs.Alpha
	}
	if had&rows.logAll == 0 {
		k.LogAllFailures = b.cfg.Global.CheckerLogAllFailures
	}
	switch {
	case k.HTTP != nil:
		resolveHTTP(rs, k.HTTP)
	case k.Misc != nil && k.Misc.Timeout == unsetTime:
		k.Misc.Timeout = k.DelayLoop
	case k.SMTP != nil:
		for _, h := range b.hosts[k] {
			if h.ConnectTimeout == unsetTime {
				h.ConnectTimeout = k.ConnectTimeout
			}
			b.resolveConnect(rs, &h.ConnectOptions)
			k.SMTP.Hosts = append(k.SMTP.Hosts, h.ConnectOptions)
		}
	case k.File != nil:
		b.resolveFileCheck(k, had&rows.weight != 0)
	}
}

// resolveTiming fills in when and how often a checker probes.
func resolveTiming(rs *RealServer, k *Checker) {
	if k.DelayLoop == unsetTime {
		k.DelayLoop = rs.DelayLoop
	}
	if k.Retry < 0 {
		k.Retry = rs.Retry
	}
	if k.Retry < 0 {
		switch k.Retry = 1; k.Type {
		case DNSCheck:
			k.Retry = 3
		case MiscCheck, BFDCheck, FileCheck:
			k.Retry = 0
		}
	}
	if k.DelayBeforeRetry == unsetTime {
		k.DelayBeforeRetry = rs.DelayBeforeRetry
	}
	if k.DelayBeforeRetry == unsetTime {
		switch k.DelayBeforeRetry = time.Second; k.Type {
		case HTTPGet, SSLGet:
			k.DelayBeforeRetry = 3 * time.Second
		case DNSCheck:
			k.DelayBeforeRetry = k.DelayLoop
		}
	}
	if k.Warmup == unsetTime {
		k.Warmup = rs.Warmup
	}
	if k.Warmup == unsetTime {
		k.Warmup = k.DelayLoop
	}
}

func (b *binder) resolveConnect(rs *RealServer, o *ConnectOptions) {
	if !o.ConnectIP.IsValid() {
		o.ConnectIP = rs.Address
	}
	if o.ConnectPort == 0 {
		o.ConnectPort = rs.Port
	}
	if o.ConnectTimeout == unsetTime {
		o.ConnectTimeout = rs.ConnectTimeout
	}
}

func resolveHTTP(rs *RealServer, h *HTTPGetOptions) {
	if h.VirtualHost == "" {
		h.VirtualHost = rs.VirtualHost
	}
	for i := range h.URLs {
		u := &h.URLs[i]
		if u.VirtualHost == "" {
			u.VirtualHost = h.VirtualHost
		}
		if len(u.StatusCode) == 0 {
			u.StatusCode = []StatusRange{{200, 299}}
		}
		u.TLSCompliant = u.TLSCompliant || h.TLSCompliant
	}
}

// resolveFileCheck takes the weight of the track_file when it has none.
func (b *binder) resolveFileCheck(k *Checker, weighted bool) {
	f, _ := b.live[trackKey{"file", k.File.Name}].(*TrackFile)
	if f != nil && !weighted {
		k.File.Weight, k.File.Reverse = f.Weight, f.Reverse
	}
}

// completeChecker drops checkers that have nothing to check.
func (b *binder) completeChecker(k *Checker) bool {
	why := ""
	switch k.Type {
	case HTTPGet, SSLGet:
		if len(k.HTTP.URLs) == 0 {
			why = "it has no url"
		}
	case MiscCheck:
		if len(k.Misc.Script.Argv) == 0 {
			why = "it has no misc_path that can run"
		}
	case FileCheck:
		if b.live[trackKey{"file", k.File.Name}] == nil {
			why = "there is no track_file called \"" + printable(k.File.Name) + "\""
		}
	case BFDCheck:
		d, ok := b.live[trackKey{"bfd", k.BFD}].(*BFDInstance)
		if !ok {
			why = "there is no bfd_instance called \"" + printable(k.BFD) + "\""
		} else if !d.Checker {
			why = "bfd_instance \"" + printable(k.BFD) + "\" is for vrrp only"
		}
	}
	if why != "" {
		b.add(k.Pos, nil, Warning, k.Type, "%s; the checker is removed", why)
	}
	return why == ""
}
