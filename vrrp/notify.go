package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// NotifyState is the word by which scripts and the FIFO learn of a change.
type NotifyState string

// The words of keepalived. The last three are events within a state: the
// generic script does not hear of them.
const (
	NotifyMaster  NotifyState = "MASTER"
	NotifyBackup  NotifyState = "BACKUP"
	NotifyFault   NotifyState = "FAULT"
	NotifyStop    NotifyState = "STOP"
	NotifyDeleted NotifyState = "DELETED" // removed by a reload

	NotifyMasterRxLowerPri NotifyState = "MASTER_RX_LOWER_PRI"
	NotifyMasterPriority   NotifyState = "MASTER_PRIORITY" // FIFO only
	NotifyBackupPriority   NotifyState = "BACKUP_PRIORITY" // FIFO only
)

// NotifyKind says what has changed: a virtual router or a sync group.
type NotifyKind string

// The words of keepalived.
const (
	NotifyInstance NotifyKind = "INSTANCE"
	NotifyGroup    NotifyKind = "GROUP"
)

// NotifyScripts are the programs of one virtual router or sync group; nil means
// none.
type NotifyScripts struct {
	Master, Backup, Fault, Stop *script.Command
	MasterRxLowerPri            *script.Command
	// Any runs after the one for the state, with the kind, the name, the
	// state and the priority as four more arguments.
	Any *script.Command
	// Deleted runs when a reload removes the virtual router. Without
	// ReportDeleted the removal is told as FAULT.
	Deleted       *script.Command
	ReportDeleted bool
}

const (
	// notifyQueue bounds the changes that wait for their scripts. When it is
	// full the oldest is dropped: the last state is the one that counts.
	notifyQueue = 32
	// notifyPatience is how long the scripts of one change may take before the
	// scripts of the next start beside them.
	notifyPatience = 5 * time.Second
	// notifyStopWait is how long the end of the daemon waits for a script.
	notifyStopWait = time.Second
)

// StartScript starts a command and gives its outcome later: script.Start, or a
// fake.
type StartScript func(ctx context.Context, c script.Command, timeout time.Duration) <-chan script.Outcome

// LineWriter takes the lines of a FIFO and never waits: a script.FIFO.
type LineWriter interface{ Write(line string) }

// Notifier tells scripts and FIFOs about the changes of one virtual router or
// sync group, in their order, while the virtual router goes on.
type Notifier struct {
	kind  NotifyKind
	start StartScript
	log   *slog.Logger

	mu       sync.Mutex
	name     string
	scripts  NotifyScripts
	fifos    []LineWriter
	queue    []notice
	wake     chan struct{}
	finished bool
	finish   chan struct{} // closed by Finish
}

// notice is one change, with the programs it had when it was told: a reload
// that follows does not change them.
type notice struct {
	state    NotifyState
	priority uint8
	commands []script.Command
}

// NewNotifier prepares a notifier; start is script.Start but in tests.
func NewNotifier(kind NotifyKind, name string, scripts NotifyScripts, fifos []LineWriter, start StartScript, log *slog.Logger) *Notifier {
	return &Notifier{kind: kind, name: name, scripts: scripts, fifos: fifos, start: start,
		log: log.With("kind", kind, "name", name), wake: make(chan struct{}, 1), finish: make(chan struct{})}
}

// NotifyStateOf gives the word for a role; none is told for Initialize.
func NotifyStateOf(r Role) (NotifyState, bool) {
	switch r {
	case Master:
		return NotifyMaster, true
	case Backup:
		return NotifyBackup, true
	case Fault:
		return NotifyFault, true
	}
	return "", false
}

// Notify tells a change with the effective priority, 0 for a group. The FIFOs
// have it when it returns; the scripts are started by Run. It never waits.
func (n *Notifier) Notify(state NotifyState, priority uint8) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == NotifyDeleted && !n.scripts.ReportDeleted {
		state = NotifyFault
	}
	c := notice{state: state, priority: priority}
	n.write(c)
	if c.commands = n.commands(c); len(c.commands) == 0 {
		return
	}
	if len(n.queue) == notifyQueue {
		n.log.Error("notify scripts are too slow, one change is not told", "state", n.queue[0].state)
		n.queue = n.queue[1:]
	}
	n.queue = append(n.queue, c)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// write gives the FIFOs a line. The lock is held.
func (n *Notifier) write(c notice) {
	line := fifoLine(n.kind, n.name, c)
	for _, f := range n.fifos {
		f.Write(line)
	}
}

// Repeat tells the FIFOs alone a state that has not changed
// (fifo_write_vrrp_states_on_reload).
func (n *Notifier) Repeat(state NotifyState, priority uint8) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.write(notice{state: state, priority: priority})
}

// Configure replaces the name, the scripts and the FIFOs; changes told before
// keep the scripts they had.
func (n *Notifier) Configure(name string, scripts NotifyScripts, fifos []LineWriter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name, n.scripts, n.fifos = name, scripts, fifos
}

// Finish lets Run end after the changes told so far. It may be called again.
func (n *Notifier) Finish() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.finished {
		n.finished = true
		close(n.finish)
	}
}

// Run starts the scripts of each change until Finish, or until ctx ends, which
// also ends scripts that still run. After Finish it waits a second at most for
// each change; what runs longer is left to the parent-death signal.
func (n *Notifier) Run(ctx context.Context) error {
	for {
		if c, ok := n.next(); ok {
			n.perform(ctx, c)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-n.finish:
			if c, ok := n.next(); ok { // told just before
				n.perform(ctx, c)
				continue
			}
			return nil
		}
	}
}

// next takes the oldest change.
func (n *Notifier) next() (c notice, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return notice{}, false
	}
	c, n.queue = n.queue[0], n.queue[1:]
	return c, true
}

// perform starts the scripts of a change and gives them some time.
func (n *Notifier) perform(ctx context.Context, c notice) {
	var wg sync.WaitGroup
	for _, cmd := range c.commands {
		done := n.start(ctx, cmd, 0)
		wg.Go(func() {
			if o := <-done; !o.OK() {
				n.log.Warn("notify script failed", "command", cmd, "state", c.state, "result", o)
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	start := time.Now()
	t := time.NewTimer(notifyPatience)
	defer t.Stop()
	finish := n.finish
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			<-ended // ctx ends the scripts, within script.Grace
			return
		case <-finish:
			finish = nil
			t.Reset(notifyStopWait)
		case <-t.C:
			n.log.Warn("notify script still runs, not waiting for it", "state", c.state, "waited", time.Since(start))
			return
		}
	}
}

// commands gives the programs of a change in their order. The lock is held.
func (n *Notifier) commands(c notice) []script.Command {
	s := n.scripts
	var own *script.Command
	anyToo := true
	switch c.state {
	case NotifyMaster:
		own = s.Master
	case NotifyBackup:
		own = s.Backup
	case NotifyFault:
		own = s.Fault
	case NotifyStop:
		own = s.Stop
	case NotifyDeleted:
		own = s.Deleted
	case NotifyMasterRxLowerPri:
		own, anyToo = s.MasterRxLowerPri, false
	default:
		return nil
	}
	var list []script.Command
	if own != nil {
		list = append(list, *own)
	}
	if anyToo && s.Any != nil {
		list = append(list, s.Any.With(string(n.kind), n.name, string(c.state), strconv.Itoa(int(c.priority))))
	}
	return list
}

// fifoLine is the line of keepalived's FIFO, such as
// INSTANCE "VI_1" MASTER 150, without its end.
func fifoLine(kind NotifyKind, name string, c notice) string {
	return fmt.Sprintf("%s \"%s\" %s %d", kind, name, c.state, c.priority)
}
