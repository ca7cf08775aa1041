package vrrp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

func TestTrackEffect(t *testing.T) {
	tests := []struct {
		state   TrackState
		weight  int
		reverse bool
		delta   int
		fault   bool
	}{
		{TrackUp, 0, false, 0, false},
		{TrackDown, 0, false, 0, true},
		{TrackUp, 0, true, 0, true},
		{TrackDown, 0, true, 0, false},
		{TrackUp, 10, false, 10, false},
		{TrackDown, 10, false, 0, false},
		{TrackUp, 10, true, -10, false},
		{TrackDown, 10, true, 0, false},
		{TrackUp, -10, false, 0, false},
		{TrackDown, -10, false, -10, false},
		{TrackUp, -10, true, 0, false},
		{TrackDown, -10, true, 10, false},
		{TrackUnknown, 0, false, 0, false},
		{TrackUnknown, -10, false, 0, false},
		{TrackUnknown, 0, true, 0, false},
	}
	for _, tt := range tests {
		if delta, fault := TrackEffect(tt.state, tt.weight, tt.reverse); delta != tt.delta || fault != tt.fault {
			t.Errorf("%+v: got %d, %v", tt, delta, fault)
		}
	}
}

func TestFileEffect(t *testing.T) {
	tests := []struct {
		value, weight int
		reverse       bool
		delta         int
		fault         bool
	}{
		{0, 0, false, 0, false},
		{1, 0, false, 0, true},
		{-1, 0, false, 0, true},
		{0, 0, true, 0, true},
		{1, 0, true, 0, false},
		{7, 1, false, 7, false},
		{7, -2, false, -14, false},
		{7, 2, true, -14, false},
		{-253, 1, false, -253, false},
		{-254, 1, false, -254, true},
		{127, -2, false, -254, true},
		{1 << 31, 1 << 40, false, 254, false},
		{-1 << 62, 1 << 62, false, -254, true},
	}
	for _, tt := range tests {
		if delta, fault := FileEffect(tt.value, tt.weight, tt.reverse); delta != tt.delta || fault != tt.fault {
			t.Errorf("%+v: got %d, %v", tt, delta, fault)
		}
	}
}

func TestEffectivePriority(t *testing.T) {
	for _, tt := range []struct {
		base  uint8
		delta int
		want  uint8
	}{{100, 0, 100}, {100, 20, 120}, {100, 200, 254}, {100, -99, 1}, {100, -100, 1}, {1, -5, 1}, {254, 1, 254}, {255, -253, 255}} {
		if got := EffectivePriority(tt.base, tt.delta); got != tt.want {
			t.Errorf("%d%+d: got %d, want %d", tt.base, tt.delta, got, tt.want)
		}
	}
}

// The results are 1 success and 0 failure; the states U up, D down, ? unknown.
func TestRiseFall(t *testing.T) {
	tests := []struct {
		name            string
		rise, fall      int
		initFail        bool
		results, states string // the first state is the one before any result
	}{
		{"defaults", 1, 1, false, "1001", "?UDDU"},
		{"first failure decides at once", 3, 3, false, "0111", "?DDDU"},
		{"first success decides at once", 3, 3, false, "1000", "?UUUD"},
		{"init_fail needs rise", 2, 1, true, "11", "DDU"},
		{"init_fail failing", 1, 1, true, "01", "DDU"},
		{"a success starts the fall again", 1, 3, false, "1001000", "?UUUUUUD"},
		{"a failure starts the rise again", 3, 1, false, "0110111", "?DDDDDDU"},
		{"counts below one", 0, 0, false, "101", "?UDU"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			letter := map[TrackState]string{TrackUnknown: "?", TrackUp: "U", TrackDown: "D"}
			c := newRiseFall(tt.rise, tt.fall, tt.initFail)
			got := letter[c.state()]
			for _, r := range tt.results {
				got += letter[c.add(r == '1')]
			}
			if got != tt.states {
				t.Errorf("results %s: got %s, want %s", tt.results, got, tt.states)
			}
		})
	}
}

// fakeScript is a program whose runs take a time and end as told; a limit
// shorter than the time ends it as script.Run does.
type fakeScript struct {
	takes  time.Duration
	codes  []int // exit codes, the last for ever
	starts []time.Duration
	epoch  time.Time
	active int
	both   bool // two runs at one time
}

func (f *fakeScript) run(ctx context.Context, _ script.Command, timeout time.Duration) script.Outcome {
	f.active++
	f.both = f.both || f.active > 1
	defer func() { f.active-- }()
	f.starts = append(f.starts, time.Since(f.epoch))
	code := f.codes[0]
	if len(f.codes) > 1 {
		f.codes = f.codes[1:]
	}
	select {
	case <-ctx.Done():
		return script.Outcome{ExitCode: -1, Err: ctx.Err()}
	case <-time.After(min(f.takes, timeout)):
	}
	return script.Outcome{ExitCode: code, TimedOut: f.takes > timeout}
}

// change is a state told at a time.
type change struct {
	at    time.Duration
	state TrackState
}

// runTracker runs a tracker for a time under a virtual clock.
func runTracker(t *testing.T, cfg TrackScript, f *fakeScript, d time.Duration) (told []change, logs string) {
	t.Helper()
	log, buf := testLog()
	f.epoch = time.Now()
	tr := NewScriptTracker(cfg, f.run, log)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	defer tr.Watch(func(s TrackState) { told = append(told, change{time.Since(f.epoch), s}) })()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
	if f.active != 0 {
		t.Error("the tracker ended before its script")
	}
	if f.both {
		t.Error("two runs at one time")
	}
	return told, buf.String()
}

func TestScriptTrackerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeScript{takes: 100 * time.Millisecond, codes: []int{0, 0, 1, 1, 1, 0, 0}}
		told, _ := runTracker(t, TrackScript{Name: "chk", Interval: 2 * time.Second, Rise: 2, Fall: 2}, f, 14*time.Second)
		want := []change{{0, TrackUnknown}, {100 * time.Millisecond, TrackUp}, {6100 * time.Millisecond, TrackDown}, {12100 * time.Millisecond, TrackUp}}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		for i, at := range f.starts {
			if want := time.Duration(i) * 2 * time.Second; at != want {
				t.Errorf("run %d started after %v, want %v", i, at, want)
			}
		}
	})
}

// A run longer than the interval is not doubled; the timeout, which is the
// interval unless given, makes it a failure.
func TestScriptTrackerSlowScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeScript{takes: 2500 * time.Millisecond, codes: []int{0}}
		told, logs := runTracker(t, TrackScript{Name: "chk", Interval: time.Second, Timeout: 10 * time.Second}, f, 7*time.Second)
		if want := []change{{0, TrackUnknown}, {2500 * time.Millisecond, TrackUp}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second}; !slices.Equal(f.starts, want) {
			t.Errorf("started at %v, want %v", f.starts, want)
		}
		if !strings.Contains(logs, "skipped") || !strings.Contains(logs, "script=chk") {
			t.Errorf("log: %s", logs)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fakeScript{takes: time.Hour, codes: []int{0}}
		told, logs := runTracker(t, TrackScript{Name: "chk", Interval: time.Second}, f, 5*time.Second)
		if want := []change{{0, TrackUnknown}, {time.Second, TrackDown}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if !strings.Contains(logs, "timed out") {
			t.Errorf("log: %s", logs)
		}
	})
}

func TestScriptTrackerInitFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeScript{codes: []int{0}}
		told, _ := runTracker(t, TrackScript{Name: "chk", Interval: time.Second, Rise: 3, InitFail: true}, f, 5*time.Second)
		if want := []change{{0, TrackDown}, {2 * time.Second, TrackUp}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// A script that cannot start counts as failing, with the reason in the log.
func TestScriptTrackerCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, buf := testLog()
		tr := NewScriptTracker(TrackScript{Name: "chk", Interval: time.Second}, func(context.Context, script.Command, time.Duration) script.Outcome {
			return script.Outcome{ExitCode: -1, Err: errors.New("start script: no such file")}
		}, log)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		noError(t, tr.Run(ctx))
		if tr.State() != TrackDown {
			t.Errorf("state %v", tr.State())
		}
		if n := strings.Count(buf.String(), "\n"); n != 2 || !strings.Contains(buf.String(), "no such file") {
			t.Errorf("%d lines of log for one reason:\n%s", n, buf)
		}
	})
}

// fakeLinks is a LinkWatcher for one interface.
type fakeLinks struct{ *cell[LinkState] }

func (f fakeLinks) Watch(_ string, fn func(LinkState)) func() { return f.watch(fn) }

func TestTrackInterfaceTellsOnlyUpAndDown(t *testing.T) {
	links := fakeLinks{newCell(LinkState{Name: "eth0"})}
	var told []TrackState
	stop := TrackInterface(links, "eth0", func(s TrackState) { told = append(told, s) })
	for _, s := range []LinkState{{Exists: true}, {Exists: true, Up: true}, {Exists: true, Up: true, MTU: 9000}, {Exists: true}} {
		links.set(s)
	}
	stop()
	links.set(LinkState{Up: true})
	if want := []TrackState{TrackDown, TrackUp, TrackDown}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
