package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// service is what is known of one entry of the services map.
type service struct {
	id     uint32
	ring   span
	reals  map[dataplane.RealKey]uint32 // index in the reals map
	holds  dataplane.VirtualService
	server []uint32 // the ring as it was written, to tell an equal one
}

// tables is the content of the pinned maps, and the only writer of all but the
// counters and connections. The maps are the truth: load reads everything back.
type tables struct {
	maps     *bpfMaps
	services map[dataplane.Key]*service
	reals    map[uint32]bpfReal
	ids      *numbers // of services
	indexes  *numbers // of reals
	slots    *spans
	quitting []uint32 // reals that left, to be freed with the next change
}

func newTables(m *bpfMaps) *tables {
	return &tables{
		maps: m, services: map[dataplane.Key]*service{}, reals: map[uint32]bpfReal{},
		ids: newNumbers(int(m.Services.MaxEntries()), "virtual services"), indexes: newNumbers(int(m.Reals.MaxEntries()), "real servers"),
		slots: newSpans(m.Slots.MaxEntries()),
	}
}

func mapKey(k dataplane.Key) bpfServiceKey {
	return bpfServiceKey{Addr: addrWord(k.Address), Port: swap16(k.Port), Proto: uint8(k.Protocol)}
}

func unmapKey(k bpfServiceKey) dataplane.Key {
	return dataplane.Key{Address: wordAddr(k.Addr), Port: swap16(k.Port), Protocol: dataplane.Protocol(k.Proto)}
}

// addrWord gives an IPv4 address as the network-order word it is in a packet,
// read by this little-endian machine.
func addrWord(a netip.Addr) uint32 {
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

func wordAddr(w uint32) netip.Addr {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], w)
	return netip.AddrFrom4(b)
}

func swap16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func realKey(r bpfReal) dataplane.RealKey {
	return dataplane.RealKey{Address: wordAddr(r.Addr), Port: swap16(r.Port)}
}

// load reads what an earlier daemon left in the maps.
func (t *tables) load() error {
	byID := map[uint32]*service{}
	var key bpfServiceKey
	var val bpfService
	for it := t.maps.Services.Iterate(); it.Next(&key, &val); {
		k := unmapKey(key)
		s := &service{id: val.Id, ring: span{val.RingBase, val.RingLen}, reals: map[dataplane.RealKey]uint32{}}
		s.holds = dataplane.VirtualService{Key: k, Active: val.Flags&uint32(bpfServiceFlagsSERVICE_ACTIVE) != 0,
			Scheduler: dataplane.Scheduler(strings.TrimRight(string(val.Scheduler[:]), "\x00"))}
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
	for _, s := range t.services {
		slices.SortFunc(s.holds.RealServers, func(a, b dataplane.RealServer) int {
			return int(t.reals[s.reals[a.Key()]].Order) - int(t.reals[s.reals[b.Key()]].Order)
		})
		for i := range s.ring.len {
			var index uint32
			if err := t.maps.Slots.Lookup(s.ring.base+i, &index); err != nil {
				return fmt.Errorf("read ring of %s: %w", s.holds.Key, err)
			}
			s.server = append(s.server, index)
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
	if r.Flags&uint32(bpfRealFlagsREAL_USED) == 0 {
		return
	}
	s := byID[r.Service]
	if s == nil { // left between two writes of a daemon that died
		t.indexes.mark(index)
		t.quitting = append(t.quitting, index)
		return
	}
	t.indexes.mark(index)
	t.reals[index] = r
	s.reals[realKey(r)] = index
	s.holds.RealServers = append(s.holds.RealServers, dataplane.RealServer{
		Address: wordAddr(r.Addr), Port: swap16(r.Port), Method: dataplane.Method(r.Method), Weight: r.Weight})
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
	t.forget()
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
	return changed, errors.Join(errs...)
}

func equal(a, b dataplane.VirtualService) bool {
	same := slices.Equal(a.RealServers, b.RealServers)
	a.RealServers, b.RealServers = nil, nil
	return same && a.Key == b.Key && a.Active == b.Active && a.Scheduler == b.Scheduler
}

// forget frees the entries of servers that left in an earlier change.
func (t *tables) forget() {
	for _, i := range t.quitting {
		t.indexes.free(i)
	}
	t.quitting = nil
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
		if err := errors.Join(clearCounters(t.maps.ServiceStats, id), t.maps.Cursors.Put(id, bpfCursor{})); err != nil {
			t.ids.free(id)
			return fmt.Errorf("clear counters: %w", err)
		}
	}
	s.holds.Key = bad // whatever fails below, the next apply tries again
	t.services[svc.Key] = s
	if err := t.setReals(s, svc.RealServers); err != nil {
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

func (t *tables) setReals(s *service, servers []dataplane.RealServer) error {
	for order, rs := range servers {
		index, ok := s.reals[rs.Key()]
		if !ok {
			var err error
			if index, err = t.indexes.take(); err != nil {
				return err
			}
			if err := clearCounters(t.maps.RealStats, index); err != nil {
				t.indexes.free(index)
				return fmt.Errorf("clear counters of %s: %w", rs.Key(), err)
			}
			s.reals[rs.Key()] = index
		}
		r := t.reals[index] // keeps a next hop that is known
		now := r
		now.Addr, now.Port, now.Method = addrWord(rs.Address), swap16(rs.Port), uint8(rs.Method)
		now.Weight, now.Service, now.Order = rs.Weight, s.id, uint32(order)
		now.Flags |= uint32(bpfRealFlagsREAL_USED)
		if err := t.putReal(index, now); err != nil {
			return err
		}
	}
	return nil
}

// putReal writes an entry if it differs.
func (t *tables) putReal(index uint32, r bpfReal) error {
	if old, ok := t.reals[index]; ok && old == r {
		return nil
	}
	if err := t.maps.Reals.Put(index, r); err != nil {
		return fmt.Errorf("write real server %s: %w", realKey(r), err)
	}
	t.reals[index] = r
	return nil
}

func (t *tables) setRing(s *service, svc dataplane.VirtualService) error {
	var server []uint32
	for _, i := range ring(svc.Scheduler, svc.RealServers) {
		server = append(server, s.reals[svc.RealServers[i].Key()])
	}
	old := s.ring
	if !slices.Equal(server, s.server) {
		fresh, err := t.slots.take(uint32(len(server)))
		if err != nil {
			return err
		}
		if err := t.writeSlots(fresh, server); err != nil {
			t.slots.retire(fresh)
			return err
		}
		s.ring, s.server = fresh, server
	}
	val := bpfService{Id: s.id, RingBase: s.ring.base, RingLen: s.ring.len}
	if svc.Active {
		val.Flags = uint32(bpfServiceFlagsSERVICE_ACTIVE)
	}
	copy(val.Scheduler[:], svc.Scheduler)
	if err := t.maps.Services.Put(mapKey(svc.Key), val); err != nil {
		return fmt.Errorf("write service: %w", err)
	}
	if old != s.ring {
		t.slots.retire(old)
	}
	return nil
}

func (t *tables) writeSlots(s span, server []uint32) error {
	for i, index := range server {
		if err := t.maps.Slots.Put(s.base+uint32(i), index); err != nil {
			return fmt.Errorf("write ring: %w", err)
		}
	}
	return nil
}

// dropReals takes out the servers that are not wanted; their connections are
// scheduled anew or reset.
func (t *tables) dropReals(s *service, want []dataplane.RealServer) error {
	keep := make(map[dataplane.RealKey]bool, len(want))
	for _, rs := range want {
		keep[rs.Key()] = true
	}
	for key, index := range s.reals {
		if keep[key] {
			continue
		}
		if err := t.maps.Reals.Put(index, bpfReal{}); err != nil {
			return fmt.Errorf("remove real server %s: %w", key, err)
		}
		delete(t.reals, index)
		delete(s.reals, key)
		t.quitting = append(t.quitting, index)
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

func clearCounters(m *ebpf.Map, index uint32) error {
	return m.Put(index, make([]bpfCounters, ebpf.MustPossibleCPU()))
}
