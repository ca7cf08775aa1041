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

// testTrackers runs two scripts, a file and two processes. The scripts fail when
// they have an argument, and end when hold is closed.
func testTrackers(t *testing.T) (tr *Trackers, w TrackWanted, hold chan struct{}, runs *atomic.Int32, update func(TrackWanted)) {
	t.Helper()
	hold, runs = make(chan struct{}), &atomic.Int32{}
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
	name, err := os.ReadFile("/proc/self/comm")
	noError(t, err)
	w = TrackWanted{
		Scripts:   []TrackScript{{Name: "good", Command: *cmd("g"), Interval: time.Hour}, {Name: "bad", Command: *cmd("b", "x"), Interval: time.Hour}},
		Files:     []TrackFile{{Name: "tf", Path: path}},
		Processes: []TrackProcess{{Name: "self", Process: string(name[:len(name)-1]), Quorum: 1, QuorumMax: -1}, {Name: "none", Process: "xvip-no-such", Quorum: 1, QuorumMax: -1}},
	}
	log, _ := testLog()
	tr = NewTrackers(run, log)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); tr.Wait() })
	update = func(w TrackWanted) {
		t.Helper()
		noError(t, tr.Update(ctx, w))
	}
	update(w)
	return tr, w, hold, runs, update
}

// wantEffect waits until a tracker has that effect.
func wantEffect(t *testing.T, tr *Trackers, kind TrackKind, name string, weight int, want TrackResult) {
	t.Helper()
	eventually(t, "the effect of "+name+" is another one", func() bool { return tr.Effect(kind, name, weight, false) == want })
}

func TestTrackersEffects(t *testing.T) {
	tr, _, hold, _, _ := testTrackers(t)
	wantEffect(t, tr, TrackKindScript, "bad", 0, TrackResult{})
	close(hold)
	wantEffect(t, tr, TrackKindScript, "bad", 0, TrackResult{Known: true, Fault: "script bad is down"})
	wantEffect(t, tr, TrackKindScript, "bad", -20, TrackResult{Known: true, Delta: -20})
	wantEffect(t, tr, TrackKindScript, "good", 20, TrackResult{Known: true, Delta: 20})
	wantEffect(t, tr, TrackKindFile, "tf", 2, TrackResult{Known: true, Delta: 14})
	wantEffect(t, tr, TrackKindFile, "tf", 0, TrackResult{Known: true, Fault: "file tf is 7"})
	wantEffect(t, tr, TrackKindProcess, "self", 5, TrackResult{Known: true, Delta: 5})
	wantEffect(t, tr, TrackKindProcess, "none", 0, TrackResult{Known: true, Fault: "process none is down"})
	wantEffect(t, tr, TrackKindScript, "missing", 0, TrackResult{Known: true})

	want := []TrackerStatus{{TrackKindFile, "tf", TrackDown, 7}, {TrackKindProcess, "none", TrackDown, 0}, {TrackKindProcess, "self", TrackUp, 0},
		{TrackKindScript, "bad", TrackDown, 0}, {TrackKindScript, "good", TrackUp, 0}}
	if got := tr.Status(); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// A reload changes one script and drops one process; the rest goes on, and a
// watch outlives the tracker.
func TestTrackersReload(t *testing.T) {
	tr, w, hold, runs, update := testTrackers(t)
	close(hold)
	wantEffect(t, tr, TrackKindScript, "good", 20, TrackResult{Known: true, Delta: 20})
	wantEffect(t, tr, TrackKindScript, "bad", 0, TrackResult{Known: true, Fault: "script bad is down"})
	woken := make(chan struct{}, 100)
	defer tr.Watch(TrackKindScript, "bad", func() { woken <- struct{}{} })()
	script, process := trackKey{TrackKindScript, "good"}, trackKey{TrackKindProcess, "self"}
	before, kept := runs.Load(), tr.running[script]
	w.Scripts = []TrackScript{w.Scripts[0], {Name: "bad", Command: *cmd("b"), Interval: time.Hour}}
	w.Processes = w.Processes[:1]
	update(w)
	<-woken
	wantEffect(t, tr, TrackKindScript, "bad", 0, TrackResult{Known: true})
	wantEffect(t, tr, TrackKindProcess, "none", 0, TrackResult{Known: true})
	wantEffect(t, tr, TrackKindProcess, "self", 5, TrackResult{Known: true, Delta: 5})
	if runs.Load() != before+1 || tr.running[script] != kept {
		t.Errorf("%d runs after %d: a script that stays was started again", runs.Load(), before)
	}
	same := tr.running[process]
	update(w)
	if tr.running[process] != same || runs.Load() != before+1 {
		t.Error("a reload of the same starts trackers again")
	}
}
