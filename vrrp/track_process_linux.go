package vrrp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// processRescan is the time between two looks at all of /proc while the
	// kernel does not tell of processes: it lacks the proc connector, or we are
	// in a network namespace, where it does not speak (drivers/connector).
	processRescan = time.Second
	// processResync is that time when it does tell, for what may have been lost.
	processResync = time.Minute
	// processEvents is how many events may wait.
	processEvents = 4096
)

// ProcessMonitor follows which processes run, for all process trackers: by the
// events of the proc connector, or by looking again and again.
type ProcessMonitor struct {
	log      *slog.Logger
	root     string // /proc
	trackers []*ProcessTracker
	argv     bool // some tracker looks at command lines
	rescan   time.Duration
}

// ProcessTracker counts the processes of one vrrp_track_process.
type ProcessTracker struct {
	cfg   TrackProcess
	log   *slog.Logger
	pids  map[int]bool
	state *trackCell
	timer *time.Timer // runs while a change waits for its delay
	round int         // tells a timer that was stopped too late from the present one
	fire  chan expiry
}

// expiry is the end of a delay.
type expiry struct {
	tracker *ProcessTracker
	round   int
}

// NewProcessMonitor looks at the processes once, so that the state of every
// tracker is known; Run follows them. The trackers are in the order of cfgs.
func NewProcessMonitor(cfgs []TrackProcess, log *slog.Logger) (*ProcessMonitor, []*ProcessTracker, error) {
	m := &ProcessMonitor{log: log, root: "/proc", rescan: processRescan}
	for _, c := range cfgs {
		m.trackers = append(m.trackers, &ProcessTracker{cfg: c, log: log.With("track_process", c.Name),
			pids: map[int]bool{}, state: newTrackCell(TrackUnknown)})
		m.argv = m.argv || c.needsArgv()
	}
	if err := m.scan(); err != nil {
		return nil, nil, err
	}
	for _, t := range m.trackers {
		t.state.set(trackStateOf(t.cfg.quorate(len(t.pids))))
	}
	return m, m.trackers, nil
}

// State is the state told last.
func (t *ProcessTracker) State() TrackState { return t.state.get() }

// Watch calls fn with the state, now and after each change, until stop is
// called. fn must return at once and not call the tracker.
func (t *ProcessTracker) Watch(fn func(TrackState)) (stop func()) { return t.state.watch(fn) }

// Run follows the processes until ctx ends.
func (m *ProcessMonitor) Run(ctx context.Context) error {
	if len(m.trackers) == 0 {
		<-ctx.Done()
		return nil
	}
	fire := make(chan expiry)
	for _, t := range m.trackers {
		t.fire = fire
	}
	defer func() {
		for _, t := range m.trackers {
			t.stopTimer()
		}
	}()
	for ctx.Err() == nil {
		m.session(ctx, fire)
	}
	return nil
}

// session follows events, or looks at intervals, until ctx ends or the events do.
func (m *ProcessMonitor) session(ctx context.Context, fire <-chan expiry) {
	done := make(chan struct{})
	events := make(chan netlink.ProcEvent, processEvents)
	failure := make(chan error, 1)
	if err := netlink.ProcEventMonitor(events, done, failure); err != nil {
		m.log.Info("the kernel does not tell of processes, looking at intervals", "interval", m.rescan, "err", err)
		events = nil
	}
	defer func() {
		close(done)
		if events != nil {
			go drain(events)
		}
	}()
	// Nothing tells whether events will come: where the connector does not
	// speak, the request for them is lost without an error. The first one tells.
	heard := false
	tick := time.NewTicker(m.rescan)
	defer tick.Stop()
	m.rescanAll(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok { // the socket ran over: look at all again
				m.log.Debug("lost track of processes, looking at all", "err", <-failure)
				return
			}
			if !heard {
				heard = true
				tick.Reset(processResync)
			}
			m.event(ctx, e)
		case <-tick.C:
			m.rescanAll(ctx)
		case x := <-fire:
			x.tracker.expired(x.round)
		}
	}
}

func (m *ProcessMonitor) rescanAll(ctx context.Context) {
	if err := m.scan(); err != nil {
		m.log.Error("cannot look at the processes", "err", err)
		return
	}
	for _, t := range m.trackers {
		t.counted(ctx)
	}
}

// event takes one change over. Threads come and go too: only the first thread
// of a process counts.
func (m *ProcessMonitor) event(ctx context.Context, e netlink.ProcEvent) {
	var pid int
	gone := false
	switch msg := e.Msg.(type) {
	case *netlink.ForkProcEvent:
		if msg.ChildPid != msg.ChildTgid {
			return
		}
		pid = int(msg.ChildPid)
	case *netlink.ExitProcEvent:
		if msg.ProcessPid != msg.ProcessTgid {
			return
		}
		pid, gone = int(msg.ProcessPid), true
	default:
		pid = int(e.Msg.Tgid())
	}
	var p process
	if !gone {
		var ok bool
		p, ok = m.read(pid)
		gone = !ok
	}
	for _, t := range m.trackers {
		if !gone && t.cfg.matches(p) {
			t.pids[pid] = true
		} else {
			delete(t.pids, pid)
		}
		t.counted(ctx)
	}
}

// scan counts all processes anew.
func (m *ProcessMonitor) scan() error {
	dir, err := os.Open(m.root)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, t := range m.trackers {
		clear(t.pids)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, ok := m.read(pid)
		if !ok {
			continue
		}
		for _, t := range m.trackers {
			if t.cfg.matches(p) {
				t.pids[pid] = true
			}
		}
	}
	return nil
}

// read gives a process; none that has ended, or waits to be collected.
func (m *ProcessMonitor) read(pid int) (process, bool) {
	dir := filepath.Join(m.root, strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, false
	}
	stat, ok := parseProcessStat(string(text))
	if !ok || stat.zombie {
		return process{}, false
	}
	p := process{comm: stat.comm}
	if m.argv {
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			return process{}, false
		}
		p.argv = parseCmdline(string(cmdline))
	}
	return p, true
}

// counted compares the count with the state told: a change starts its delay,
// and a count that is back stops it.
func (t *ProcessTracker) counted(ctx context.Context) {
	now := trackStateOf(t.cfg.quorate(len(t.pids)))
	if now == t.state.get() {
		t.stopTimer()
		return
	}
	d := t.cfg.delay(now == TrackUp)
	if d <= 0 {
		t.tell(now)
		return
	}
	if t.timer == nil {
		t.round++
		x := expiry{t, t.round}
		t.timer = time.AfterFunc(d, func() {
			select {
			case t.fire <- x:
			case <-ctx.Done():
			}
		})
	}
}

// expired tells the change whose delay is over, unless it was taken back.
func (t *ProcessTracker) expired(round int) {
	if t.timer == nil || t.round != round {
		return
	}
	t.timer = nil
	t.tell(trackStateOf(t.cfg.quorate(len(t.pids))))
}

func (t *ProcessTracker) stopTimer() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

func (t *ProcessTracker) tell(s TrackState) {
	if t.state.get() != s {
		t.log.Info("tracked process changed state", "state", s, "processes", len(t.pids))
	}
	t.state.set(s)
}
