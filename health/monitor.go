package health

import (
	"context"
	"sync/atomic"
	"time"
)

// report is what a monitor has to say after each probe.
type report struct {
	result   Result
	at       time.Time // end of the probe
	duration time.Duration
	up       bool
	changed  bool
}

// monitor is the loop around one checker. It owns state while it runs; probes
// never overlap, and a panic of a checker is nobody's to swallow.
type monitor struct {
	checker   Checker
	state     state
	rand      func() float64
	report    func(report)
	suspended atomic.Bool
	wake      chan struct{} // capacity 1; tells a waiting loop that suspended changed
}

func newMonitor(c Checker, s state, random func() float64, r func(report)) *monitor {
	return &monitor{checker: c, state: s, rand: random, report: r, wake: make(chan struct{}, 1)}
}

// suspend stops or resumes probing; a probe under way is finished and counts.
func (m *monitor) suspend(on bool) {
	m.suspended.Store(on)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run probes until ctx ends.
func (m *monitor) run(ctx context.Context) {
	timer := time.NewTimer(m.state.first(m.rand()))
	defer timer.Stop()
	news, stop := m.news()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-news:
		}
		if m.suspended.Load() {
			if !m.waitResumed(ctx) {
				return
			}
			timer.Reset(m.state.first(m.rand()))
			continue
		}
		start := time.Now()
		result := m.probe(ctx)
		if ctx.Err() != nil {
			return // the end of ctx may be all that failed
		}
		end := time.Now()
		delay, changed := m.state.next(result)
		if m.state.timing.FromStart {
			delay -= end.Sub(start)
		}
		timer.Reset(delay)
		m.report(report{result: result, at: end, duration: end.Sub(start), up: m.state.up, changed: changed})
	}
}

// news gives a channel that receives when the checker has something new; nil
// for one that never tells.
func (m *monitor) news() (news <-chan struct{}, stop func()) {
	n, ok := m.checker.(Notifier)
	if !ok {
		return nil, func() {}
	}
	c := make(chan struct{}, 1)
	return c, n.Notify(func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
}

// probe runs one check under its limit.
func (m *monitor) probe(ctx context.Context) Result {
	limit := DefaultConnectTimeout
	if l, ok := m.checker.(Limiter); ok {
		limit = l.Limit()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := m.checker.Check(ctx)
	if !r.OK && r.Reason == "" {
		panic("health: checker " + m.checker.String() + " failed without a reason")
	}
	return r
}

// waitResumed waits until the monitor is not suspended; false when ctx ended first.
func (m *monitor) waitResumed(ctx context.Context) bool {
	for m.suspended.Load() {
		select {
		case <-ctx.Done():
			return false
		case <-m.wake:
		}
	}
	return true
}
