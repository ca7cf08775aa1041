package xdp

import (
	"math/rand/v2"
	"testing"
)

func TestSpansNeverOverlapAndAllComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const size = 1000
	s := newSpans(size)
	owner := make([]int, size)
	held := map[int]span{}
	for i := 1; i <= 20000; i++ {
		if len(held) > 0 && rng.IntN(2) == 0 {
			for id, sp := range held {
				for j := range sp.len {
					owner[sp.base+j] = 0
				}
				s.retire(sp)
				delete(held, id)
				break
			}
			s.recycle()
			continue
		}
		sp, err := s.take(uint32(1 + rng.IntN(40)))
		if err != nil {
			continue
		}
		for j := range sp.len {
			if owner[sp.base+j] != 0 {
				t.Fatalf("slot %d belongs to two", sp.base+j)
			}
			owner[sp.base+j] = i
		}
		held[i] = sp
	}
	for _, sp := range held {
		s.retire(sp)
	}
	s.recycle()
	if len(s.free) != 1 || s.free[0] != (span{0, size}) {
		t.Errorf("in the end the free runs are %v", s.free)
	}
}

func TestARetiredSpanIsNotUsedBeforeTheNextChange(t *testing.T) {
	s := newSpans(10)
	a, _ := s.take(10)
	s.retire(a)
	if _, err := s.take(1); err == nil {
		t.Error("a run that packets may still read was handed out")
	}
	s.recycle()
	if _, err := s.take(10); err != nil {
		t.Errorf("after a recycle: %v", err)
	}
}

func TestMarkTakesWhatIsInUse(t *testing.T) {
	s := newSpans(100)
	for _, sp := range []span{{10, 5}, {0, 10}, {90, 10}} {
		if err := s.mark(sp); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.mark(span{12, 2}); err == nil {
		t.Error("a run in use was marked again")
	}
	if got, _ := s.take(75); got != (span{15, 75}) {
		t.Errorf("took %v, want what is between", got)
	}
}
