package daemon

import (
	"context"
	"path/filepath"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane/ipvs"
)

// wantsIPVS says that the configuration needs IPVS even without services.
func wantsIPVS(cfg *config.Config) bool {
	g := cfg.Global
	return g.LVSFlush || ipvsSettings(cfg, nil).Timeouts != (ipvs.Timeouts{}) || syncDaemon(cfg) != nil
}

// ensureIPVS starts the engine if cfg wants it, and gives the reason if it does
// not run. Only the first configuration of a daemon may flush.
func (e *engines) ensureIPVS(ctx context.Context, cfg *config.Config, first bool) string {
	if why := barred(cfg, "ipvs"); why != "" && (e.ipvs == nil || why != noServers) {
		return why
	}
	if e.ipvs != nil {
		return ""
	}
	eng, err := ipvs.New(ctx, ipvs.Options{
		NetNS: ipvsNamespace(cfg), StateFile: filepath.Join(cfg.XVIP.StateDir, "ipvs.services"), Flush: first && cfg.Global.LVSFlush, Log: e.log,
	})
	if err != nil {
		return err.Error()
	}
	e.log.Debug("the IPVS engine runs", "version", eng.Version())
	e.ipvs = eng
	return ""
}

// ipvsNamespace gives the file of the network namespace that net_namespace_ipvs
// names; without a name it is the one of the machine, which only differs from
// ours under net_namespace.
func ipvsNamespace(cfg *config.Config) string {
	switch g := cfg.Global; {
	case !g.HasNetNamespaceIPVS:
		return ""
	case g.NetNamespaceIPVS == "":
		return "/proc/1/ns/net"
	default:
		return filepath.Join("/run/netns", g.NetNamespaceIPVS)
	}
}

// setMaster lets the sync daemon follow a virtual router; the director's next
// Apply carries it out.
func (e *engines) setMaster(router string, master bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.masters[router] = master
	if e.ipvs != nil {
		e.ipvs.Configure(ipvsSettings(e.cfg, e.masters))
	}
}

// flushIPVS is lvs_flush_on_stop: everything goes at once, whoever made it.
func (e *engines) flushIPVS() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ipvs == nil || !e.cfg.Global.LVSFlushOnStop || e.cfg.Global.LVSFlushOnStopVS {
		return nil
	}
	return e.ipvs.Flush()
}

// ipvsSettings gives what the configuration says about IPVS as a whole.
func ipvsSettings(cfg *config.Config, masters map[string]bool) ipvs.Settings {
	t := cfg.Global.LVSTimeouts
	s := ipvs.Settings{Timeouts: ipvs.Timeouts{TCP: max(0, t.TCP), TCPFin: max(0, t.TCPFin), UDP: max(0, t.UDP)}}
	d := syncDaemon(cfg)
	if d == nil {
		return s
	}
	s.ManageSync = true
	base := ipvs.SyncDaemon{Interface: d.Interface, ID: uint8(max(0, d.ID)), MaxLen: uint16(d.MaxLen), Port: d.Port, TTL: d.TTL, Group: d.Group}
	if d.Instance == "" {
		master := base
		master.Master = true
		s.Sync = []ipvs.SyncDaemon{master, base}
		return s
	}
	base.Master = masters[d.Instance]
	s.Sync = []ipvs.SyncDaemon{base}
	return s
}

// syncDaemon gives the wanted sync daemon, also from the older keyword of an
// instance; its id is that of the virtual router where none is given.
func syncDaemon(cfg *config.Config) *config.LVSSyncDaemon {
	var d *config.LVSSyncDaemon
	if g := cfg.Global.LVSSyncDaemon; g != nil {
		copied := *g
		d = &copied
	}
	for _, in := range cfg.VRRPInstances {
		switch {
		case d == nil && in.LVSSyncDaemonInterface != "":
			return &config.LVSSyncDaemon{Interface: in.LVSSyncDaemonInterface, Instance: in.Name, ID: int(in.VirtualRouterID)}
		case d != nil && d.Instance == in.Name && d.ID < 0:
			d.ID = int(in.VirtualRouterID)
		}
	}
	return d
}
