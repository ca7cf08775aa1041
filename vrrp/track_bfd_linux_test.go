package vrrp

import (
	"testing"
	"testing/synctest"
	"time"
)

// fakeSessions is one BFD session.
type fakeSessions struct{ fn func(up bool) }

func (f *fakeSessions) Watch(_ string, fn func(up bool)) (stop func()) {
	f.fn = fn
	fn(false)
	return func() { f.fn = nil }
}

// A session is down until it is up. For routers that resume it is unknown at
// first, and not for ever.
func TestTrackersOfBFD(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := testLog()
		s := &fakeSessions{}
		effect := func(tr *Trackers) TrackResult { return tr.Effect(TrackKindBFD, "B", 0, false) }
		tr := NewTrackers(nil, log)
		w := TrackWanted{BFDs: []string{"B"}, BFD: s}
		noError(t, tr.Update(t.Context(), w))
		if r := effect(tr); r.Fault != "bfd B is down" || !r.Known {
			t.Errorf("at the start: %+v", r)
		}
		changes := 0
		defer tr.Watch(TrackKindBFD, "B", func() { changes++ })()
		s.fn(true)
		noError(t, tr.Update(t.Context(), w)) // keeps it
		if r := effect(tr); r.Fault != "" || !r.Known || changes != 1 {
			t.Errorf("up: %+v after %d changes", r, changes)
		}
		noError(t, tr.Update(t.Context(), TrackWanted{}))
		if s.fn != nil || changes != 2 {
			t.Errorf("a tracker that is gone still watches, or nobody heard: %d", changes)
		}

		w.Patient = true
		for _, up := range []bool{true, false} {
			tr = NewTrackers(nil, log)
			noError(t, tr.Update(t.Context(), w))
			if r := effect(tr); r.Known {
				t.Errorf("resuming: %+v", r)
			}
			if up {
				s.fn(true)
			} else {
				time.Sleep(sessionPatience)
				synctest.Wait()
			}
			if r := effect(tr); !r.Known || (r.Fault == "") != up {
				t.Errorf("up %v: %+v", up, r)
			}
		}
	})
}
