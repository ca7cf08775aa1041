package director

import (
	"slices"

	"github.com/xvip-lb/xvip/config"
)

// Notices gives the scripts that a change of decision starts, in order: servers
// first, as keepalived has it, then the quorum. What the old decision does not
// have was as it begins, up unless a checker has alpha: its first probe may have
// come before the first decision. What has gone is no change.
func Notices(old, now Decision) []*config.Script {
	before := make(map[string]Virtual, len(old.Virtual))
	for _, v := range old.Virtual {
		before[v.Name] = v
	}
	var out []*config.Script
	add := func(s *config.Script) {
		if s != nil {
			out = append(out, s)
		}
	}
	for _, v := range now.Virtual {
		was, known := before[v.Name]
		if !known {
			was = beginning(v)
		}
		up := make(map[string]bool, len(was.Real))
		for _, r := range was.Real {
			up[serverName(r.Config)] = r.Up
		}
		for _, r := range v.Real {
			wasUp, known := up[serverName(r.Config)]
			if !known {
				wasUp = beginsUp(r.Config)
			}
			switch {
			case wasUp == r.Up:
			case r.Up:
				add(r.Config.NotifyUp)
			default:
				add(r.Config.NotifyDown)
			}
		}
		switch {
		case was.QuorumUp == v.QuorumUp:
		case v.QuorumUp:
			add(v.Config.QuorumUp)
		default:
			add(v.Config.QuorumDown)
		}
	}
	return out
}

// beginning is how a service begins, before any probe.
func beginning(v Virtual) Virtual {
	was := v
	was.Real = nil
	for _, r := range v.Real {
		r.Up = beginsUp(r.Config)
		r.Weight = uint32(max(0, r.Config.Weight))
		was.Real = append(was.Real, r)
	}
	was.QuorumUp = quorum(v.Config, was.Real, false, false)
	return was
}

func beginsUp(rs *config.RealServer) bool {
	return !slices.ContainsFunc(rs.Checkers, func(c *config.Checker) bool { return c.Alpha })
}

// LastNotices gives the scripts of a clean stop: with omega, every server that
// is up goes down, and so does the quorum.
func LastNotices(now Decision) []*config.Script {
	var out []*config.Script
	for _, v := range now.Virtual {
		if !v.Config.Omega {
			continue
		}
		for _, r := range v.Real {
			if r.Up && r.Config.NotifyDown != nil {
				out = append(out, r.Config.NotifyDown)
			}
		}
		if v.QuorumUp && v.Config.QuorumDown != nil {
			out = append(out, v.Config.QuorumDown)
		}
	}
	return out
}
