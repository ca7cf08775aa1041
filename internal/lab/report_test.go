package lab_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

func TestReport(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	bad := errors.New("refused")
	r := lab.Report{
		{Sent: at(0), Done: at(1), Server: "a"},
		{Sent: at(10), Done: at(11), Server: "b"},
		{Sent: at(20), Done: at(21), Err: bad},
		{Sent: at(30), Done: at(95), Server: "a"}, // slow, but good
		{Sent: at(40), Done: at(140), Err: bad},
		{Sent: at(100), Done: at(101), Server: "a"},
	}
	if got := r.Failures(); got != 2 {
		t.Errorf("failures %d, want 2", got)
	}
	if got := r.FirstError(); got != bad {
		t.Errorf("first error %v", got)
	}
	if got, want := r.LongestGap(), 84*time.Millisecond; got != want { // 11 to 95
		t.Errorf("longest gap %v, want %v", got, want)
	}
	if got, want := r[4:].LongestGap(), 61*time.Millisecond; got != want { // 40 to 101
		t.Errorf("gap at the start %v, want %v", got, want)
	}
	if got, want := r[1:3].LongestGap(), 9*time.Millisecond; got != want { // 11 to 20
		t.Errorf("gap at the end %v, want %v", got, want)
	}
	if got, want := (lab.Report{r[2], r[4]}).LongestGap(), 20*time.Millisecond; got != want {
		t.Errorf("gap without any answer %v, want %v", got, want)
	}
	if got := r.Since(at(30)); len(got) != 3 {
		t.Errorf("since 30 ms: %d requests, want 3", len(got))
	}
	if got := r.Servers(); got["a"] != 3 || got["b"] != 1 || len(got) != 2 {
		t.Errorf("servers %v", got)
	}
	if got, want := r.Sequence(), []string{"a", "b", "", "a", "", "a"}; !slices.Equal(got, want) {
		t.Errorf("sequence %q, want %q", got, want)
	}
	if got, ok := r.LastFailure(); !ok || !got.Equal(at(40)) {
		t.Errorf("last failure %v, %v", got, ok)
	}
	if _, ok := r[:2].LastFailure(); ok {
		t.Error("a failure where there is none")
	}
	if got := (lab.Report{}).LongestGap(); got != 0 {
		t.Errorf("gap of nothing is %v", got)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ready := time.Now().Add(3 * time.Second)
		check := func() error {
			if time.Now().Before(ready) {
				return errors.New("not yet")
			}
			return nil
		}
		if took, err := lab.Await(t.Context(), time.Second, check); err == nil || took != time.Second {
			t.Errorf("gave up after %v with %v", took, err)
		}
		if took, err := lab.Await(t.Context(), time.Minute, check); err != nil || took != 2*time.Second {
			t.Errorf("took %v, %v, want 2s", took, err)
		}
	})
}
