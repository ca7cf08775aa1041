package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a checker whose probe is a function.
type fake struct {
	name  string
	limit time.Duration
	check func(context.Context) Result
}

func (f *fake) Check(ctx context.Context) Result { return f.check(ctx) }
func (f *fake) Limit() time.Duration             { return f.limit }
func (f *fake) String() string                   { return f.name }

var (
	passed = Result{OK: true, Reason: "fine"}
	failed = Result{Reason: "broken"}
)

// probes runs a monitor for a while and returns the starts of its probes.
func probes(t *testing.T, timing Timing, check func(n int, ctx context.Context) Result, for_ time.Duration) (starts []time.Duration, reports []report) {
	t.Helper()
	begin := time.Now()
	f := &fake{name: "FAKE", limit: 5 * time.Second}
	f.check = func(ctx context.Context) Result {
		starts = append(starts, time.Since(begin))
		return check(len(starts), ctx)
	}
	m := newMonitor(f, newState(timing, true), func() float64 { return 0.5 }, func(r report) { reports = append(reports, r) })
	ctx, cancel := context.WithTimeout(t.Context(), for_)
	defer cancel()
	m.run(ctx)
	return starts, reports
}

func wantStarts(t *testing.T, got []time.Duration, seconds ...float64) {
	t.Helper()
	if len(got) != len(seconds) {
		t.Fatalf("probes at %v, want %v", got, seconds)
	}
	for i, s := range seconds {
		if got[i] != time.Duration(s*float64(time.Second)) {
			t.Fatalf("probes at %v, want %v", got, seconds)
		}
	}
}

func TestMonitorKeepsDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := Timing{DelayLoop: 10 * time.Second, Warmup: 6 * time.Second, Retry: 1, DelayBeforeRetry: 2 * time.Second}
		starts, reports := probes(t, timing, func(n int, _ context.Context) Result {
			time.Sleep(time.Second) // a probe takes its time; delays count from its end
			if n == 2 || n == 3 {
				return failed
			}
			return passed
		}, 45*time.Second)
		wantStarts(t, starts, 3, 14, 17, 28, 39)
		if !reports[2].changed || reports[2].up || !reports[3].changed || !reports[3].up {
			t.Errorf("want down after the third probe and up after the fourth, got %+v", reports)
		}
		if reports[0].duration != time.Second {
			t.Errorf("duration %v", reports[0].duration)
		}
	})
}

func TestMonitorFromStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts, _ := probes(t, Timing{DelayLoop: 3 * time.Second, FromStart: true}, func(n int, _ context.Context) Result {
			if n == 2 {
				time.Sleep(4 * time.Second) // longer than the delay: the next one is late, not doubled
			} else {
				time.Sleep(time.Second)
			}
			return passed
		}, 12*time.Second)
		wantStarts(t, starts, 0, 3, 7, 10)
	})
}

func TestMonitorLimitsTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts, reports := probes(t, Timing{DelayLoop: 10 * time.Second}, func(_ int, ctx context.Context) Result {
			<-ctx.Done()
			return failure(ctx.Err())
		}, 16*time.Second)
		wantStarts(t, starts, 0, 15)
		if reports[0].duration != 5*time.Second || reports[0].result.OK {
			t.Errorf("report %+v, want a failure after 5s", reports[0])
		}
	})
}

func TestMonitorStopsWithinAProbeWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, reports := probes(t, Timing{}, func(_ int, ctx context.Context) Result {
			<-ctx.Done()
			return failure(ctx.Err())
		}, time.Second)
		if len(reports) != 0 {
			t.Errorf("a stopped probe was reported: %+v", reports)
		}
	})
}

func TestMonitorSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var starts []time.Duration
		f := &fake{name: "FAKE", limit: time.Second, check: func(context.Context) Result {
			starts = append(starts, time.Since(begin))
			return passed
		}}
		timing := Timing{DelayLoop: 10 * time.Second, Warmup: 4 * time.Second}
		m := newMonitor(f, newState(timing, true), func() float64 { return 0.5 }, func(report) {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.run(ctx); close(done) }()
		at := func(seconds int, on bool) {
			time.Sleep(time.Duration(seconds)*time.Second - time.Since(begin))
			m.suspend(on)
		}
		at(5, true)
		at(40, false) // first probe again within warmup
		at(43, true)
		at(44, false) // before the next was due: nothing is lost
		time.Sleep(10 * time.Second)
		at(55, true)
		time.Sleep(30 * time.Second)
		cancel() // stops a suspended monitor too
		<-done
		wantStarts(t, starts, 2, 42, 52)
	})
}

func TestMonitorPanicsOnAFailureWithoutReason(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	m := newMonitor(&fake{name: "FAKE", limit: time.Second, check: func(context.Context) Result { return Result{} }},
		newState(Timing{}, true), func() float64 { return 0 }, func(report) {})
	m.run(t.Context())
}
