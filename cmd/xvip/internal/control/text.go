package control

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText prints the status as tables for people.
func (s *Status) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "xvip %s, up %s, %s\n", s.Version, uptime(s.UptimeSeconds), s.ConfigFile)
	if !s.Reload.OK {
		fmt.Fprintf(t, "LAST RELOAD FAILED, running on the configuration before it: %s\n", s.Reload.Message)
	}
	writeEngine(t, "xdp", s.Engine.XDP)
	writeEngine(t, "ipvs", s.Engine.IPVS)
	if len(s.VirtualRouters) > 0 {
		fmt.Fprintf(t, "\nROUTER\tINTERFACE\tVRID\tSTATE\tPRIORITY\tMASTER\tADDRESSES\tCHANGES\n")
	}
	for _, r := range s.VirtualRouters {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\n", r.Name, r.Interface, r.VRID, withReason(r.State, r.Reason),
			priority(r), dash(r.MasterAddress), strings.Join(r.Addresses, ","), r.Transitions)
	}
	if len(s.BFDSessions) > 0 {
		fmt.Fprintf(t, "\nBFD SESSION\tNEIGHBOR\tSTATE\tNEIGHBOR'S STATE\tINTERVAL\tDETECTION\tCHANGES\n")
	}
	for _, b := range s.BFDSessions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%g ms\t%g ms\t%d\n", b.Name, b.Neighbor, withReason(b.State, b.Diagnostic), b.RemoteState,
			b.Interval*1000, b.Detection*1000, b.Transitions)
	}
	if len(s.VirtualServers) > 0 {
		fmt.Fprintf(t, "\nSERVICE\tSCHEDULER\tENGINE\tMETHOD\tWEIGHT\tSTATE\tACTIVE\tINACTIVE\tCONNS\tPACKETS\tBYTES\n")
	}
	for _, v := range s.VirtualServers {
		writeService(t, v)
	}
	return t.Flush()
}

func writeEngine(w io.Writer, name string, e Engine) {
	if !e.Available {
		fmt.Fprintf(w, "%s\toff: %s\n", name, dash(e.Reason))
		return
	}
	var on []string
	for _, i := range e.Interfaces {
		on = append(on, withReason(i.Name+" "+i.Mode, i.Reason))
	}
	fmt.Fprintf(w, "%s\ton: %s\n", name, withReason(dash(strings.Join(on, ", ")), e.Reason))
}

func writeService(w io.Writer, v VirtualServer) {
	state := "active"
	if !v.Active {
		state = "waiting (VIP is elsewhere)"
	}
	if v.SorryServerActive {
		state += ", sorry server"
	} else if !v.QuorumUp {
		state += ", no quorum"
	}
	if v.Refused > 0 {
		state += fmt.Sprintf(", %d connections over its limit", v.Refused)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\t%s\t\t\t%d\t%d\t%d\n", v.name(), v.Scheduler, v.Engine, v.Method,
		withReason(state, v.Reason), v.Connections, v.PacketsIn, v.BytesIn)
	for _, r := range v.RealServers {
		state := "up"
		if !r.Up {
			state = "down"
		}
		if r.Sorry {
			state = "sorry " + state
		}
		if r.NextHop == "unresolved" {
			state += " (no next hop: does the address answer ARP?)"
		}
		weight := fmt.Sprint(r.EffectiveWeight)
		if r.EffectiveWeight != r.Weight {
			weight = fmt.Sprintf("%d (of %d)", r.EffectiveWeight, r.Weight)
		}
		fmt.Fprintf(w, "  -> %s\t\t\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", hostPort(r.Address, r.Port), r.Method, weight,
			withReason(state, r.Reason), r.ActiveConnections, r.InactiveConnections, r.Connections, r.PacketsIn, r.BytesIn)
	}
}

func (v VirtualServer) name() string {
	if v.FWMark != 0 {
		return fmt.Sprintf("fwmark %d", v.FWMark)
	}
	return hostPort(v.Address, v.Port) + "/" + v.Protocol
}

func hostPort(addr string, port uint16) string {
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return fmt.Sprintf("%s:%d", addr, port)
}

func priority(r VirtualRouter) string {
	if r.Priority == r.EffectivePriority {
		return fmt.Sprint(r.Priority)
	}
	return fmt.Sprintf("%d (of %d)", r.EffectivePriority, r.Priority)
}

func withReason(s, reason string) string {
	if reason == "" {
		return s
	}
	return s + " (" + reason + ")"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func uptime(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
