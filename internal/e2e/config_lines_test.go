package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/config"
)

// The functions of this file write our values as keepalived's dump has them.

func word(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}

func wholeSeconds(d time.Duration) int { return int(d / time.Second) }

func globalLines(cfg *config.Config) []string {
	g := &cfg.Global
	l := []string{
		"Router ID = " + g.RouterID,
		"VRRP IPv4 mcast group = " + g.VRRPMcastGroup4.String(),
		"VRRP IPv6 mcast group = " + g.VRRPMcastGroup6.String(),
		fmt.Sprintf("VRRP default protocol version = %d", g.VRRPVersion),
		fmt.Sprintf("VRRP strict mode = %v", g.VRRPStrict),
		fmt.Sprintf("VRRP check unicast_src = %v", g.VRRPCheckUnicastSrc),
		fmt.Sprintf("VRRP skip check advert addresses = %v", g.VRRPSkipCheckAdvAddr),
		fmt.Sprintf("Dynamic interfaces = %v", g.DynamicInterfaces),
		"Script security " + word(g.EnableScriptSecurity, "enabled", "disabled"),
		fmt.Sprintf("Gratuitous ARP delay = %d", wholeSeconds(g.VRRPGARPMasterDelay)),
		fmt.Sprintf("Gratuitous ARP repeat = %d", g.VRRPGARPMasterRepeat),
		fmt.Sprintf("Gratuitous ARP refresh timer = %d", wholeSeconds(g.VRRPGARPMasterRefresh)),
		fmt.Sprintf("Gratuitous ARP interval = %f", g.VRRPGARPInterval.Seconds()),
		fmt.Sprintf("Gratuitous NA interval = %f", g.VRRPGNAInterval.Seconds()),
		fmt.Sprintf("Num adverts before down = %d", g.VRRPDownTimerAdverts),
	}
	if _, err := netip.ParseAddr(g.SMTPServer); err == nil { // names cannot be looked up here
		l = append(l, fmt.Sprintf("Smtp server connection timeout = %d", wholeSeconds(g.SMTPConnectTimeout)))
		l = append(l, g.NotificationEmail...)
	}
	return l
}

func instanceLines(cfg *config.Config, v *config.VRRPInstance) []string {
	l := []string{
		fmt.Sprintf("VRRP Version = %d", v.Version),
		fmt.Sprintf("Virtual Router ID = %d", v.VirtualRouterID),
		fmt.Sprintf("Priority = %d", v.Priority),
		"Wantstate = " + v.State,
		"Preempt = " + word(v.Preempt, "enabled", "disabled"),
		"Accept = " + word(v.Accept, "enabled", "disabled"),
		fmt.Sprintf("Gratuitous ARP delay = %d", wholeSeconds(v.GARPMasterDelay)),
		fmt.Sprintf("Gratuitous ARP repeat = %d", v.GARPMasterRepeat),
		fmt.Sprintf("Gratuitous ARP refresh = %d", wholeSeconds(v.GARPMasterRefresh)),
		fmt.Sprintf("Gratuitous ARP refresh repeat = %d", v.GARPMasterRefreshRepeat),
		fmt.Sprintf("Gratuitous ARP lower priority delay = %d", wholeSeconds(v.GARPLowerPrioDelay)),
		fmt.Sprintf("Gratuitous ARP lower priority repeat = %d", v.GARPLowerPrioRepeat),
		fmt.Sprintf("Down timer adverts = %d", v.DownTimerAdverts),
		fmt.Sprintf("Send advert after receive lower priority advert = %v", !v.LowerPrioNoAdvert),
		fmt.Sprintf("Send advert after receive higher priority advert = %v", v.HigherPrioSendAdvert),
		"Promote_secondaries = " + word(v.PromoteSecondaries, "enabled", "disabled"),
		"Using smtp notification = " + word(v.SMTPAlert, "yes", "no"),
		fmt.Sprintf("Notify priority changes = %v", v.NotifyPriorityChanges),
	}
	if v.Version == 2 {
		l = append(l, fmt.Sprintf("Advert interval = %d sec", wholeSeconds(v.AdvertInt)))
	} else {
		l = append(l, fmt.Sprintf("Advert interval = %d milli-sec", v.AdvertInt/time.Millisecond))
	}
	if v.UseVMAC == nil {
		l = append(l, "Interface = "+v.Interface)
	}
	if v.Version == 2 {
		l = append(l, "Authentication type = "+map[string]string{"": "none", "PASS": "SIMPLE_PASSWORD", "AH": "IPSEC_AH"}[v.Authentication.Type])
	}
	if v.Authentication.Type == "PASS" {
		l = append(l, "Password = "+v.Authentication.Pass)
	}
	for _, p := range v.UnicastPeer {
		l = append(l, p.Address.String()+"...")
	}
	for _, g := range cfg.VRRPSyncGroups {
		if slices.Contains(g.Group, v.Name) {
			l = append(l, "Sync group = "+g.Name)
		}
	}
	for _, a := range v.VirtualIPAddress {
		l = append(l, addressBegin(&a))
	}
	for _, a := range v.VirtualIPAddressExcluded {
		l = append(l, addressBegin(&a))
	}
	if n := len(v.VirtualIPAddress); n > 0 {
		l = append(l, fmt.Sprintf("Virtual IP (%d):", n))
	}
	return l
}

// addressBegin is an address as far as it is printed in one way.
func addressBegin(a *config.VirtualIPAddress) string {
	s := a.Prefix.String()
	if a.Prefix.IsSingleIP() {
		s = a.Prefix.Addr().String()
	}
	return s + "..."
}

func fwd(m config.LVSMethod) string {
	return "forwarding method = " + m.Kind + "..."
}

func serviceHead(vs *config.VirtualServer) string {
	switch {
	case vs.Group != "":
		return fmt.Sprintf("VS GROUP = [%s]:0", vs.Group)
	case vs.FWMark != 0:
		return fmt.Sprintf("VS FWMARK = %d", vs.FWMark)
	}
	return fmt.Sprintf("VS VIP = %s, VPORT = %d", vs.Address, vs.Port)
}

func serviceLines(vs *config.VirtualServer) []string {
	l := []string{
		"lvs_sched = " + vs.LVSSched,
		fmt.Sprintf("delay_loop = %f", vs.DelayLoop.Seconds()),
		fmt.Sprintf("connection timeout = %f", vs.ConnectTimeout.Seconds()),
		fmt.Sprintf("quorum = %d, hysteresis = %d", vs.Quorum, vs.Hysteresis),
		"alpha is " + word(vs.Alpha, "ON", "OFF"),
		"omega is " + word(vs.Omega, "ON", "OFF"),
		"Inhibit on failure is " + word(vs.InhibitOnFailure, "ON", "OFF"),
		"One packet scheduling = " + word(vs.OPS, "enabled", "disabled"),
		"Using smtp notification = " + word(vs.SMTPAlert, "yes", "no"),
		fwd(vs.LVSMethod),
	}
	if vs.Protocol != "" {
		l = append(l, "protocol = "+vs.Protocol)
	}
	if vs.PersistenceTimeout > 0 {
		l = append(l, fmt.Sprintf("persistence timeout = %d", wholeSeconds(vs.PersistenceTimeout)))
	} else {
		l = append(l, "!persistence timeout...")
	}
	if vs.VirtualHost != "" {
		l = append(l, "VirtualHost = "+vs.VirtualHost)
	}
	if vs.Retry >= 0 {
		l = append(l, fmt.Sprintf("Retry count = %d", vs.Retry))
	}
	if s := vs.SorryServer; s != nil {
		l = append(l, fmt.Sprintf("sorry server = [%s]:%s:%d", s.Address, strings.ToLower(vs.Protocol), s.Port))
	} else {
		l = append(l, "!sorry server...")
	}
	return l
}

func serverLines(rs *config.RealServer) []string {
	return []string{
		fmt.Sprintf("RIP = %s, RPORT = %d, WEIGHT = %d...", rs.Address, rs.Port, rs.Weight),
		fmt.Sprintf("initial weight = %d", rs.Weight),
		fwd(rs.LVSMethod),
		"Alpha is " + word(rs.Alpha, "ON", "OFF"),
		"Inhibit on failure is " + word(rs.InhibitOnFailure, "ON", "OFF"),
		"Using smtp notification = " + word(rs.SMTPAlert, "yes", "no"),
		fmt.Sprintf("connection timeout = %f", rs.ConnectTimeout.Seconds()),
		fmt.Sprintf("Delay loop = %f", rs.DelayLoop.Seconds()),
	}
}

func checkerHead(vs *config.VirtualServer, rs *config.RealServer) string {
	proto := strings.ToLower(vs.Protocol)
	service := fmt.Sprintf("[%s]:%s:%d", vs.Address, proto, vs.Port)
	switch {
	case vs.Group != "":
		service = fmt.Sprintf("[%s]:0", vs.Group)
	case vs.FWMark != 0:
		service = fmt.Sprintf("FWM %d", vs.FWMark)
	}
	return fmt.Sprintf("%s -> [%s]:%s:%d", service, rs.Address, proto, rs.Port)
}

func checkerLines(cfg *config.Config, k *config.Checker) []string {
	us := func(d time.Duration) int64 { return d.Microseconds() }
	l := []string{
		"Alpha = " + word(k.Alpha, "yes", "no"),
		fmt.Sprintf("Delay loop = %d us", us(k.DelayLoop)),
		fmt.Sprintf("Warmup = %d us", us(k.Warmup)),
		fmt.Sprintf("Retries = %d", k.Retry),
		fmt.Sprintf("Delay before retry = %d us", us(k.DelayBeforeRetry)),
	}
	if k.Type == config.FileCheck {
		return nil // only that it is there
	}
	if !cfg.Global.CheckerLogAllFailures { // keepalived keeps the two apart until it logs
		l = append(l, "Log all failures = "+word(k.LogAllFailures, "yes", "no"))
	}
	if k.SMTP == nil || len(k.SMTP.Hosts) == 0 {
		l = append(l, fmt.Sprintf("Dest = [%s]:%d", k.ConnectIP, k.ConnectPort), fmt.Sprintf("Timeout = %f", k.ConnectTimeout.Seconds()))
	}
	if k.HTTP != nil {
		l = append(l, "Keepalive method = "+k.Type+", http protocol "+k.HTTP.HTTPProtocol)
		for _, u := range k.HTTP.URLs {
			l = append(l, "Checked url = "+u.Path)
			if u.Digest != "" {
				l = append(l, "digest = "+u.Digest)
			}
			for _, s := range u.StatusCode {
				l = append(l, word(s.From == s.To, fmt.Sprint(s.From), fmt.Sprintf("%d-%d", s.From, s.To)))
			}
		}
	}
	if k.DNS != nil {
		l = append(l, "Type = "+k.DNS.Type, "Name = "+k.DNS.Name)
	}
	if k.SMTP != nil {
		l = append(l, "helo = "+k.SMTP.HeloName)
	}
	return l
}
