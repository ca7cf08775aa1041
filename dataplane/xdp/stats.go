package xdp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// readCounters sums one per-CPU entry.
func readCounters(m *ebpf.Map, index uint32) (sum bpfCounters, err error) {
	var per []bpfCounters
	if err := m.Lookup(index, &per); err != nil {
		return sum, err
	}
	for _, c := range per {
		sum.Connections += c.Connections
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
	}
	return sum, nil
}

func public(c bpfCounters) dataplane.Counters {
	return dataplane.Counters{Connections: c.Connections, PacketsIn: c.Packets, BytesIn: c.Bytes}
}

// verdictName gives the name in status and metrics, such as "forward_tx".
func verdictName(v bpfVerdict) string {
	return strings.ToLower(strings.TrimPrefix(verdictNames[v], "bpfVerdict"))
}

// verdictNames are those of enum verdict in bpf/verdict.h; a test compares.
var verdictNames = [bpfVerdictVERDICTS]string{
	bpfVerdictPASS_NOT_IP: "pass_not_ip", bpfVerdictPASS_NOT_SERVICE: "pass_not_service", bpfVerdictPASS_FRAGMENT: "pass_fragment",
	bpfVerdictPASS_OPTIONS: "pass_options", bpfVerdictPASS_INACTIVE: "pass_inactive", bpfVerdictPASS_NO_CONNECTION: "pass_no_connection",
	bpfVerdictPASS_NO_SERVER: "pass_no_server", bpfVerdictPASS_LOCAL: "pass_local", bpfVerdictFORWARD_TX: "forward_tx",
	bpfVerdictFORWARD_REDIRECT: "forward_redirect", bpfVerdictDROP_MALFORMED: "drop_malformed", bpfVerdictDROP_NO_NEXT_HOP: "drop_no_next_hop",
}

// stats reads all counters, and counts the connections by looking at each:
// the numbers cannot drift from the table.
func (t *tables) stats() (dataplane.Stats, error) {
	out := dataplane.Stats{Services: map[dataplane.Key]dataplane.ServiceStats{}}
	var errs []error
	active, inactive, used, err := t.countConns()
	errs = append(errs, err)
	for key, s := range t.services {
		c, err := readCounters(t.maps.ServiceStats, s.id)
		errs = append(errs, err)
		st := dataplane.ServiceStats{Counters: public(c), RealServers: map[dataplane.RealKey]dataplane.RealStats{}}
		for rk, index := range s.reals {
			c, err := readCounters(t.maps.RealStats, index)
			errs = append(errs, err)
			st.RealServers[rk] = dataplane.RealStats{Counters: public(c), Active: active[index], Inactive: inactive[index], NextHop: nextHopWord(t.reals[index].Flags)}
		}
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
		{Name: "connections", Used: used, Size: uint64(t.maps.Conns.MaxEntries()) * uint64(len(bpfConnBucket{}.Way))},
	}
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("read counters of the XDP engine: %w", err)
	}
	return out, nil
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

// The layout of a connection's state and its time-outs; see bpf/conn.h.
const (
	connTimeBits = 30
	connTick     = time.Duration(1) << 27
)

// countConns walks the connection table. Entries that have idled longer than
// their time-out are not connections any more, only not yet overwritten.
func (t *tables) countConns() (active, inactive map[uint32]uint64, used uint64, err error) {
	active, inactive = map[uint32]uint64{}, map[uint32]uint64{}
	now, err := connNow()
	if err != nil {
		return active, inactive, 0, err
	}
	const batch = 4096
	keys, buckets := make([]uint32, batch), make([]bpfConnBucket, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.maps.Conns.BatchLookup(&cursor, keys, buckets, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return active, inactive, used, fmt.Errorf("walk connections: %w", err)
		}
		for i := range n {
			for _, c := range buckets[i].Way {
				r, ok := t.reals[c.Real]
				if c.Sig == 0 || !ok || r.Flags&uint32(bpfRealFlagsREAL_USED) == 0 || expired(c.State, now) {
					continue
				}
				used++
				if bpfConnStage(c.State>>connTimeBits) == bpfConnStageCONN_ESTABLISHED {
					active[c.Real]++
				} else {
					inactive[c.Real]++
				}
			}
		}
		if err != nil {
			return active, inactive, used, nil
		}
	}
}

// expired uses the longest time-out of a stage: the table does not say which
// protocol a flow has.
func expired(state, now uint32) bool {
	limit := timeoutTCP
	switch bpfConnStage(state >> connTimeBits) {
	case bpfConnStageCONN_NEW:
		limit = timeoutNew
	case bpfConnStageCONN_CLOSING:
		limit = timeoutFIN
	}
	const mask = 1<<connTimeBits - 1
	return time.Duration((now-state)&mask)*connTick > limit
}

func connNow() (uint32, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read monotonic clock: %w", err)
	}
	return uint32(time.Duration(ts.Nano()) / connTick & (1<<connTimeBits - 1)), nil
}
