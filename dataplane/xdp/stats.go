package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// readCounters sums one per-CPU entry.
func readCounters(m *ebpf.Map, index uint32) (sum bpfCounters, err error) {
	var per []bpfCounters
	if err := m.Lookup(index, &per); err != nil {
		return sum, err
	}
	for _, c := range per {
		sum = plus(sum, c)
	}
	return sum, nil
}

func plus(a, b bpfCounters) bpfCounters {
	a.Connections += b.Connections
	a.Packets += b.Packets
	a.Bytes += b.Bytes
	a.PacketsOut += b.PacketsOut
	a.BytesOut += b.BytesOut
	return a
}

func public(c bpfCounters) dataplane.Counters {
	return dataplane.Counters{Connections: c.Connections, PacketsIn: c.Packets, BytesIn: c.Bytes, PacketsOut: c.PacketsOut, BytesOut: c.BytesOut}
}

// verdictName gives the name in status and metrics, such as "forward_tx".
func verdictName(v bpfVerdict) string { return verdictNames[v] }

// verdictNames are those of enum verdict in bpf/verdict.h; a test compares.
var verdictNames = [bpfVerdictVERDICTS]string{
	bpfVerdictPASS_NOT_IP: "pass_not_ip", bpfVerdictPASS_NOT_SERVICE: "pass_not_service", bpfVerdictPASS_FRAGMENT: "pass_fragment",
	bpfVerdictPASS_INACTIVE: "pass_inactive", bpfVerdictPASS_NO_CONNECTION: "pass_no_connection", bpfVerdictPASS_NO_SERVER: "pass_no_server",
	bpfVerdictPASS_LOCAL: "pass_local", bpfVerdictFORWARD_TX: "forward_tx", bpfVerdictFORWARD_REDIRECT: "forward_redirect",
	bpfVerdictANSWER_TOO_BIG: "answer_too_big", bpfVerdictDROP_MALFORMED: "drop_malformed", bpfVerdictDROP_MARTIAN: "drop_martian",
	bpfVerdictDROP_TTL: "drop_ttl", bpfVerdictDROP_NO_NEXT_HOP: "drop_no_next_hop", bpfVerdictDROP_NO_ROUTE: "drop_no_route",
	bpfVerdictDROP_TOO_BIG: "drop_too_big", bpfVerdictDROP_LIMIT: "drop_limit",
}

// stats reads all counters. A service counts what its servers count, and what
// those counted that have left; so a packet is counted once.
func (t *tables) stats() (dataplane.Stats, error) {
	out := dataplane.Stats{Services: map[dataplane.Key]dataplane.ServiceStats{}}
	var errs []error
	left, err := t.leaving()
	errs = append(errs, err)
	var held uint64
	for key, s := range t.services {
		var sum bpfCounters
		var c bpfCursor
		errs = append(errs, t.maps.ServiceStats.Lookup(s.id, &sum), t.maps.Cursors.Lookup(s.id, &c))
		sum = plus(sum, left[s.id])
		st := dataplane.ServiceStats{Refused: c.Refused, RealServers: make(map[dataplane.RealKey]dataplane.RealStats, len(s.reals))}
		for rk, index := range s.reals {
			c, err := readCounters(t.maps.RealStats, index)
			var l bpfLoad
			errs = append(errs, err, t.maps.Loads.Lookup(index, &l))
			sum = plus(sum, c)
			held += uint64(l.Active) + uint64(l.Inactive)
			st.RealServers[rk] = dataplane.RealStats{Counters: public(c), Active: uint64(l.Active), Inactive: uint64(l.Inactive), NextHop: nextHopWord(t.reals[index].Flags)}
		}
		st.Counters = public(sum)
		out.Services[key] = st
	}
	for v := bpfVerdict(0); v < bpfVerdictVERDICTS; v++ {
		c, err := readCounters(t.maps.Verdicts, uint32(v))
		errs = append(errs, err)
		out.Verdicts = append(out.Verdicts, dataplane.VerdictCount{Name: verdictName(v), Packets: c.Packets, Bytes: c.Bytes})
	}
	out.Maps = []dataplane.MapFill{
		{Name: "services", Used: uint64(len(t.services)), Size: uint64(t.maps.Services.MaxEntries())},
		{Name: "real_servers", Used: uint64(len(t.reals)), Size: uint64(t.maps.Reals.MaxEntries())},
		{Name: "ring_slots", Used: uint64(t.slots.used()), Size: uint64(t.maps.Slots.MaxEntries())},
		{Name: "connections", Used: held, Size: uint64(t.maps.Conns.MaxEntries()) * uint64(len(bpfConnBucket{}.Way))},
	}
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("read counters of the XDP engine: %w", err)
	}
	return out, nil
}

// leaving reads the counters of servers that left but are not folded yet, by
// number of the service.
func (t *tables) leaving() (map[uint32]bpfCounters, error) {
	sums := map[uint32]bpfCounters{}
	var errs []error
	for _, q := range t.quitting {
		c, err := readCounters(t.maps.RealStats, q.index)
		errs = append(errs, err)
		sums[q.service] = plus(sums[q.service], c)
	}
	return sums, errors.Join(errs...)
}

func nextHopWord(flags uint32) string {
	switch {
	case flags&uint32(bpfRealFlagsREAL_LOCAL) != 0:
		return "local"
	case flags&uint32(bpfRealFlagsREAL_RESOLVED) != 0:
		return "resolved"
	}
	return "unresolved"
}
