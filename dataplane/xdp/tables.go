package xdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// service is what is known of one entry of the services map.
type service struct {
	id    uint32
	ring  span
	reals map[dataplane.RealKey]uint32 // index in the reals map
	holds dataplane.VirtualService
	slots []bpfSlot // the ring as it was written, to tell an equal one
	// drainEnds is when moved slots forget the server before; zero: nothing drains.
	drainEnds time.Time
}

// tables is the content of the pinned maps, and the only writer of all but the
// counters and connections. The maps are the truth: load reads everything back.
type tables struct {
	maps     *bpfMaps
	clock    *tickClock
	drain    time.Duration // how long flows without memory stay with the server before
	services map[dataplane.Key]*service
	reals    map[uint32]bpfReal
	tags     map[uint32]uint32        // of entries that were used once
	replies  map[bpfServiceKey]uint32 // first of the chain of bpfReal.Next
	ids      *numbers                 // of services
	indexes  *numbers                 // of reals
	slots    *spans
	fresh    []uint32  // reals whose next hop was never looked for
	quitting []quitter // reals that left, to be freed with the next change
	setting  bpfSettingSet
	ways     [maxWays]bpfWay
	served   servedSet
}

// quitter is a real server that left its service.
type quitter struct {
	index   uint32
	service uint32
}

func newTables(m *bpfMaps, clock *tickClock) *tables {
	return &tables{
		maps: m, clock: clock, drain: timeoutTCP, services: map[dataplane.Key]*service{}, reals: map[uint32]bpfReal{},
		tags: map[uint32]uint32{}, replies: map[bpfServiceKey]uint32{},
		ids: newNumbers(int(m.Services.MaxEntries()), "virtual services"), indexes: newNumbers(int(m.Reals.MaxEntries()), "real servers"),
		slots: newSpans(m.Slots.MaxEntries()),
	}
}

// load reads what an earlier daemon left in the maps.
func (t *tables) load() error {
	byID := map[uint32]*service{}
	var key bpfServiceKey
	var val bpfService
	for it := t.maps.Services.Iterate(); it.Next(&key, &val); {
		k := unmapKey(key)
		s := &service{id: val.Id, ring: span{val.RingBase, val.RingLen}, reals: map[dataplane.RealKey]uint32{}, holds: unmapService(k, val)}
		if int(s.id) >= len(t.ids.used) || t.ids.used[s.id] || byID[s.id] != nil {
			return fmt.Errorf("service %s has the number %d of another", k, s.id)
		}
		t.ids.mark(s.id)
		if err := t.slots.mark(s.ring); err != nil {
			return err
		}
		byID[s.id], t.services[k] = s, s
	}
	if err := t.loadReals(byID); err != nil {
		return err
	}
	var first uint32
	for it := t.maps.Replies.Iterate(); it.Next(&key, &first); {
		t.replies[key] = first
	}
	for i := range t.ways {
		if err := t.maps.Ways.Lookup(uint32(i), &t.ways[i]); err != nil {
			return fmt.Errorf("read routes: %w", err)
		}
	}
	if err := t.maps.Settings.Lookup(uint32(0), &t.setting); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if err := t.maps.Served.Lookup(uint32(0), &t.served); err != nil {
		return fmt.Errorf("read set of served addresses: %w", err)
	}
	if err := t.serve(nil); err != nil { // an earlier version had no such set
		return err
	}
	for _, s := range t.services {
		slices.SortFunc(s.holds.RealServers, func(a, b dataplane.RealServer) int {
			return int(t.reals[s.reals[a.Key()]].Order) - int(t.reals[s.reals[b.Key()]].Order)
		})
		if err := t.loadRing(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *tables) loadRing(s *service) error {
	for i := range s.ring.len {
		var slot bpfSlot
		if err := t.maps.Slots.Lookup(s.ring.base+i, &slot); err != nil {
			return fmt.Errorf("read ring of %s: %w", s.holds.Key, err)
		}
		s.slots = append(s.slots, slot)
		if slot.Before != noReal {
			s.drainEnds = time.Now().Add(t.drain)
		}
	}
	return nil
}

func (t *tables) loadReals(byID map[uint32]*service) error {
	const batch = 4096
	indexes, values := make([]uint32, batch), make([]bpfReal, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.maps.Reals.BatchLookup(&cursor, indexes, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read table of real servers: %w", err)
		}
		for i := range n {
			t.adopt(indexes[i], values[i], byID)
		}
		if err != nil {
			return nil
		}
	}
}

func (t *tables) adopt(index uint32, r bpfReal, byID map[uint32]*service) {
	if r.Tag != 0 {
		t.tags[index] = r.Tag
	}
	if r.Flags&uint32(bpfRealFlagsREAL_USED) == 0 {
		return
	}
	s := byID[r.Service]
	if s == nil { // left between two writes of a daemon that died
		t.indexes.mark(index)
		t.quitting = append(t.quitting, quitter{index, r.Service})
		return
	}
	t.indexes.mark(index)
	t.reals[index] = r
	s.reals[realKey(r)] = index
	s.holds.RealServers = append(s.holds.RealServers, unmapReal(r))
}

// apply makes the maps hold exactly want. It goes on after an error with the
// other services and gives all errors; it may be called again.
func (t *tables) apply(want []dataplane.VirtualService) (changed int, err error) {
	var errs []error
	keep := make(map[dataplane.Key]bool, len(want))
	for _, svc := range want {
		keep[svc.Key] = true
	}
	t.slots.recycle()
	errs = append(errs, t.forget(), t.serve(want))
	for key, s := range t.services {
		if !keep[key] {
			errs = append(errs, t.remove(key, s))
			changed++
		}
	}
	for _, svc := range want {
		s := t.services[svc.Key]
		if s != nil && equal(s.holds, svc) {
			continue
		}
		changed++
		if err := t.set(s, svc); err != nil {
			errs = append(errs, fmt.Errorf("set service %s: %w", svc.Key, err))
		}
	}
	if changed > 0 {
		errs = append(errs, t.setReplies(), t.setSettings(), t.serve(nil))
	}
	return changed, errors.Join(errs...)
}

func equal(a, b dataplane.VirtualService) bool {
	same := slices.Equal(a.RealServers, b.RealServers)
	a.RealServers, b.RealServers = nil, nil
	return same && a.Key == b.Key && a.Active == b.Active && a.Scheduler == b.Scheduler && a.Flags == b.Flags &&
		a.Persistence == b.Persistence && prefix(a) == prefix(b) && a.OnePacket == b.OnePacket && a.NewConnections == b.NewConnections
}

// set writes one service: servers first, then the new ring aside, then the one
// write that makes packets use it, then what is no longer used.
func (t *tables) set(s *service, svc dataplane.VirtualService) error {
	if s == nil {
		id, err := t.ids.take()
		if err != nil {
			return err
		}
		s = &service{id: id, reals: map[dataplane.RealKey]uint32{}}
		if err := errors.Join(t.maps.ServiceStats.Put(id, bpfCounters{}), t.maps.Cursors.Put(id, bpfCursor{})); err != nil {
			t.ids.free(id)
			return fmt.Errorf("clear counters: %w", err)
		}
	}
	s.holds.Key = bad // whatever fails below, the next apply tries again
	t.services[svc.Key] = s
	if err := t.setReals(s, svc); err != nil {
		return err
	}
	if err := t.setRing(s, svc); err != nil {
		return err
	}
	if err := t.dropReals(s, svc.RealServers); err != nil {
		return err
	}
	s.holds = svc
	s.holds.RealServers = slices.Clone(svc.RealServers)
	return nil
}

// bad is a key that no service has.
var bad = dataplane.Key{FWMark: ^uint32(0)}

func (t *tables) setRing(s *service, svc dataplane.VirtualService) error {
	slots := t.makeSlots(s, svc)
	old := s.ring
	if !slices.Equal(slots, s.slots) {
		fresh, err := t.slots.take(uint32(len(slots)))
		if err != nil {
			return err
		}
		if err := t.writeSlots(fresh, slots); err != nil {
			t.slots.retire(fresh)
			return err
		}
		s.ring, s.slots = fresh, slots
	}
	val := t.mapService(svc)
	val.Id, val.RingBase, val.RingLen = s.id, s.ring.base, s.ring.len
	if err := t.maps.Services.Put(mapKey(svc.Key), val); err != nil {
		return fmt.Errorf("write service: %w", err)
	}
	if old != s.ring {
		t.slots.retire(old)
	}
	return nil
}

// makeSlots builds the ring. A service without memory of its flows keeps in
// each slot that moves what it had before.
func (t *tables) makeSlots(s *service, svc dataplane.VirtualService) []bpfSlot {
	order := disciplines[svc.Scheduler].ring(svc.RealServers, svc.Flags&dataplane.SchedFlag1 != 0)
	slots := make([]bpfSlot, len(order))
	kept := stateless(svc) && len(s.slots) == len(order)
	wanted := make(map[uint32]bool, len(svc.RealServers))
	for _, r := range svc.RealServers {
		wanted[s.reals[r.Key()]] = true
	}
	for i, server := range order {
		slots[i] = bpfSlot{Real: noReal, Before: noReal}
		if server != nobody {
			slots[i].Real = s.reals[svc.RealServers[server].Key()]
		}
		if kept {
			slots[i].Before = before(s.slots[i], slots[i].Real, wanted)
		}
		if slots[i].Before != noReal && slots[i].Before != slotSettled {
			s.drainEnds = time.Now().Add(t.drain)
		}
	}
	return slots
}

// NO_REAL and SLOT_SETTLED of bpf/types.h.
const (
	noReal      = ^uint32(0)
	slotSettled = ^uint32(1)
)

// before tells what a slot that gets real should remember. The oldest server that
// still serves counts: what came after it was remembered flow by flow.
func before(old bpfSlot, real uint32, alive map[uint32]bool) uint32 {
	prev := old.Real
	if old.Before != noReal && old.Before != slotSettled {
		prev = old.Before
	}
	switch {
	case old.Before == noReal && prev == real:
		return noReal
	case prev != noReal && alive[prev]:
		return prev // also when it comes back: flows of the one between are remembered
	case old.Before == noReal:
		return noReal // nobody is left to whom older flows could go
	}
	return slotSettled
}

func (t *tables) writeSlots(s span, slots []bpfSlot) error {
	if len(slots) == 0 {
		return nil
	}
	indexes := make([]uint32, len(slots))
	for i := range indexes {
		indexes[i] = s.base + uint32(i)
	}
	if _, err := t.maps.Slots.BatchUpdate(indexes, slots, nil); err != nil {
		return fmt.Errorf("write ring: %w", err)
	}
	return nil
}

func (t *tables) remove(key dataplane.Key, s *service) error {
	if err := t.maps.Services.Delete(mapKey(key)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove service %s: %w", key, err)
	}
	t.slots.retire(s.ring)
	err := t.dropReals(s, nil)
	t.ids.free(s.id)
	delete(t.services, key)
	return err
}

// list gives the services as they are in the maps.
func (t *tables) list() []dataplane.VirtualService {
	out := make([]dataplane.VirtualService, 0, len(t.services))
	for _, s := range t.services {
		if s.holds.Key == bad {
			continue
		}
		svc := s.holds
		svc.RealServers = slices.Clone(svc.RealServers)
		out = append(out, svc)
	}
	slices.SortFunc(out, func(a, b dataplane.VirtualService) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return out
}
