package vrrp

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

func TestTrackersEffectsAndReload(t *testing.T) {
	log, _ := testLog()
	var runs atomic.Int32
	hold := make(chan struct{})
	run := func(ctx context.Context, c script.Command, _ time.Duration) script.Outcome {
		runs.Add(1)
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return script.Outcome{ExitCode: len(c.Argv) - 1}
	}
	path := filepath.Join(t.TempDir(), "value")
	writeFile(t, path, "7")
	program, err := os.ReadFile("/proc/self/comm")
	noError(t, err)
	w := TrackWanted{
		Scripts:   []TrackScript{{Name: "good", Command: *cmd("g"), Interval: time.Hour}, {Name: "bad", Command: *cmd("b", "x"), Interval: time.Hour}},
		Files:     []TrackFile{{Name: "tf", Path: path}},
		Processes: []TrackProcess{{Name: "self", Process: string(program[:len(program)-1]), Quorum: 1, QuorumMax: -1}, {Name: "none", Process: "xvip-no-such", Quorum: 1, QuorumMax: -1}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	tr := NewTrackers(run, log)
	woken := make(chan struct{}, 100)
	defer tr.Watch(TrackKindScript, "bad", func() { woken <- struct{}{} })()
	noError(t, tr.Update(ctx, w))
	is := func(kind TrackKind, name string, weight int, want TrackResult) {
		t.Helper()
		eventually(t, "the effect of "+name+" is another one", func() bool { return tr.Effect(kind, name, weight, false) == want })
	}
	is(TrackKindScript, "bad", 0, TrackResult{})
	close(hold)
	is(TrackKindScript, "bad", 0, TrackResult{Known: true, Fault: "script bad is down"})
	is(TrackKindScript, "bad", -20, TrackResult{Known: true, Delta: -20})
	is(TrackKindScript, "good", 20, TrackResult{Known: true, Delta: 20})
	is(TrackKindFile, "tf", 2, TrackResult{Known: true, Delta: 14})
	is(TrackKindFile, "tf", 0, TrackResult{Known: true, Fault: "file tf is 7"})
	is(TrackKindProcess, "self", 5, TrackResult{Known: true, Delta: 5})
	is(TrackKindProcess, "none", 0, TrackResult{Known: true, Fault: "process none is down"})
	is(TrackKindScript, "missing", 0, TrackResult{Known: true})
	<-woken

	want := []TrackerStatus{{TrackKindFile, "tf", TrackDown, 7}, {TrackKindProcess, "none", TrackDown, 0}, {TrackKindProcess, "self", TrackUp, 0},
		{TrackKindScript, "bad", TrackDown, 0}, {TrackKindScript, "good", TrackUp, 0}}
	if got := tr.Status(); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}

	// A reload: one script changes, one process goes, the rest stays.
	for len(woken) > 0 {
		<-woken
	}
	before, kept := runs.Load(), tr.running[trackKey{TrackKindScript, "good"}]
	w.Scripts[1].Command = *cmd("b")
	w.Processes = w.Processes[:1]
	noError(t, tr.Update(ctx, w))
	<-woken // a watch outlives the tracker
	is(TrackKindScript, "bad", 0, TrackResult{Known: true})
	is(TrackKindProcess, "none", 0, TrackResult{Known: true})
	is(TrackKindProcess, "self", 5, TrackResult{Known: true, Delta: 5})
	if runs.Load() != before+1 || tr.running[trackKey{TrackKindScript, "good"}] != kept {
		t.Errorf("%d runs after %d: a script that stays was started again", runs.Load(), before)
	}
	processes := tr.running[trackKey{TrackKindProcess, "self"}]
	noError(t, tr.Update(ctx, w))
	if tr.running[trackKey{TrackKindProcess, "self"}] != processes || runs.Load() != before+1 {
		t.Error("a reload of the same starts trackers again")
	}
	cancel()
	tr.Wait()
}
