package xdp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// A tag is the index of a real server and a generation that changes each time
// the entry is taken (bpf/conn.h).
const (
	indexBits   = 20
	indexMask   = 1<<indexBits - 1
	generations = 1 << 8
)

// nextTag gives the tag of an entry's next life. Never 0.
func nextTag(index, last uint32) uint32 {
	generation := (last>>indexBits + 1) % generations
	if generation == 0 {
		generation = 1
	}
	return generation<<indexBits | index
}

func (t *tables) setReals(s *service, svc dataplane.VirtualService) error {
	for order, rs := range svc.RealServers {
		index, ok := s.reals[rs.Key()]
		if !ok {
			var err error
			if index, err = t.takeReal(rs); err != nil {
				return err
			}
			s.reals[rs.Key()] = index
			t.fresh = append(t.fresh, index)
		}
		now := t.reals[index] // keeps a next hop that is known
		now.Addr, now.Port, now.Method = addrWords(rs.Address), swap16(rs.Port), uint8(rs.Method)
		now.Tunnel, now.TunnelPort = uint8(rs.Tunnel.Type), swap16(rs.Tunnel.Port)
		now.Weight, now.Service, now.Order, now.Tag = rs.Weight, s.id, uint32(order), t.tags[index]
		now.Vaddr, now.Vport, now.Proto = addrWords(svc.Address), swap16(svc.Port), uint8(svc.Protocol)
		now.DiffAddr, now.DiffPort = difference(now.Vaddr, now.Addr), 0
		if now.Port != 0 && now.Vport != 0 {
			now.DiffPort = onesSum(^now.Vport, now.Port)
		}
		if !ok {
			now.Next = noReal
		}
		now.Flags = now.Flags&^uint32(bpfRealFlagsREAL_IPIP4) | uint32(bpfRealFlagsREAL_USED)
		if rs.Method == dataplane.TUN && rs.Tunnel.Type == dataplane.IPIP && rs.Address.Is4() {
			now.Flags |= uint32(bpfRealFlagsREAL_IPIP4)
		}
		if err := t.putReal(index, now); err != nil {
			return err
		}
	}
	return nil
}

// takeReal takes an entry that is free and begins its counters anew.
func (t *tables) takeReal(rs dataplane.RealServer) (uint32, error) {
	index, err := t.indexes.take()
	if err != nil {
		return 0, err
	}
	t.tags[index] = nextTag(index, t.tags[index])
	err = errors.Join(clearCounters(t.maps.RealStats, index), t.maps.Loads.Put(index, bpfLoad{}))
	if err != nil {
		t.indexes.free(index)
		return 0, fmt.Errorf("clear counters of %s: %w", rs.Key(), err)
	}
	return index, nil
}

func clearCounters(m *ebpf.Map, index uint32) error {
	return m.Put(index, make([]bpfCounters, ebpf.MustPossibleCPU()))
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

// dropReals takes out the servers that are not wanted; their connections are
// scheduled anew or reset. The tag stays: it tells whose connections those were.
func (t *tables) dropReals(s *service, want []dataplane.RealServer) error {
	keep := make(map[dataplane.RealKey]bool, len(want))
	for _, rs := range want {
		keep[rs.Key()] = true
	}
	for key, index := range s.reals {
		if keep[key] {
			continue
		}
		if err := t.maps.Reals.Put(index, bpfReal{Tag: t.tags[index], Next: noReal}); err != nil {
			return fmt.Errorf("remove real server %s: %w", key, err)
		}
		delete(t.reals, index)
		delete(s.reals, key)
		t.quitting = append(t.quitting, quitter{index, s.id})
	}
	return nil
}

// forget frees the entries of servers that left in an earlier change, and adds
// what they had counted to their service.
func (t *tables) forget() error {
	var errs []error
	for _, q := range t.quitting {
		errs = append(errs, t.fold(q))
		t.indexes.free(q.index)
	}
	t.quitting = nil
	return errors.Join(errs...)
}

func (t *tables) fold(q quitter) error {
	if !t.ids.used[q.service] {
		return nil
	}
	left, err := readCounters(t.maps.RealStats, q.index)
	if err != nil {
		return fmt.Errorf("read counters of a real server that left: %w", err)
	}
	var sum bpfCounters
	if err := t.maps.ServiceStats.Lookup(q.service, &sum); err != nil {
		return fmt.Errorf("read counters of a service: %w", err)
	}
	return t.maps.ServiceStats.Put(q.service, plus(sum, left))
}

// setReplies brings the table that replies of NAT are looked up in up to date:
// real servers of several services with the same address, port and protocol
// form a chain.
func (t *tables) setReplies() error {
	chains := map[bpfServiceKey][]uint32{}
	for index, r := range t.reals {
		if dataplane.Method(r.Method) == dataplane.NAT {
			k := bpfServiceKey{Addr: r.Addr, Port: r.Port, Proto: r.Proto}
			chains[k] = append(chains[k], index)
		}
	}
	var errs []error
	for k := range t.replies {
		if chains[k] == nil {
			errs = append(errs, t.maps.Replies.Delete(k))
			delete(t.replies, k)
		}
	}
	for k, chain := range chains {
		slices.Sort(chain)
		if len(chain) > maxShared {
			errs = append(errs, fmt.Errorf("real server %s is reached by NAT in %d services; %d can share it", realKey(bpfReal{Addr: k.Addr, Port: k.Port}), len(chain), maxShared))
		}
		for i, index := range chain {
			r := t.reals[index]
			r.Next = noReal
			if i+1 < len(chain) {
				r.Next = chain[i+1]
			}
			errs = append(errs, t.putReal(index, r))
		}
		if first, ok := t.replies[k]; !ok || first != chain[0] {
			errs = append(errs, t.maps.Replies.Put(k, chain[0]))
			t.replies[k] = chain[0]
		}
	}
	return errors.Join(errs...)
}

// maxShared is MAX_SHARED of bpf/fwd_nat.h.
const maxShared = 8

// setSettings tells the program which rare things there are.
func (t *tables) setSettings() error {
	now := t.setting
	now.Flags &= uint32(bpfSettingSETTING_TX_REDIRECT)
	if len(t.replies) > 0 {
		now.Flags |= uint32(bpfSettingSETTING_NAT)
	}
	for k := range t.services {
		if k.Port == 0 {
			now.Flags |= uint32(bpfSettingSETTING_ANY_PORT)
		}
	}
	return t.putSettings(now)
}

// setTimeouts says how long idle connections are remembered.
func (t *tables) setTimeouts(timeouts Timeouts) error {
	now := t.setting
	for stage, d := range stageTimeouts(timeouts) {
		now.Timeouts[stage] = t.clock.ticks(d)
	}
	return t.putSettings(now)
}

// answerByRedirect says how answers to packets that are too big leave.
func (t *tables) answerByRedirect(on bool) error {
	now := t.setting
	now.Flags &^= uint32(bpfSettingSETTING_TX_REDIRECT)
	if on {
		now.Flags |= uint32(bpfSettingSETTING_TX_REDIRECT)
	}
	return t.putSettings(now)
}

func (t *tables) putSettings(now bpfSettingSet) error {
	if now == t.setting {
		return nil
	}
	if err := t.maps.Settings.Put(uint32(0), now); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	t.setting = now
	return nil
}
