package health

import (
	"strings"
	"testing"
	"time"
)

// A scenario is a row of results and what each leads to. Results: "." passed,
// "p" passed in part, "x" failed, "?" could not be made. States: "U" up, "D"
// down; the delay that follows is "l" delay_loop, "r" delay_before_retry, "0".
func TestStateCounting(t *testing.T) {
	base := Timing{DelayLoop: 10 * time.Second, DelayBeforeRetry: 3 * time.Second}
	with := func(change func(*Timing)) Timing {
		t := base
		change(&t)
		return t
	}
	retry2 := with(func(t *Timing) { t.Retry = 2 })
	alpha := with(func(t *Timing) { t.Retry = 2; t.Alpha = true })
	fast := with(func(t *Timing) { t.FastRecovery = true })
	for _, test := range []struct {
		name    string
		timing  Timing
		boot    bool
		results string
		want    string
	}{
		{"healthy server stays up", retry2, true, "...", "Ul Ul Ul"},
		{"first failure after the start removes at once", retry2, true, "x", "Dl"},
		{"first failure after a reload has its tries", retry2, false, "xxx", "Ur Ur Dl"},
		{"one success after the start gives the tries back", retry2, true, ".xxx", "Ul Ur Ur Dl"},
		{"a success between failures forgives them", retry2, false, "xx.xxx", "Ur Ur Ul Ur Ur Dl"},
		{"retry 0 has no second try", base, false, "x", "Dl"},
		{"while down delay_loop between probes, one success is enough", retry2, true, "xxxx.", "Dl Dl Dl Dl Ul"},
		{"tries are whole again after coming up", retry2, true, "x.xxx", "Dl Ul Ur Ur Dl"},
		{"alpha starts down", alpha, true, "x.", "Dl Ul"},
		{"alpha at a reload", alpha, false, ".xxx", "Ul Ur Ur Dl"},
		{"parts do not bring a server up", base, true, "xppp.", "Dl Dl Dl Dl Ul"},
		{"parts keep a server up", base, true, "ppp.x", "Ul Ul Ul Ul Dl"},
		{"a failure among parts", base, true, "xpxp.", "Dl Dl Dl Dl Ul"},
		{"fast recovery asks the parts at once", fast, true, "xpp.p", "Dl D0 D0 Ul Ul"},
		{"a probe that could not be made counts for nothing", retry2, false, "xx??x", "Ur Ur Ul Ul Dl"},
		{"nor at the start", retry2, true, "?x", "Ul Dl"},
		{"nor does it raise", retry2, true, "x?.", "Dl Dl Ul"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newState(test.timing, test.boot)
			was := s.up
			if was == test.timing.Alpha {
				t.Fatalf("starts up=%v with alpha=%v", was, test.timing.Alpha)
			}
			var got []string
			for _, c := range test.results {
				delay, changed := s.next(map[rune]Result{
					'.': {OK: true}, 'p': {OK: true, Partial: true}, 'x': {Reason: "x"}, '?': {Inconclusive: true, Reason: "?"},
				}[c])
				if changed != (was != s.up) {
					t.Errorf("after %q changed=%v, but up went from %v to %v", c, changed, was, s.up)
				}
				was = s.up
				word := map[bool]string{true: "U", false: "D"}[s.up]
				word += map[time.Duration]string{10 * time.Second: "l", 3 * time.Second: "r", 0: "0"}[delay]
				got = append(got, word)
			}
			if g := strings.Join(got, " "); g != test.want {
				t.Errorf("got  %s\nwant %s", g, test.want)
			}
		})
	}
}

func TestStateDefaultDelayLoop(t *testing.T) {
	s := newState(Timing{}, false)
	if delay, _ := s.next(Result{OK: true}); delay != 60*time.Second {
		t.Errorf("delay %v, want 60s", delay)
	}
}

func TestFirstProbeIsSpreadOverWarmup(t *testing.T) {
	s := newState(Timing{Warmup: 8 * time.Second}, true)
	for random, want := range map[float64]time.Duration{0: 0, 0.5: 4 * time.Second, 0.75: 6 * time.Second} {
		if got := s.first(random); got != want {
			t.Errorf("first(%v) = %v, want %v", random, got, want)
		}
	}
}

// "p" passes, "x" fails; the digits are the urls asked, "*" after one means
// that the check as a whole has passed.
func TestCycle(t *testing.T) {
	for _, test := range []struct{ name, results, want string }{
		{"one by one, then all have passed", "ppppp", "0 1 2* 0* 1*"},
		{"a url that fails is asked again, then all others", "pxxpppp", "0 1 1 1 2 0* 1*"},
		{"a second failure starts over", "xppxppp", "0 0 1 2 2 0 1*"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCycle(3)
			var got []string
			for _, r := range test.results {
				word := string(rune('0' + c.at))
				if r == 'x' {
					c.fail()
				} else if !c.pass() {
					word += "*"
				}
				got = append(got, word)
			}
			if g := strings.Join(got, " "); g != test.want {
				t.Errorf("got  %s\nwant %s", g, test.want)
			}
		})
	}
}

func TestCycleOfOneUrlPassesAtOnce(t *testing.T) {
	c := newCycle(1)
	c.fail()
	if c.pass() {
		t.Error("one success of the only url does not complete the check")
	}
}
