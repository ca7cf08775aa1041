package health

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSessions is one BFD session.
type fakeSessions struct {
	mu        sync.Mutex
	up, known bool
	fn        func(bool)
}

func (f *fakeSessions) Known(string) (up, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up, f.known
}

func (f *fakeSessions) Watch(_ string, fn func(bool)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fn = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fn = nil
	}
}

func (f *fakeSessions) set(up, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up, f.known = up, known
	f.fn(up)
}

// A BFD_CHECK says nothing while its session has just begun, and hears of each
// change at once, long before the next regular probe.
func TestBFDFollowsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSessions{}
		type seen struct {
			at time.Duration
			up bool
		}
		var told []seen
		start := time.Now()
		m := newMonitor(NewBFD("B", s), newState(Timing{DelayLoop: time.Hour}, true), func() float64 { return 0 }, func(r report) {
			if r.changed {
				told = append(told, seen{time.Since(start), r.up})
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.run(ctx); close(done) }()
		synctest.Wait()
		for i, up := range []bool{false, true, false} {
			time.Sleep(time.Second)
			s.set(up, i > 0)
			synctest.Wait()
		}
		cancel()
		<-done
		if len(told) != 1 || told[0] != (seen{3 * time.Second, false}) {
			t.Errorf("told %v", told)
		}
		if s.fn != nil {
			t.Error("it still watches")
		}
	})
}
