package daemon

import (
	"slices"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

// wantedTrackers adds everything that virtual routers can track.
func wantedTrackers(cfg *config.Config, w *vrrp.Wanted) {
	for _, s := range cfg.VRRPScripts {
		w.Scripts = append(w.Scripts, vrrp.TrackScript{Name: s.Name, Command: *command(&s.Script), Interval: s.Interval,
			Timeout: s.Timeout, Rise: s.Rise, Fall: s.Fall, InitFail: s.InitFail})
	}
	for _, f := range cfg.TrackFiles {
		w.Files = append(w.Files, vrrp.TrackFile{Name: f.Name, Path: f.File, Init: f.InitFile, InitValue: f.InitValue, Overwrite: f.Overwrite})
	}
	for _, d := range cfg.BFDInstances {
		if d.VRRP {
			w.BFDs = append(w.BFDs, d.Name)
		}
	}
	for _, p := range cfg.TrackProcesses {
		w.Processes = append(w.Processes, vrrp.TrackProcess{Name: p.Name, Process: p.Process, Params: p.Params,
			ParamMatch: vrrp.ParamMatch(p.ParamMatch), FullCommand: p.FullCommand, Quorum: p.Quorum, QuorumMax: p.QuorumMax,
			ForkDelay: p.ForkDelay, TerminateDelay: p.TerminateDelay})
	}
}

func tracks(list []config.Track) []vrrp.TrackRef {
	var out []vrrp.TrackRef
	for _, t := range list {
		out = append(out, vrrp.TrackRef{Name: t.Name, Weight: t.Weight, Reverse: t.Reverse})
	}
	return out
}

// joinGroup adds what a sync group tracks to a member. Weights of the member's
// own trackers do not count, or the members would drift apart, unless the group
// allows it (sync_group_tracking_weight).
func joinGroup(spec *vrrp.RouterSpec, g *config.VRRPSyncGroup) {
	spec.NotifyPriority = spec.NotifyPriority || g.NotifyPriorityChanges
	for _, l := range []struct {
		member *[]vrrp.TrackRef
		group  []config.Track
	}{
		{&spec.TrackInterfaces, g.TrackInterface}, {&spec.TrackScripts, g.TrackScript},
		{&spec.TrackFiles, g.TrackFile}, {&spec.TrackProcesses, g.TrackProcess},
		{&spec.TrackBFDs, g.TrackBFD},
	} {
		if !g.SyncGroupTrackingWeight {
			*l.member = slices.DeleteFunc(*l.member, func(t vrrp.TrackRef) bool { return t.Weight != 0 })
		}
		*l.member = append(*l.member, tracks(l.group)...)
	}
}
