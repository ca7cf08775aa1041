package health

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// switched is a checker that passes while its switch is on.
type switched struct {
	name   string
	broken atomic.Bool
	weight atomic.Int64
	probes atomic.Int64
}

func (s *switched) String() string { return s.name }
func (s *switched) Check(context.Context) Result {
	s.probes.Add(1)
	if s.broken.Load() {
		return Result{Reason: s.name + " is off"}
	}
	w := int(s.weight.Load())
	return Result{OK: true, Reason: "on", Weight: w, HasWeight: w != 0}
}

var server = ServerID{"192.0.2.10:80/tcp", "10.0.0.1:80"}

func spec(c Checker, index int, fingerprint string) Spec {
	return Spec{ID: ID{server, index}, Fingerprint: fingerprint, Checker: c,
		Timing: Timing{DelayLoop: time.Second, Retry: 1, DelayBeforeRetry: time.Second}}
}

// inBubble runs f with a running Set on a fake clock.
func inBubble(t *testing.T, f func(t *testing.T, s *Set, heard *[]string)) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(WithRand(func() float64 { return 0 }), WithLogger(slog.New(slog.DiscardHandler)))
		var heard []string
		s.OnTransition(func(tr Transition) {
			heard = append(heard, fmt.Sprintf("%s up=%v server=%v changed=%v weight=%d",
				tr.Checker, tr.Up, tr.Server.Up, tr.ServerChanged, tr.Server.Weight))
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		f(t, s, &heard)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// after lets d pass and everything due within it happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestServerIsUpOnlyIfAllItsCheckersAre(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a, b := &switched{name: "A"}, &switched{name: "B"}
		s.Update([]Spec{spec(a, 0, "a"), spec(b, 1, "b")})
		after(time.Second / 2)
		a.broken.Store(true)
		b.broken.Store(true)
		after(3 * time.Second)
		if got := s.Servers()[server]; got.Up || got.Reason != "A is off" {
			t.Errorf("server is %+v", got)
		}
		a.broken.Store(false)
		after(time.Second)
		if got := s.Servers()[server]; got.Up || got.Reason != "B is off" {
			t.Errorf("server is %+v", got)
		}
		b.broken.Store(false)
		after(time.Second)
		if got := s.Servers()[server]; !got.Up || got.Reason != "" {
			t.Errorf("server is %+v", got)
		}
		// Both go down in the same instant, in either order.
		if !strings.HasSuffix((*heard)[0], "changed=true weight=0") || !strings.HasSuffix((*heard)[1], "changed=false weight=0") {
			t.Errorf("heard %q", *heard)
		}
		want := []string{"A up=true server=false changed=false weight=0", "B up=true server=true changed=true weight=0"}
		if diff := cmp.Diff(want, (*heard)[2:]); diff != "" {
			t.Error(diff)
		}
	})
}

func TestServerThatComesUpInParts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		n := 0
		c := &fake{name: "HTTP_GET", limit: time.Second, check: func(context.Context) Result {
			n++
			return Result{OK: true, Reason: "GET /a: status 200", Partial: n < 2}
		}}
		alpha := spec(c, 0, "a")
		alpha.Timing.Alpha = true
		s.Update([]Spec{alpha})
		after(time.Second / 2)
		for _, want := range []ServerState{
			{Reason: "coming up: GET /a: status 200, other urls have yet to pass"},
			{Up: true},
		} {
			if got := s.Servers()[server]; got != want {
				t.Errorf("server is %+v, want %+v", got, want)
			}
			after(time.Second)
		}
	})
}

func TestAlphaServerBeforeItsFirstProbe(t *testing.T) {
	s := NewSet()
	alpha := spec(&switched{name: "A"}, 0, "a")
	alpha.Timing.Alpha = true
	s.Update([]Spec{alpha})
	if got := s.Servers()[server]; got != (ServerState{Reason: "no check has passed yet"}) {
		t.Errorf("server is %+v", got)
	}
}

func TestWeightOffsetsAddUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a, b := &switched{name: "A"}, &switched{name: "B"}
		a.weight.Store(5)
		s.Update([]Spec{spec(a, 0, "a"), spec(b, 1, "b")})
		after(time.Second / 2)
		b.weight.Store(-2)
		after(time.Second)
		a.broken.Store(true)
		after(time.Second) // a try is left: neither state nor weight moves
		want := []string{"A up=true server=true changed=false weight=5", "B up=true server=true changed=false weight=3"}
		if diff := cmp.Diff(want, *heard); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUpdateKeepsWhatIsUnchanged(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a, b := &switched{name: "A"}, &switched{name: "B"}
		a.broken.Store(true)
		s.Update([]Spec{spec(a, 0, "a"), spec(b, 1, "b")})
		after(4 * time.Second)
		before := s.Snapshot()
		// The order turns round and a new value of the same checker comes.
		s.Update([]Spec{spec(&switched{name: "B"}, 0, "b"), spec(&switched{name: "A"}, 1, "a")})
		got := s.Snapshot()
		before[0], before[1] = before[1], before[0]
		before[0].ID.Index, before[1].ID.Index = 0, 1
		if diff := cmp.Diff(before, got); diff != "" {
			t.Error(diff)
		}
		n := a.probes.Load()
		after(2 * time.Second)
		if a.probes.Load() != n+2 {
			t.Errorf("%d probes in two seconds", a.probes.Load()-n)
		}
		if len(*heard) != 1 {
			t.Errorf("heard %q", *heard)
		}
	})
}

func TestUpdateStopsRemovedAndStartsNew(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a, b := &switched{name: "A"}, &switched{name: "B"}
		s.Update([]Spec{spec(a, 0, "a")})
		after(2500 * time.Millisecond)
		b.broken.Store(true)
		s.Update([]Spec{spec(b, 0, "b")})
		n := a.probes.Load()
		after(500 * time.Millisecond)
		if got := s.Servers()[server]; !got.Up {
			t.Error("one failure after a reload took the server down, although a try was left")
		}
		after(2 * time.Second)
		if a.probes.Load() != n {
			t.Error("a removed checker still probes")
		}
		if got := s.Servers()[server]; got.Up {
			t.Error("the new checker did not take the server down")
		}
		s.Update(nil)
		if len(s.Servers()) != 0 || len(s.Snapshot()) != 0 {
			t.Error("something is left")
		}
	})
}

// A reload that edits a checker moves no server by itself: neither a dead one
// back into traffic nor, with alpha, a living one out of it.
func TestUpdateOfAChangedCheckerKeepsUpOrDown(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		dead, living := &switched{name: "DEAD"}, &switched{name: "LIVING"}
		dead.broken.Store(true)
		other := ServerID{server.Service, "10.0.0.2:80"}
		two := func(version string) []Spec {
			a, b := spec(dead, 0, "a"+version), spec(living, 0, "b"+version)
			b.ID.ServerID = other
			b.Timing.Alpha = true
			return []Spec{a, b}
		}
		s.Update(two("1"))
		after(2 * time.Second)
		s.Update(two("2"))
		got := s.Servers()
		if got[server].Up || got[server].Reason != "DEAD is off" || !got[other].Up {
			t.Errorf("after the reload: %+v", got)
		}
		after(5 * time.Second)
		if got := s.Servers(); got[server].Up || !got[other].Up {
			t.Errorf("later: %+v", got)
		}
	})
}

func TestFirstFailureRemovesAtStartOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a := &switched{name: "A"}
		a.broken.Store(true)
		s.Update([]Spec{spec(a, 0, "a")})
		after(0)
		if s.Servers()[server].Up {
			t.Error("still up after the first failure")
		}
	})
}

func TestSuspendedServiceIsNotProbed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a := &switched{name: "A"}
		s.Suspend(server.Service, true) // before the checker is known
		s.Update([]Spec{spec(a, 0, "a")})
		after(5 * time.Second)
		if a.probes.Load() != 0 || !s.Snapshot()[0].Suspended {
			t.Errorf("%d probes while suspended, status %+v", a.probes.Load(), s.Snapshot()[0])
		}
		s.Suspend(server.Service, false)
		after(2500 * time.Millisecond)
		if a.probes.Load() != 3 || s.Snapshot()[0].Suspended {
			t.Errorf("%d probes in 2.5 s after the resume, want 3", a.probes.Load())
		}
	})
}

func TestListenerMayUseTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(WithLogger(slog.New(slog.DiscardHandler)))
		a := &switched{name: "A"}
		a.broken.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		s.OnTransition(func(Transition) {
			s.Snapshot()
			s.Suspend(server.Service, true)
			s.Update(nil)
			cancel()
		})
		s.Update([]Spec{spec(a, 0, "a")})
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

// What is logged: transitions, each failure only where asked for, and a host
// that cannot probe once in a while.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewSet(WithRand(func() float64 { return 0 }), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		quiet, loud, stuck := &switched{name: "QUIET"}, &switched{name: "LOUD"}, &fake{name: "STUCK", limit: time.Second}
		stuck.check = func(context.Context) Result { return Result{Inconclusive: true, Reason: "no descriptors"} }
		specs := []Spec{spec(quiet, 0, "a"), spec(loud, 1, "b"), spec(stuck, 2, "c")}
		specs[1].LogFailures = true
		s.Update(specs)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		after(time.Second / 2)
		quiet.broken.Store(true)
		loud.broken.Store(true)
		after(4 * time.Second)
		quiet.broken.Store(false)
		after(10 * time.Second)
		cancel()
		<-done
		for line, want := range map[string]int{
			`checker=QUIET reason="QUIET is off"`:                                                1,
			`msg="checker down" service=192.0.2.10:80/tcp real_server=10.0.0.1:80 checker=QUIET`: 1,
			`msg="checker up" service=192.0.2.10:80/tcp real_server=10.0.0.1:80 checker=QUIET`:   1,
			`msg="checker down" service=192.0.2.10:80/tcp real_server=10.0.0.1:80 checker=LOUD`:  1,
			`msg="probe failed" service=192.0.2.10:80/tcp real_server=10.0.0.1:80 checker=LOUD`:  13,
			`msg="probe not possible"`: 2,
		} {
			if n := strings.Count(log.String(), line); n != want {
				t.Errorf("%d lines with %s, want %d:\n%s", n, line, want, log.String())
			}
		}
	})
}

// Ten thousand checkers: the first probes are spread over the warmup, and the
// delays hold.
func TestManyCheckers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, loop = 10_000, 10 * time.Second
		begin := time.Now()
		starts := make([][]time.Duration, n)
		specs := make([]Spec, n)
		for i := range specs {
			specs[i] = Spec{
				ID:          ID{ServerID{"s", fmt.Sprint(i)}, 0},
				Fingerprint: "x",
				Timing:      Timing{DelayLoop: loop, Warmup: loop},
				Checker: &fake{name: "FAKE", limit: time.Second, check: func(context.Context) Result {
					starts[i] = append(starts[i], time.Since(begin))
					return passed
				}},
			}
		}
		random := rand.New(rand.NewPCG(1, 2))
		s := NewSet(WithRand(locked(random.Float64)), WithLogger(slog.New(slog.DiscardHandler)))
		s.Update(specs)
		ctx, cancel := context.WithTimeout(t.Context(), 3*loop)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		perSlot := make([]int, 100)
		for i, list := range starts {
			if len(list) != 3 || list[0] >= loop || list[1] != list[0]+loop || list[2] != list[1]+loop {
				t.Fatalf("checker %d probed at %v", i, list)
			}
			perSlot[list[0]*100/loop]++
		}
		if least, most := slices.Min(perSlot), slices.Max(perSlot); least < 50 || most > 150 {
			t.Errorf("a hundredth of the warmup sees between %d and %d first probes, want about 100", least, most)
		}
	})
}

func locked(f func() float64) func() float64 {
	var mu sync.Mutex
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return f()
	}
}
