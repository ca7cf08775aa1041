package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp/bfd"
)

// wantedSessions turns the configuration into what the BFD room runs.
func wantedSessions(cfg *config.Config) []bfd.Config {
	var out []bfd.Config
	for _, d := range cfg.BFDInstances {
		ttl, least := sessionTTL(d)
		out = append(out, bfd.Config{Name: d.Name, Neighbor: d.NeighborIP, Source: d.SourceIP, MinTX: d.MinTX, MinRX: d.MinRX, IdleTX: d.IdleTX,
			Multiplier: d.Multiplier, Passive: d.Passive, TTL: ttl, MinTTL: least, Multihop: d.Multihop})
	}
	return out
}

// sessionTTL is what packets leave with, and what they have to arrive with at
// least: on a single hop no router may have come between (RFC 5881 section 5).
// keepalived sends IPv6 with a hop limit of 64 unless told otherwise, which we
// accept.
func sessionTTL(d *config.BFDInstance) (ttl, least uint8) {
	ttl = 255
	expected := 255
	switch {
	case d.TTL != 0:
		ttl, expected = d.TTL, int(d.TTL)
	case d.NeighborIP.Is6():
		expected = 64
	}
	if d.MaxHops < 0 || d.MaxHops == 255 || d.Multihop && d.MaxHops == 0 {
		return ttl, 0
	}
	return ttl, uint8(max(0, expected-d.MaxHops))
}

// sessionStatus is the state of all sessions.
func sessionStatus(s *bfd.Set) []control.BFDSession {
	out := []control.BFDSession{}
	for _, st := range s.Status() {
		out = append(out, control.BFDSession{Name: st.Name, Neighbor: st.Neighbor.String(), State: st.State.String(), RemoteState: st.RemoteState.String(),
			Diagnostic: st.Diagnostic.String(), Interval: st.Interval.Seconds(), Detection: st.Detection.Seconds(), Transitions: st.Transitions})
	}
	return out
}

// sessionsCollector describes the metrics without a daemon.
func sessionsCollector() prometheus.Collector {
	return bfd.NewCollector(func() []bfd.Status { return nil }, func() map[string]uint64 { return nil })
}
