package daemon

import (
	"fmt"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

// wantedAround adds what goes with the virtual routers, once they are in w in
// the order of the configuration: routes, rules, static ones, and the paces of
// interfaces.
func wantedAround(cfg *config.Config, w *vrrp.Wanted) {
	names, err := vrrp.LoadRouteNames(routeDirs(&cfg.Global)...)
	if err != nil {
		w.Problems = append(w.Problems, err)
	}
	routing := func(owner string, routes []vrrp.VirtualRoute, rules []vrrp.VirtualRule) vrrp.Routing {
		g, err := vrrp.NewRouting(names, routes, rules)
		if err != nil {
			w.Problems = append(w.Problems, fmt.Errorf("read %s: %w", owner, err))
		}
		return g
	}
	for i, in := range cfg.VRRPInstances {
		w.Routers[i].Routing = routing(fmt.Sprintf("virtual routes and rules of %q", in.Name), routesOf(in.VirtualRoutes), rulesOf(in.VirtualRules))
	}
	var routes []config.VirtualRoute
	var rules []config.VirtualRule
	var static []config.VirtualIPAddress
	for _, r := range cfg.StaticRoutes {
		routes = append(routes, *r)
	}
	for _, r := range cfg.StaticRules {
		rules = append(rules, *r)
	}
	for _, a := range cfg.StaticAddresses {
		static = append(static, *a)
	}
	w.StaticRouting = routing("static routes and rules", routesOf(routes), rulesOf(rules))
	w.Static = addresses(static)
	w.GARPInterval, w.GNAInterval = cfg.Global.VRRPGARPInterval, cfg.Global.VRRPGNAInterval
	for _, g := range cfg.GARPGroups {
		w.Paces = append(w.Paces, vrrp.Pace{Devices: g.Interfaces, GARP: g.GARPInterval, GNA: g.GNAInterval})
	}
	linkPaces(w)
	w.LogUnknown, w.NoLocalIGMP = cfg.Global.LogUnknownVRIDs, cfg.Global.DisableLocalIGMP
	w.Filter = vrrp.AcceptTable{Name: cfg.Global.NFTables, Priority: int32(cfg.Global.NFTablesPriority)}
	w.Linkbeat = linkbeats(cfg)
	w.LinkDelays = map[string]vrrp.LinkDelays{}
	for _, d := range cfg.InterfaceUpDownDelays {
		w.LinkDelays[d.Name] = vrrp.LinkDelays{Down: d.Down, Up: d.Up}
	}
}

// linkbeats are the interfaces whose carrier is polled: those of the list, that of
// an instance that says so, or with linkbeat_use_polling all that instances use.
func linkbeats(cfg *config.Config) map[string]string {
	out := map[string]string{}
	for _, in := range cfg.VRRPInstances {
		if in.Interface != "" && (in.LinkbeatUsePolling || cfg.Global.LinkbeatUsePolling) {
			out[in.Interface] = ""
		}
		for _, t := range in.TrackInterface {
			if cfg.Global.LinkbeatUsePolling {
				out[t.Name] = ""
			}
		}
	}
	for _, b := range cfg.LinkbeatInterfaces {
		out[b.Name] = b.Type
	}
	return out
}

// routeDirs are the directories of the names that iproute2 has for tables and
// the like; later ones win.
func routeDirs(g *config.Global) []string {
	dirs := []string{"/usr/share/iproute2", "/usr/lib/iproute2", "/etc/iproute2"}
	if g.IPRouteUsrDir != "" {
		dirs = []string{g.IPRouteUsrDir, "/etc/iproute2"}
	}
	if g.IPRouteEtcDir != "" {
		dirs[len(dirs)-1] = g.IPRouteEtcDir
	}
	return dirs
}

// routesOf turns routes into those of the vrrp room.
func routesOf(list []config.VirtualRoute) []vrrp.VirtualRoute {
	var out []vrrp.VirtualRoute
	for _, r := range list {
		v := vrrp.VirtualRoute{Type: r.Type, Dst: r.Dst, Src: r.Src, Via: r.Via, Or: r.Or, Dev: r.Dev, Table: r.Table, Scope: r.Scope,
			Protocol: r.Protocol, Metric: r.Metric, TOS: r.TOS, Options: r.Options, NextHops: r.NextHops, NoTrack: r.NoTrack, TrackGroup: r.TrackGroup}
		if r.From.IsValid() {
			// The kernel room of routes knows no source prefix: it refuses the word.
			v.Options = append([][]string{{"from", r.From.String()}}, v.Options...)
		}
		out = append(out, v)
	}
	return out
}

// rulesOf turns rules into those of the vrrp room.
func rulesOf(list []config.VirtualRule) []vrrp.VirtualRule {
	var out []vrrp.VirtualRule
	for _, r := range list {
		out = append(out, vrrp.VirtualRule{Family: r.Family, From: r.From, To: r.To, Priority: r.Priority, HasPriority: r.HasPriority,
			Table: r.Table, Action: r.Action, Not: r.Not, FWMark: r.FWMark, IIF: r.IIF, OIF: r.OIF, TOS: r.TOS, Options: r.Options,
			NoTrack: r.NoTrack, TrackGroup: r.TrackGroup})
	}
	return out
}
