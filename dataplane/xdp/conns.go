package xdp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// Connection is one entry of the connection table, in host byte order.
type Connection struct {
	Client  netip.AddrPort
	Service dataplane.Key
	// Port is the service's port that the client named; Service.Port is 0 for a
	// service on every port.
	Port   uint16
	Real   dataplane.RealKey
	State  string        // "new", "established", "closing" or "closed"
	Active bool          // counted as active, not inactive, as IPVS divides them
	Idle   time.Duration // since the last packet, to about a tenth of a second
}

// connsBatch is how many buckets are read under one hold of the lock.
const connsBatch = 4096

// states are those of enum conn_stage in bpf/conn.h, for people.
var states = [bpfConnStageSTAGES]string{
	bpfConnStageTCP_NEW: "new", bpfConnStageTCP_ESTABLISHED: "established", bpfConnStageTCP_FIN: "closing", bpfConnStageTCP_CLOSED: "closed",
	bpfConnStageUDP_NEW: "new", bpfConnStageUDP_ESTABLISHED: "established",
	bpfConnStageSCTP_NEW: "new", bpfConnStageSCTP_ESTABLISHED: "established", bpfConnStageSCTP_CLOSING: "closing",
}

// activeStage is is_active of bpf/conn.h.
func activeStage(s bpfConnStage) bool {
	return s <= bpfConnStageTCP_ESTABLISHED || s == bpfConnStageSCTP_NEW || s == bpfConnStageSCTP_ESTABLISHED
}

// Connections gives every connection that the table has for a present real
// server, in no order, until yield says false, ctx ends or an error comes. The
// table lives on meanwhile: it is no snapshot, and the client of an entry that
// is taken anew while it is read may be the one before. The engine is held up
// only for the reading of a few thousand entries at a time, never in yield.
func (e *Engine) Connections(ctx context.Context, yield func(Connection) bool) error {
	w := connWalk{
		indexes: make([]uint32, connsBatch), conns: make([]bpfConnBucket, connsBatch), peers: make([]bpfPeerBucket, connsBatch),
	}
	for !w.done {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, err := e.connectionsBatch(&w)
		if err != nil {
			return err
		}
		for _, c := range found {
			if !yield(c) {
				return nil
			}
		}
	}
	return nil
}

// connWalk is how far a walk of the table came, and its buffers.
type connWalk struct {
	indexes          []uint32
	conns            []bpfConnBucket
	peers            []bpfPeerBucket
	atConns, atPeers ebpf.MapBatchCursor
	done             bool
	found            []Connection
}

func (e *Engine) connectionsBatch(w *connWalk) ([]Connection, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	n, err := e.objs.Conns.BatchLookup(&w.atConns, w.indexes, w.conns, nil)
	w.done = errors.Is(err, ebpf.ErrKeyNotExist)
	if err != nil && !w.done {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	m, err := e.objs.Peers.BatchLookup(&w.atPeers, w.indexes, w.peers, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read clients of connections: %w", err)
	}
	if m != n {
		return nil, fmt.Errorf("read clients of connections: %d buckets for %d of connections", m, n)
	}
	now, err := e.clock.now()
	if err != nil {
		return nil, err
	}
	keys := make(map[uint32]dataplane.Key, len(e.tables.services))
	for k, s := range e.tables.services {
		keys[s.id] = k
	}
	w.found = w.found[:0]
	for i := range n {
		for j, c := range w.conns[i].Way {
			if c.Sig == 0 {
				continue
			}
			r, ok := e.tables.reals[c.Word>>4&0xfffff]
			key, served := keys[r.Service]
			if stage := bpfConnStage(c.Word & 15); ok && served && r.Tag == c.Word>>4 && stage < bpfConnStageSTAGES {
				p := w.peers[i].Way[j]
				w.found = append(w.found, Connection{
					Client: netip.AddrPortFrom(wordsAddr(p.Src), swap16(p.Sport)), Service: key, Port: swap16(p.Dport), Real: realKey(r),
					State: states[stage], Active: activeStage(stage), Idle: e.clock.idle(now, c.Seen),
				})
			}
		}
	}
	return w.found, nil
}

// idle is the time from seen to now, both in ticks. Another CPU's clock may have
// put seen just ahead of now.
func (c *tickClock) idle(now, seen uint32) time.Duration {
	return time.Duration(max(0, int32(now-seen))) * c.tick
}
