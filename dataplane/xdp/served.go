package xdp

import (
	"fmt"

	"github.com/xvip-lb/xvip/dataplane"
)

// servedBits is SERVED_BITS of bpf/maps.h.
const servedBits = 16

// servedSet has a bit for each address that has services; several may share one.
type servedSet [1 << (servedBits - 6)]uint64

// add is is_served of bpf/maps.h.
func (s *servedSet) add(k dataplane.Key) {
	bit := addrWords(k.Address)[3] * 0x9e3779b1 >> (32 - servedBits)
	s[bit>>6] |= 1 << (bit & 63)
}

// serve lets the program look up the services there are and those to come. It
// stands before the first is written and, without coming ones, after the last is
// gone: a service whose address is not in the set gets no packets.
func (t *tables) serve(coming []dataplane.VirtualService) error {
	var now servedSet
	for k := range t.services {
		now.add(k)
	}
	for _, svc := range coming {
		now.add(svc.Key)
	}
	if now == t.served {
		return nil
	}
	if err := t.maps.Served.Put(uint32(0), now); err != nil {
		return fmt.Errorf("write set of served addresses: %w", err)
	}
	t.served = now
	return nil
}
