package xdp

import (
	"fmt"
	"slices"
)

// numbers hands out the free indexes of an array map, lowest first.
type numbers struct {
	used []bool
	next int
	what string
}

func newNumbers(size int, what string) *numbers {
	return &numbers{used: make([]bool, size), what: what}
}

func (n *numbers) take() (uint32, error) {
	for i := n.next; i < len(n.used); i++ {
		if !n.used[i] {
			n.used[i] = true
			n.next = i + 1
			return uint32(i), nil
		}
	}
	return 0, fmt.Errorf("the table of %s is full (%d)", n.what, len(n.used))
}

func (n *numbers) mark(i uint32) { n.used[i] = true }

func (n *numbers) free(i uint32) {
	n.used[i] = false
	n.next = min(n.next, int(i))
}

// span is a run of slots.
type span struct{ base, len uint32 }

// spans hands out runs of the slots map, first fit. A run that was given back
// is used again only after the next change: a packet on another CPU may still
// be reading it.
type spans struct {
	free    []span // by base, not touching
	retired []span
	size    uint32
}

func newSpans(size uint32) *spans { return &spans{free: []span{{0, size}}, size: size} }

func (s *spans) take(n uint32) (span, error) {
	if n == 0 {
		return span{}, nil
	}
	for i, f := range s.free {
		if f.len < n {
			continue
		}
		if f.len == n {
			s.free = slices.Delete(s.free, i, i+1)
		} else {
			s.free[i] = span{f.base + n, f.len - n}
		}
		return span{f.base, n}, nil
	}
	return span{}, fmt.Errorf("the table of ring slots has no run of %d free (size %d)", n, s.size)
}

// mark takes a run that is in use already: what an earlier daemon left.
func (s *spans) mark(m span) error {
	if m.len == 0 {
		return nil
	}
	for i, f := range s.free {
		if m.base < f.base || m.base+m.len > f.base+f.len {
			continue
		}
		var rest []span
		if m.base > f.base {
			rest = append(rest, span{f.base, m.base - f.base})
		}
		if end := m.base + m.len; end < f.base+f.len {
			rest = append(rest, span{end, f.base + f.len - end})
		}
		s.free = slices.Replace(s.free, i, i+1, rest...)
		return nil
	}
	return fmt.Errorf("ring slots %d to %d belong to two services", m.base, m.base+m.len)
}

// retire gives a run back after the next recycle.
func (s *spans) retire(r span) {
	if r.len > 0 {
		s.retired = append(s.retired, r)
	}
}

// recycle makes retired runs free.
func (s *spans) recycle() {
	s.free = append(s.free, s.retired...)
	s.retired = nil
	slices.SortFunc(s.free, func(a, b span) int { return int(a.base) - int(b.base) })
	joined := s.free[:0]
	for _, f := range s.free {
		if n := len(joined); n > 0 && joined[n-1].base+joined[n-1].len == f.base {
			joined[n-1].len += f.len
			continue
		}
		joined = append(joined, f)
	}
	s.free = joined
}

// used counts the slots that are not free, retired ones among them.
func (s *spans) used() uint32 {
	n := s.size
	for _, f := range s.free {
		n -= f.len
	}
	return n
}
