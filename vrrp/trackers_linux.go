package vrrp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// TrackKind says what a tracker looks at.
type TrackKind string

// Kinds of trackers, by the words of the configuration.
const (
	TrackKindScript  TrackKind = "script"
	TrackKindFile    TrackKind = "file"
	TrackKindProcess TrackKind = "process"
	TrackKindBFD     TrackKind = "bfd"
)

// TrackWanted is all trackers of a configuration.
type TrackWanted struct {
	Scripts   []TrackScript
	Files     []TrackFile
	Processes []TrackProcess
	BFDs      []string // sessions of BFD
	BFD       Sessions // nil: there are none
	// Patient holds sessions that have not been Up for unknown, for
	// sessionPatience: a Master that resumes is not to fall over one that has
	// just begun.
	Patient bool
}

const sessionPatience = 5 * time.Second

// Sessions tells of BFD sessions: a bfd.Set.
type Sessions interface {
	// Watch calls fn with whether a session is Up, now and after each change,
	// until stop is called.
	Watch(name string, fn func(up bool)) (stop func())
}

// TrackResult is what a tracker does to one virtual router.
type TrackResult struct {
	Delta int    // is added to the priority
	Fault string // why the virtual router is in Fault, empty when it is not
	Known bool   // false while the first result is awaited
}

// TrackerStatus is the state of one tracker, for people and metrics.
type TrackerStatus struct {
	Kind  TrackKind
	Name  string
	State TrackState // of a file: up for 0
	Value int        // of a file
}

// Trackers runs all trackers, and keeps those over a reload whose definition is
// the same. Its methods may be called from any goroutine.
type Trackers struct {
	run RunScript
	log *slog.Logger

	tasks sync.WaitGroup

	mu       sync.Mutex
	running  map[trackKey]*runningTracker // replaced, never changed
	watchers map[int]trackWatcher
	nextID   int
}

type trackKey struct {
	kind TrackKind
	name string
}

// runningTracker is a tracker with what it was made of.
type runningTracker struct {
	cfg     any
	script  *ScriptTracker
	file    *FileTracker
	process *ProcessTracker
	session *trackCell
	stop    func() // ends the watch of it, and its task
}

type trackWatcher struct {
	key trackKey
	fn  func()
}

// NewTrackers prepares the trackers; run is script.Run but in tests.
func NewTrackers(run RunScript, log *slog.Logger) *Trackers {
	return &Trackers{run: run, log: log, running: map[trackKey]*runningTracker{}, watchers: map[int]trackWatcher{}}
}

// Update runs exactly the wanted trackers until ctx ends or the next Update.
// Those with the same definition keep their state and go on. It is called by
// one goroutine at a time.
func (t *Trackers) Update(ctx context.Context, w TrackWanted) error {
	t.mu.Lock()
	old := t.running
	t.mu.Unlock()
	next := map[trackKey]*runningTracker{}
	for _, c := range w.Scripts {
		key := trackKey{TrackKindScript, c.Name}
		if next[key] = keep(old, key, c); next[key] == nil {
			next[key] = t.startScript(ctx, key, c)
		}
	}
	for _, c := range w.Files {
		key := trackKey{TrackKindFile, c.Name}
		if next[key] = keep(old, key, c); next[key] == nil {
			next[key] = t.startFile(ctx, key, c)
		}
	}
	for _, name := range w.BFDs {
		key := trackKey{TrackKindBFD, name}
		if next[key] = keep(old, key, name); next[key] == nil && w.BFD != nil {
			next[key] = t.startBFD(key, w.BFD, w.Patient)
		}
	}
	err := t.startProcesses(ctx, w.Processes, old, next)
	t.mu.Lock()
	t.running = next
	t.mu.Unlock()
	for key, r := range old {
		if next[key] != r {
			r.stop()
			t.changed(key)
		}
	}
	for key := range next {
		if old[key] != next[key] {
			t.changed(key)
		}
	}
	return err
}

// Wait waits for the end of all trackers, after the ctx of Update.
func (t *Trackers) Wait() { t.tasks.Wait() }

// keep gives the running tracker of that definition, or nil.
func keep(old map[trackKey]*runningTracker, key trackKey, cfg any) *runningTracker {
	if r := old[key]; r != nil && reflect.DeepEqual(r.cfg, cfg) {
		return r
	}
	return nil
}

// task runs a tracker and gives the function that ends it.
func (t *Trackers) task(ctx context.Context, key trackKey, run func(context.Context) error) (stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	t.tasks.Go(func() {
		if err := run(ctx); err != nil {
			t.log.Error("tracker ended", "kind", key.kind, "tracker", key.name, "err", err)
		}
	})
	return stop
}

func (t *Trackers) startScript(ctx context.Context, key trackKey, c TrackScript) *runningTracker {
	s := NewScriptTracker(c, t.run, t.log)
	unwatch := s.Watch(func(TrackState) { t.changed(key) })
	end := t.task(ctx, key, s.Run)
	return &runningTracker{cfg: c, script: s, stop: func() { unwatch(); end() }}
}

func (t *Trackers) startFile(ctx context.Context, key trackKey, c TrackFile) *runningTracker {
	f := NewFileTracker(c, t.log)
	unwatch := f.Watch(func(int) { t.changed(key) })
	end := t.task(ctx, key, f.Run)
	return &runningTracker{cfg: c, file: f, stop: func() { unwatch(); end() }}
}

// startBFD follows a session, which is down until it is up.
func (t *Trackers) startBFD(key trackKey, sessions Sessions, patient bool) *runningTracker {
	start := TrackDown
	if patient {
		start = TrackUnknown
	}
	state := newTrackCell(start)
	unwatch := state.watch(func(TrackState) { t.changed(key) })
	begun := false
	end := sessions.Watch(key.name, func(up bool) {
		if begun || up {
			state.set(trackStateOf(up))
		}
		begun = true
	})
	late := time.AfterFunc(sessionPatience, func() { state.settle(TrackUnknown, TrackDown) })
	return &runningTracker{cfg: key.name, session: state, stop: func() { late.Stop(); end(); unwatch() }}
}

// startProcesses keeps the monitor of all processes when none has changed, and
// otherwise starts a new one, which knows every state at once.
func (t *Trackers) startProcesses(ctx context.Context, cfgs []TrackProcess, old, next map[trackKey]*runningTracker) error {
	count := 0
	for key := range old {
		if key.kind == TrackKindProcess {
			count++
		}
	}
	same := count == len(cfgs)
	for _, c := range cfgs {
		key := trackKey{TrackKindProcess, c.Name}
		next[key] = keep(old, key, c)
		same = same && next[key] != nil
	}
	if same {
		return nil
	}
	for _, c := range cfgs {
		delete(next, trackKey{TrackKindProcess, c.Name})
	}
	if len(cfgs) == 0 {
		return nil
	}
	m, trackers, err := NewProcessMonitor(cfgs, t.log)
	if err != nil {
		return fmt.Errorf("track processes: %w", err)
	}
	end := t.task(ctx, trackKey{TrackKindProcess, "all"}, m.Run)
	for i, p := range trackers {
		key := trackKey{TrackKindProcess, cfgs[i].Name}
		unwatch := p.Watch(func(TrackState) { t.changed(key) })
		next[key] = &runningTracker{cfg: cfgs[i], process: p, stop: func() { unwatch(); end() }}
	}
	return nil
}

// changed tells the watchers of a tracker.
func (t *Trackers) changed(key trackKey) {
	t.mu.Lock()
	var list []func()
	for _, w := range t.watchers {
		if w.key == key {
			list = append(list, w.fn)
		}
	}
	t.mu.Unlock()
	for _, fn := range list {
		fn()
	}
}

// Watch calls fn after each change of a tracker, also of one that a reload
// makes later, until stop is called. fn must return at once and call nothing of
// the trackers; Effect is for afterwards.
func (t *Trackers) Watch(kind TrackKind, name string, fn func()) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := t.nextID
	t.nextID++
	t.watchers[id] = trackWatcher{trackKey{kind, name}, fn}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, id)
	}
}

// Effect is what a tracker does to a virtual router that follows it with a
// weight. A tracker that does not exist does nothing, as one whose script is
// missing in keepalived.
func (t *Trackers) Effect(kind TrackKind, name string, weight int, reverse bool) TrackResult {
	t.mu.Lock()
	r := t.running[trackKey{kind, name}]
	t.mu.Unlock()
	if r == nil {
		return TrackResult{Known: true}
	}
	if r.file != nil {
		value := r.file.Value()
		delta, fault := FileEffect(value, weight, reverse)
		return newTrackResult(delta, fault, fmt.Sprintf("file %s is %d", name, value), true)
	}
	state := r.state()
	delta, fault := TrackEffect(state, weight, reverse)
	return newTrackResult(delta, fault, fmt.Sprintf("%s %s is %s", kind, name, state), state != TrackUnknown)
}

func newTrackResult(delta int, fault bool, why string, known bool) TrackResult {
	r := TrackResult{Delta: delta, Known: known}
	if fault {
		r.Fault = why
	}
	return r
}

func (r *runningTracker) state() TrackState {
	switch {
	case r.script != nil:
		return r.script.State()
	case r.process != nil:
		return r.process.State()
	case r.session != nil:
		return r.session.get()
	}
	return trackStateOf(r.file.Value() == 0)
}

// Status gives the state of every tracker, by kind and name.
func (t *Trackers) Status() []TrackerStatus {
	// Not under the lock: a tracker tells its changes under its own.
	t.mu.Lock()
	running := t.running
	t.mu.Unlock()
	list := make([]TrackerStatus, 0, len(running))
	for key, r := range running {
		s := TrackerStatus{Kind: key.kind, Name: key.name, State: r.state()}
		if r.file != nil {
			s.Value = r.file.Value()
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b TrackerStatus) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name))
	})
	return list
}
