package health

import "time"

// state is the counting of keepalived, as a value: no clock and no I/O.
type state struct {
	timing Timing
	up     bool
	fails  int // failed tries in a row while up
}

// newState returns the state of a new checker. At the start of the daemon
// (boot) the tries are counted as used up, so that the very first failure
// takes a dead server out at once; a checker that a reload adds has its tries.
func newState(t Timing, boot bool) state {
	if t.DelayLoop <= 0 {
		t.DelayLoop = DefaultDelayLoop
	}
	s := state{timing: t, up: !t.Alpha}
	if boot {
		s.fails = t.Retry
	}
	return s
}

// next counts one result. It returns the delay until the next probe and
// whether up changed.
func (s *state) next(r Result) (delay time.Duration, changed bool) {
	switch {
	case r.Inconclusive:
		return s.timing.DelayLoop, false
	case r.OK && !s.up && r.Partial:
		s.fails = 0
		if s.timing.FastRecovery {
			return 0, false
		}
		return s.timing.DelayLoop, false
	case r.OK:
		changed = !s.up
		s.up, s.fails = true, 0
		return s.timing.DelayLoop, changed
	case !s.up:
		return s.timing.DelayLoop, false
	case s.fails < s.timing.Retry:
		s.fails++
		return s.timing.DelayBeforeRetry, false
	default:
		s.up, s.fails = false, 0
		return s.timing.DelayLoop, true
	}
}

// first returns the delay before the first probe, for a random number in [0,1).
func (s *state) first(random float64) time.Duration {
	return time.Duration(random * float64(s.timing.Warmup))
}
