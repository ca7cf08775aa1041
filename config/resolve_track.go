package config

import (
	"slices"
)

// resolveTracks fills in the weights of references and drops those to things
// that do not exist.
func (b *binder) resolveTracks() {
	live := map[trackKey]any{}
	b.live = live
	for _, s := range b.cfg.VRRPScripts {
		live[trackKey{"script", s.Name}] = s
	}
	for _, f := range b.cfg.TrackFiles {
		live[trackKey{"file", f.Name}] = f
	}
	for _, p := range b.cfg.TrackProcesses {
		live[trackKey{"process", p.Name}] = p
	}
	for _, d := range b.cfg.BFDInstances {
		live[trackKey{"bfd", d.Name}] = d
	}
	for _, t := range b.pending {
		key := trackKey{t.kind, t.track.Name}
		target := live[key]
		switch {
		case t.kind == "interface" && b.ownInterface(t):
			continue
		case t.kind == "interface":
		case target == nil && b.defined[key] != nil:
			b.add(t.track.Pos, t.from, Warning, t.word, "%q is disabled, so %q is not tracked", printable(t.track.Name), printable(t.owner))
			continue
		case target == nil:
			b.add(t.track.Pos, t.from, Warning, t.word, "there is no %s called %q; it is not tracked", trackNoun[t.kind], printable(t.track.Name))
			continue
		case t.forward:
			b.add(t.track.Pos, t.from, Warning, t.word, "%q is defined below its use; keepalived would not track it, here it is tracked", printable(t.track.Name))
		}
		if d, ok := target.(*BFDInstance); ok && !d.VRRP {
			b.add(t.track.Pos, t.from, Warning, t.word, "bfd_instance %q is for checkers only; it is not tracked", printable(d.Name))
			continue
		}
		if !t.weight {
			t.track.Weight, t.track.Reverse = weightOf(target)
		}
		*t.list = append(*t.list, t.track)
	}
}

// ownInterface: an instance follows its own interface anyway.
func (b *binder) ownInterface(t pendingTrack) bool {
	v := b.instances[t.owner]
	if t.word != "track_interface" || v == nil || t.list != &v.TrackInterface || v.Interface != t.track.Name || v.DontTrackPrimary {
		return false
	}
	b.add(t.track.Pos, t.from, Warning, t.word, "%q is the instance's own interface, which it follows anyway; the line is ignored", printable(t.track.Name))
	return true
}

var trackNoun = map[string]string{"script": "vrrp_script", "file": "track_file", "process": "vrrp_track_process", "bfd": "bfd_instance"}

func weightOf(target any) (int, bool) {
	switch o := target.(type) {
	case *VRRPScript:
		return o.Weight, o.Reverse
	case *TrackFile:
		return o.Weight, o.Reverse
	case *TrackProcess:
		return o.Weight, o.Reverse
	case *BFDInstance:
		return o.Weight, o.Reverse
	}
	return 0, false
}

// resolveGroups keeps in groups only the instances that exist.
func (b *binder) resolveGroups() {
	keep := func(pos Pos, word, group string, names []string) []string {
		return slices.DeleteFunc(names, func(n string) bool {
			if b.instances[n] == nil {
				b.add(pos, nil, Warning, word, "%q has the member %q, but there is no such vrrp_instance; it is left out", printable(group), printable(n))
			}
			return b.instances[n] == nil
		})
	}
	g := &b.cfg.Global
	for _, s := range b.cfg.VRRPSyncGroups {
		s.Group = keep(b.where(s, "group", s.Pos), "vrrp_sync_group", s.Name, s.Group)
		if !b.had(s, "vrrp_sync_group", "smtp_alert") {
			s.SMTPAlert = alert(g.SMTPAlertVRRP, g.SMTPAlert, false)
		}
		if !b.had(s, "vrrp_sync_group", "notify_priority_changes") {
			s.NotifyPriorityChanges = g.VRRPNotifyPriorityChanges
		}
	}
	b.cfg.VRRPSyncGroups = slices.DeleteFunc(b.cfg.VRRPSyncGroups, func(s *VRRPSyncGroup) bool {
		if len(s.Group) == 0 {
			b.add(s.Pos, b.fromOf(s), Warning, "vrrp_sync_group", "%q has no members; it is removed", printable(s.Name))
		}
		return len(s.Group) == 0
	})
	for _, t := range b.cfg.TrackGroups {
		t.Group = keep(t.Pos, "track_group", t.Name, t.Group)
	}
	for _, p := range b.cfg.GARPGroups {
		if !b.had(p, "garp_group", "garp_interval") {
			p.GARPInterval = g.VRRPGARPInterval
		}
		if !b.had(p, "garp_group", "gna_interval") {
			p.GNAInterval = g.VRRPGNAInterval
		}
	}
}
