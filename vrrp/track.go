package vrrp

import (
	"context"
	"log/slog"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// TrackState is what a tracker says of its object.
type TrackState uint8

// States of a tracker. While one is TrackUnknown the virtual routers that
// follow it are held back: they take no part in the election.
const (
	TrackUnknown TrackState = iota
	TrackUp
	TrackDown
)

// String gives the word for logs and status.
func (s TrackState) String() string {
	switch s {
	case TrackUp:
		return "up"
	case TrackDown:
		return "down"
	}
	return "unknown"
}

// trackStateOf translates a truth.
func trackStateOf(up bool) TrackState {
	if up {
		return TrackUp
	}
	return TrackDown
}

// MaxWeight is the largest weight of a tracker, either sign: a priority that
// moves stays between 1 and 254.
const MaxWeight = 253

// TrackEffect is what a tracker does to a virtual router: with weight 0 it is a
// fault while the object is down, a positive weight is added while it is up and
// a negative one while it is down. reverse turns the sign, and the fault into
// one while the object is up. An unknown state has no effect.
func TrackEffect(s TrackState, weight int, reverse bool) (delta int, fault bool) {
	sign := 1
	if reverse {
		sign = -1
	}
	switch {
	case s == TrackUnknown:
		return 0, false
	case weight == 0:
		return 0, (s == TrackDown) != reverse
	case weight > 0 && s == TrackUp, weight < 0 && s == TrackDown:
		return weight * sign, false
	}
	return 0, false
}

// FileEffect is what a tracked file does to a virtual router: its value times
// the weight is added; a sum of -254 or less is a fault. With weight 0 any
// value but 0 is a fault. reverse turns the sign, and the fault into one while
// the value is 0.
func FileEffect(value, weight int, reverse bool) (delta int, fault bool) {
	if weight == 0 {
		return 0, (value != 0) != reverse
	}
	if reverse {
		weight = -weight
	}
	// The limits keep the product of any two values of the file and the
	// configuration from running over.
	const limit = MaxWeight + 1
	product := int64(clamp(value, -1<<31, 1<<31-1)) * int64(clamp(weight, -1<<31, 1<<31-1))
	delta = int(max(-limit, min(limit, product)))
	return delta, delta <= -limit
}

func clamp(v, low, high int) int { return max(low, min(high, v)) }

// EffectivePriority is the base priority moved by the sum of all trackers,
// within 1..254. The priority 255 of an address owner never moves.
func EffectivePriority(base uint8, delta int) uint8 {
	if base == 255 {
		return base
	}
	return uint8(clamp(int(base)+delta, 1, 254))
}

// riseFall counts results as keepalived does: a number from 0 to rise+fall-1,
// up from rise on. A result against the trend starts the count again. The
// first result decides at once unless the start was a declared failure.
type riseFall struct {
	rise, fall int
	count      int
	known      bool
}

// newRiseFall starts unknown, or down with initFail. Counts below 1 mean 1.
func newRiseFall(rise, fall int, initFail bool) riseFall {
	return riseFall{rise: max(1, rise), fall: max(1, fall), known: initFail}
}

func (c *riseFall) state() TrackState {
	if !c.known {
		return TrackUnknown
	}
	return trackStateOf(c.count >= c.rise)
}

// add counts one result and gives the state after it.
func (c *riseFall) add(ok bool) TrackState {
	top := c.rise + c.fall - 1
	switch {
	case !c.known && ok:
		c.count = top
	case !c.known:
		c.count = 0
	case ok && c.count < c.rise-1:
		c.count++
	case ok:
		c.count = top
	case c.count > c.rise:
		c.count--
	default:
		c.count = 0
	}
	c.known = true
	return c.state()
}

// RunScript runs a command within a time limit: script.Run, or a fake.
type RunScript func(ctx context.Context, c script.Command, timeout time.Duration) script.Outcome

// TrackScript is a vrrp_script.
type TrackScript struct {
	Name     string
	Command  script.Command
	Interval time.Duration
	Timeout  time.Duration // 0: Interval
	Rise     int           // successes to come up, at least 1
	Fall     int           // failures to go down, at least 1
	InitFail bool          // down until proven good
}

// ScriptTracker runs a script again and again and counts the results.
type ScriptTracker struct {
	cfg     TrackScript
	run     RunScript
	log     *slog.Logger
	counter riseFall
	last    string // the outcome logged last
	state   *trackCell
}

// NewScriptTracker prepares a tracker; run is script.Run but in tests.
func NewScriptTracker(cfg TrackScript, run RunScript, log *slog.Logger) *ScriptTracker {
	if cfg.Timeout <= 0 {
		cfg.Timeout = cfg.Interval
	}
	t := &ScriptTracker{cfg: cfg, run: run, log: log.With("script", cfg.Name),
		counter: newRiseFall(cfg.Rise, cfg.Fall, cfg.InitFail)}
	t.state = newTrackCell(t.counter.state())
	return t
}

// State is the state after the last run.
func (t *ScriptTracker) State() TrackState { return t.state.get() }

// Watch calls fn with the state, now and after each change, until stop is
// called. fn must return at once and not call the tracker.
func (t *ScriptTracker) Watch(fn func(TrackState)) (stop func()) { return t.state.watch(fn) }

// Run runs the script at once and then every interval, until ctx ends. A run
// that has not ended at the next interval is left to end, and that interval is
// skipped.
func (t *ScriptTracker) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Interval)
	defer tick.Stop()
	done := make(chan script.Outcome, 1)
	start := func() {
		go func() { done <- t.run(ctx, t.cfg.Command, t.cfg.Timeout) }()
	}
	start()
	running := true
	for {
		select {
		case <-ctx.Done():
			if running {
				<-done // the script is ended by ctx
			}
			return nil
		case o := <-done:
			running = false
			if ctx.Err() == nil {
				t.result(o)
			}
		case <-tick.C:
			if running {
				t.log.Warn("tracking script still runs, this interval is skipped", "interval", t.cfg.Interval)
				continue
			}
			running = true
			start()
		}
	}
}

// result counts an outcome and tells the state.
func (t *ScriptTracker) result(o script.Outcome) {
	if s := o.String(); s != t.last {
		t.log.Info("tracking script has another result", "was", t.last, "result", s)
		t.last = s
	}
	before := t.counter.state()
	state := t.counter.add(o.OK())
	if state != before {
		level := slog.LevelInfo
		if state == TrackDown {
			level = slog.LevelWarn
		}
		t.log.Log(context.Background(), level, "tracking script changed state", "state", state, "result", o)
	}
	t.state.set(state)
}

// TrackInterface calls fn with the state of an interface, now and after each
// change, until stop is called. fn must return at once and not call the monitor.
func TrackInterface(links LinkWatcher, name string, fn func(TrackState)) (stop func()) {
	last := TrackUnknown
	return links.Watch(name, func(s LinkState) {
		if now := trackStateOf(s.Up); now != last {
			last = now
			fn(now)
		}
	})
}

// LinkWatcher tells the states of interfaces: the LinkMonitor, or a fake.
type LinkWatcher interface {
	// Watch calls fn with the state of an interface, now and after each
	// change, until stop is called.
	Watch(name string, fn func(LinkState)) (stop func())
}
