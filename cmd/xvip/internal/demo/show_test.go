package demo

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

func TestProgressIsSparseWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		w := newShow(&out)
		w.begin(1, 2, step{name: "one", want: "this"})
		for range 110 {
			time.Sleep(100 * time.Millisecond)
			w.progress(time.Second, 2*time.Second, "waiting", errors.New("not yet"))
		}
		w.end(step{name: "one"}, observation{seen: "that"}, nil)
		got := out.String()
		if n := strings.Count(got, "…"); n != 2 {
			t.Errorf("%d progress lines in 11 s, want 2:\n%s", n, got)
		}
		for _, want := range []string{"1/2  one", "expected  this", "seen      that", "ok        11 s"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in:\n%s", want, got)
			}
		}
	})
}

func TestProgressIsRewrittenOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		w := newShow(&out)
		w.terminal = true
		w.begin(1, 1, step{name: "one"})
		time.Sleep(time.Second)
		w.progress(time.Second, 2*time.Second, strings.Repeat("long ", 50), errors.New("not yet"))
		w.end(step{name: "one"}, observation{}, errors.New("it did not hold"))
		got := out.String()
		line, ok := strings.CutPrefix(got[strings.Index(got, "\r"):], "\r")
		if line, _, _ = strings.Cut(line, "\x1b"); !ok || len([]rune(line)) > 118 {
			t.Errorf("the line would wrap: %q", line)
		}
		if !strings.Contains(got, "FAILED    it did not hold") {
			t.Errorf("no failure in %q", got)
		}
	})
}

func TestEndTellsWhatTheClientSaw(t *testing.T) {
	var out strings.Builder
	at := time.Unix(1000, 0)
	w := newShow(&out)
	w.begin(1, 1, step{})
	w.end(step{}, observation{client: lab.Report{
		{Sent: at, Done: at.Add(time.Millisecond), Server: "a"},
		{Sent: at.Add(time.Second), Done: at.Add(1200 * time.Millisecond), Err: errors.New("refused")},
	}}, nil)
	if want := "2 requests, 1 failed, longest gap 999 ms"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in %q", want, out.String())
	}
}
