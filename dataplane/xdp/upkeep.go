package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

// sweepBuckets is SWEEP_BUCKETS of bpf/sweep.h, and sweepEvery how often a part of
// the table is looked at, all of it in sweepRounds.
const (
	sweepBuckets = 256
	sweepEvery   = time.Second
	sweepRounds  = 10
)

// sweeper has the kernel free connections that have idled too long.
type sweeper struct {
	prog    *ebpf.Program
	buckets uint32
	next    uint32
}

// round looks at the next part of the table.
func (s *sweeper) round() error {
	part := s.buckets/sweepRounds + sweepBuckets
	for done := uint32(0); done < part; done += sweepBuckets {
		in := binary.NativeEndian.AppendUint32(make([]byte, 14), s.next)
		if _, err := s.prog.Run(&ebpf.RunOptions{Data: in}); err != nil {
			return fmt.Errorf("sweep connections: %w", err)
		}
		if s.next += sweepBuckets; s.next >= s.buckets {
			s.next = 0
		}
	}
	return nil
}

// all looks at the whole table.
func (s *sweeper) all() error {
	s.next = 0
	for range sweepRounds {
		if err := s.round(); err != nil {
			return err
		}
	}
	return nil
}

// upkeep is what is due now and then: connections expire, moved slots settle.
func (e *Engine) upkeep(now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	return errors.Join(e.sweeper.round(), e.tables.settle(now))
}

// settle ends drains whose time is over: a slot first forgets the server before
// and later, when no connection of the service is remembered any more, that it
// ever moved.
func (t *tables) settle(now time.Time) error {
	var errs []error
	for _, s := range t.services {
		if s.drainEnds.IsZero() || now.Before(s.drainEnds) {
			continue
		}
		busy, err := t.busy(s)
		errs = append(errs, err)
		to := noReal
		if busy || err != nil {
			to = slotSettled
		} else {
			s.drainEnds = time.Time{}
		}
		for i, slot := range s.slots {
			if slot.Before == noReal || slot.Before == to {
				continue
			}
			s.slots[i].Before = to
			if err := t.maps.Slots.Put(s.ring.base+uint32(i), s.slots[i]); err != nil {
				errs = append(errs, fmt.Errorf("settle a slot of %s: %w", s.holds.Key, err))
			}
		}
	}
	return errors.Join(errs...)
}

// busy says that the table has connections of the service.
func (t *tables) busy(s *service) (bool, error) {
	for _, index := range s.reals {
		var l bpfLoad
		if err := t.maps.Loads.Lookup(index, &l); err != nil {
			return true, fmt.Errorf("read load of a real server: %w", err)
		}
		if l.Active+l.Inactive > 0 {
			return true, nil
		}
	}
	return false, nil
}
