package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

// routers runs the virtual routers of the configuration.
type routers struct {
	set   *vrrp.Set
	bfd   vrrp.Sessions
	fifos *fifos
	log   *slog.Logger
}

func newRouters(cfg *config.Config, log *slog.Logger, sessions vrrp.Sessions, setMaster func(router string, master bool), setOwned func(ctx context.Context, router string, owned bool)) (*routers, error) {
	set, err := vrrp.NewSet(log, func(name string, role vrrp.Role) { setMaster(name, role == vrrp.Master) }, setOwned)
	if err != nil {
		return nil, err
	}
	r := &routers{set: set, bfd: sessions, fifos: newFIFOs(log), log: log}
	return r, r.update(cfg)
}

// run runs the routers until stop and the end of ctx, and until the last change
// has been told.
func (r *routers) run(ctx context.Context) error {
	defer r.fifos.close()
	if err := r.set.RemoveLeftLinks(); err != nil {
		r.log.Error("interfaces of virtual MACs of an earlier life not removed", "err", err)
	}
	return r.set.Run(ctx)
}

func (r *routers) update(cfg *config.Config) error {
	w, err := wantedRouters(cfg)
	if err != nil {
		return err
	}
	w.BFD = r.bfd
	w.FIFOs = r.fifos.update(&cfg.Global)
	w.TellStates = cfg.Global.FIFOWriteVRRPStatesOnReload
	r.set.Update(w)
	return nil
}

func (r *routers) stop(keep bool) error {
	r.set.Stop(keep)
	return nil
}

func (r *routers) collector() prometheus.Collector { return vrrp.NewCollector(r.set.Status) }

// routersCollector describes the metrics without a daemon.
func routersCollector() prometheus.Collector {
	return vrrp.NewCollector(func() []vrrp.RouterStatus { return nil })
}

func (r *routers) status() []control.VirtualRouter {
	out := []control.VirtualRouter{}
	for _, s := range r.set.Status() {
		v := control.VirtualRouter{Name: s.Name, Interface: s.Interface, VRID: s.VRID, Family: familyName(s.Family), Version: int(s.Version),
			State: s.Role.String(), Reason: s.Reason, Priority: int(s.Priority), EffectivePriority: int(s.EffectivePriority),
			Transitions: s.Transitions, Addresses: []string{}}
		if s.Master.IsValid() {
			v.MasterAddress = s.Master.String()
		}
		for _, a := range s.Addresses {
			v.Addresses = append(v.Addresses, a.String())
		}
		out = append(out, v)
	}
	return out
}

func familyName(f uint8) string {
	if f == 6 {
		return "inet6"
	}
	return "inet"
}

// wantedRouters turns the configuration into what the vrrp room runs.
func wantedRouters(cfg *config.Config) (vrrp.Wanted, error) {
	var w vrrp.Wanted
	wantedTrackers(cfg, &w)
	for _, in := range cfg.VRRPInstances {
		hmac, err := hmacOf(in.AuthHMAC)
		if err != nil {
			return w, fmt.Errorf("virtual router %q: %w", in.Name, err)
		}
		spec := wantedRouter(in)
		spec.Config.HMAC, spec.Config.Buffer = hmac, bufferOf(in, &cfg.Global)
		w.Routers = append(w.Routers, spec)
	}
	for _, g := range cfg.TrackGroups {
		for i := range w.Routers {
			if slices.Contains(g.Group, w.Routers[i].Config.Name) {
				w.Routers[i].TrackGroups = append(w.Routers[i].TrackGroups, g.Name)
			}
		}
	}
	wantedLinks(cfg, &w)
	wantedAround(cfg, &w)
	for _, g := range cfg.VRRPSyncGroups {
		for i := range w.Routers {
			if slices.Contains(g.Group, w.Routers[i].Config.Name) {
				joinGroup(&w.Routers[i], g)
			}
		}
		w.Groups = append(w.Groups, vrrp.GroupSpec{Name: g.Name, Members: g.Group, Notify: vrrp.NotifyScripts{
			Master: command(g.Notify.Master), Backup: command(g.Notify.Backup), Fault: command(g.Notify.Fault), Stop: command(g.Notify.Stop),
			Any: command(g.Notify.Any)}})
	}
	return w, nil
}

func wantedRouter(in *config.VRRPInstance) vrrp.RouterSpec {
	spec := vrrp.RouterSpec{
		Config: vrrp.Config{
			Name: in.Name, Interface: in.Interface, VRID: in.VirtualRouterID, Family: uint8(in.Family), Version: in.Version, Priority: in.Priority,
			AdvertInterval: in.AdvertInt, DownTimerAdverts: in.DownTimerAdverts, Preempt: in.Preempt, PreemptDelay: in.PreemptDelay, LatePriority: uint8(in.TimerExpiredBackup),
			Group: in.McastDstIP, Peers: peers(in.UnicastPeer), UnicastTTL: in.UnicastTTL, CheckUnicastSource: in.CheckUnicastSrc,
			OldChecksum: oldChecksum(in.OldUnicastChecksum), SkipCheckAdvAddr: in.SkipCheckAdvAddr,
			OwnerIgnoreAdverts: in.OwnerIgnoreAdverts,
			LowerPrioNoAdvert:  in.LowerPrioNoAdvert, HigherPrioSendAdvert: in.HigherPrioSendAdvert,
			Announce: vrrp.Announcing{
				MasterRepeat: in.GARPMasterRepeat, MasterDelay: in.GARPMasterDelay, Refresh: in.GARPMasterRefresh, RefreshRepeat: in.GARPMasterRefreshRepeat,
				LowerPrioDelay: in.GARPLowerPrioDelay, LowerPrioRepeat: in.GARPLowerPrioRepeat,
			},
		},
		Owned:        append(addresses(in.VirtualIPAddress), addresses(in.VirtualIPAddressExcluded)...),
		Source:       source(in),
		TrackPrimary: !in.DontTrackPrimary,
		TrackSource:  in.TrackSrcIP, NoPeer: in.UnicastFaultNoPeer && len(in.UnicastPeer) == 0,
		TrackInterfaces: tracks(in.TrackInterface), TrackScripts: tracks(in.TrackScript),
		TrackFiles: tracks(in.TrackFile), TrackProcesses: tracks(in.TrackProcess), TrackBFDs: tracks(in.TrackBFD),
		NotifyPriority:    in.NotifyPriorityChanges,
		VRF:               vrfOf(in),
		AnnounceElsewhere: vrrp.AnnounceElsewhere{Every: in.GARPExtraIf, All: in.GARPExtraIfAll},
		NoAccept:          !in.Accept, PromoteSecondaries: in.PromoteSecondaries,
		Notify: vrrp.NotifyScripts{Master: command(in.Notify.Master), Backup: command(in.Notify.Backup), Fault: command(in.Notify.Fault),
			Stop: command(in.Notify.Stop), Any: command(in.Notify.Any), MasterRxLowerPri: command(in.NotifyMasterRXLowerPri),
			Deleted: command(in.NotifyDeleted), ReportDeleted: in.NotifyDeletedState},
	}
	switch in.Authentication.Type {
	case "PASS":
		spec.Config.AuthType = vrrp.AuthPass
	case "AH":
		spec.Config.AuthType = vrrp.AuthAH
	}
	spec.Config.AuthData = vrrp.Password(in.Authentication.Pass)
	if in.V3ChecksumAsV2 {
		spec.Config.Checksum = vrrp.MessageOnly
	}
	for _, a := range in.VirtualIPAddress {
		spec.Config.Addresses = append(spec.Config.Addresses, a.Prefix.Addr())
	}
	return spec
}

// vrfOf is the VRF of an instance that has no interface.
func vrfOf(in *config.VRRPInstance) string {
	if in.Interface != "" {
		return ""
	}
	return in.VRF
}

// source is the configured address that adverts leave from; invalid: the
// interface's.
func source(in *config.VRRPInstance) netip.Addr {
	if len(in.UnicastPeer) > 0 {
		return in.UnicastSrcIP
	}
	return in.McastSrcIP
}
