package vrrp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// scriptLog is a StartScript that notes what is started and when; a command
// takes the time its name says.
type scriptLog struct {
	epoch time.Time
	mu    sync.Mutex
	lines []string
}

func (s *scriptLog) start(ctx context.Context, c script.Command, _ time.Duration) <-chan script.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%v %s", time.Since(s.epoch), c))
	done := make(chan script.Outcome, 1)
	takes, err := time.ParseDuration(c.Argv[0])
	if err != nil {
		done <- script.Outcome{}
		return done
	}
	go func() {
		select {
		case <-ctx.Done():
			done <- script.Outcome{ExitCode: -1, Err: ctx.Err()}
		case <-time.After(takes):
			done <- script.Outcome{}
		}
	}()
	return done
}

type lines struct{ list []string }

func (l *lines) Write(line string) { l.list = append(l.list, line) }

func cmd(words ...string) *script.Command { return &script.Command{Argv: words} }

func allScripts() NotifyScripts {
	return NotifyScripts{Master: cmd("m", "a b"), Backup: cmd("b"), Fault: cmd("f"), Stop: cmd("s"),
		MasterRxLowerPri: cmd("rx"), Deleted: cmd("d"), Any: cmd("n", "x")}
}

// told runs a notifier over changes and gives the script starts and FIFO lines.
func told(t *testing.T, kind NotifyKind, scripts NotifyScripts, states ...NotifyState) (starts, fifo []string) {
	t.Helper()
	s, l := &scriptLog{epoch: time.Now()}, &lines{}
	n := NewNotifier(kind, "VI_1", scripts, []LineWriter{l}, s.start, slog.New(slog.DiscardHandler))
	for _, state := range states {
		n.Notify(state, 150)
	}
	n.Finish()
	noError(t, n.Run(t.Context()))
	return s.lines, l.list
}

func TestNotifyEachState(t *testing.T) {
	noDeleted := allScripts()
	noDeleted.Deleted = nil
	reported := allScripts()
	reported.ReportDeleted = true
	tests := []struct {
		scripts NotifyScripts
		state   NotifyState
		starts  []string
		fifo    string
	}{
		{allScripts(), NotifyMaster, []string{`m "a b"`, "n x INSTANCE VI_1 MASTER 150"}, `INSTANCE "VI_1" MASTER 150`},
		{allScripts(), NotifyBackup, []string{"b", "n x INSTANCE VI_1 BACKUP 150"}, `INSTANCE "VI_1" BACKUP 150`},
		{allScripts(), NotifyFault, []string{"f", "n x INSTANCE VI_1 FAULT 150"}, `INSTANCE "VI_1" FAULT 150`},
		{allScripts(), NotifyStop, []string{"s", "n x INSTANCE VI_1 STOP 150"}, `INSTANCE "VI_1" STOP 150`},
		{allScripts(), NotifyDeleted, []string{"f", "n x INSTANCE VI_1 FAULT 150"}, `INSTANCE "VI_1" FAULT 150`},
		{reported, NotifyDeleted, []string{"d", "n x INSTANCE VI_1 DELETED 150"}, `INSTANCE "VI_1" DELETED 150`},
		{noDeleted, NotifyDeleted, []string{"f", "n x INSTANCE VI_1 FAULT 150"}, `INSTANCE "VI_1" FAULT 150`},
		{allScripts(), NotifyMasterRxLowerPri, []string{"rx"}, `INSTANCE "VI_1" MASTER_RX_LOWER_PRI 150`},
		{allScripts(), NotifyMasterPriority, nil, `INSTANCE "VI_1" MASTER_PRIORITY 150`},
		{allScripts(), NotifyBackupPriority, nil, `INSTANCE "VI_1" BACKUP_PRIORITY 150`},
		{NotifyScripts{}, NotifyMaster, nil, `INSTANCE "VI_1" MASTER 150`},
		{NotifyScripts{Any: cmd("n")}, NotifyMaster, []string{"n INSTANCE VI_1 MASTER 150"}, `INSTANCE "VI_1" MASTER 150`},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			starts, fifo := told(t, NotifyInstance, tt.scripts, tt.state)
			var want []string
			for _, s := range tt.starts {
				want = append(want, "0s "+s)
			}
			if !slices.Equal(starts, want) || !slices.Equal(fifo, []string{tt.fifo}) {
				t.Errorf("%s: started %q, want %q; wrote %q, want %q", tt.state, starts, want, fifo, tt.fifo)
			}
		})
	}
}

func TestNotifyGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := &lines{}, &scriptLog{epoch: time.Now()}
		n := NewNotifier(NotifyGroup, "VG", NotifyScripts{Any: cmd("n")}, []LineWriter{l}, s.start, slog.New(slog.DiscardHandler))
		n.Notify(NotifyBackup, 0)
		n.Finish()
		noError(t, n.Run(t.Context()))
		if want := []string{`GROUP "VG" BACKUP 0`}; !slices.Equal(l.list, want) {
			t.Errorf("wrote %q", l.list)
		}
		if want := []string{"0s n GROUP VG BACKUP 0"}; !slices.Equal(s.lines, want) {
			t.Errorf("started %q", s.lines)
		}
	})
}

// The scripts of rapid changes keep their order; the two of one change run
// side by side; one that hangs delays the next change, but not for ever.
func TestNotifyOrderOfRapidChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scriptLog{epoch: time.Now()}
		log, logs := testLog()
		n := NewNotifier(NotifyInstance, "VI_1", NotifyScripts{Master: cmd("1h"), Backup: cmd("3s"), Fault: cmd("f"), Any: cmd("1s")}, nil, s.start, log)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { noError(t, n.Run(ctx)) })
		before := time.Now()
		for _, state := range []NotifyState{NotifyBackup, NotifyMaster, NotifyFault} {
			n.Notify(state, 100)
		}
		if time.Since(before) != 0 {
			t.Error("telling a change waits")
		}
		<-time.After(time.Minute)
		want := []string{
			"0s 3s", "0s 1s INSTANCE VI_1 BACKUP 100",
			"3s 1h", "3s 1s INSTANCE VI_1 MASTER 100",
			"8s f", "8s 1s INSTANCE VI_1 FAULT 100",
		}
		if !slices.Equal(s.lines, want) {
			t.Errorf("started:\n%s\nwant:\n%s", strings.Join(s.lines, "\n"), strings.Join(want, "\n"))
		}
		if !strings.Contains(logs.String(), "still runs") || !strings.Contains(logs.String(), "state=MASTER") {
			t.Errorf("log: %s", logs)
		}
		cancel()
		wg.Wait()
	})
}

// The end waits a second for notify_stop, also behind a script that hangs.
func TestNotifyFinishWaitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scriptLog{epoch: time.Now()}
		n := NewNotifier(NotifyInstance, "VI_1", NotifyScripts{Master: cmd("1h"), Stop: cmd("2h")}, nil, s.start, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan time.Duration, 1)
		go func() {
			noError(t, n.Run(ctx))
			done <- time.Since(s.epoch)
		}()
		n.Notify(NotifyMaster, 100)
		<-time.After(100 * time.Millisecond)
		n.Notify(NotifyStop, 100)
		n.Finish()
		if d := <-done; d != 2100*time.Millisecond {
			t.Errorf("ended after %v", d)
		}
		if want := []string{"0s 1h", "1.1s 2h"}; !slices.Equal(s.lines, want) {
			t.Errorf("started %q", s.lines)
		}
		cancel() // ends the scripts of this bubble
	})
}

// A queue that runs over loses the oldest changes and says so.
func TestNotifyQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logs := testLog()
		s, l := &scriptLog{epoch: time.Now()}, &lines{}
		n := NewNotifier(NotifyInstance, "VI_1", allScripts(), []LineWriter{l}, s.start, log)
		for range notifyQueue {
			n.Notify(NotifyBackup, 100)
		}
		n.Notify(NotifyMaster, 100)
		n.Finish()
		noError(t, n.Run(t.Context()))
		if len(s.lines) != 2*notifyQueue || !strings.HasSuffix(s.lines[2*notifyQueue-1], "MASTER 100") {
			t.Errorf("%d started, the last is %q", len(s.lines), s.lines[len(s.lines)-1])
		}
		if len(l.list) != notifyQueue+1 {
			t.Errorf("%d lines written", len(l.list))
		}
		if strings.Count(logs.String(), "not told") != 1 {
			t.Errorf("log: %s", logs)
		}
	})
}

func TestNotifyStateOf(t *testing.T) {
	for role, want := range map[Role]NotifyState{Master: NotifyMaster, Backup: NotifyBackup, Fault: NotifyFault, Initialize: ""} {
		if got, ok := NotifyStateOf(role); got != want || ok != (want != "") {
			t.Errorf("%v: got %q, %v", role, got, ok)
		}
	}
}

// With real programs: arguments, order and the FIFO.
func TestNotifyRealScripts(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	log, _ := testLog()
	fifo, err := script.OpenFIFO(filepath.Join(dir, "fifo"), uint32(os.Geteuid()), uint32(os.Getegid()), log)
	noError(t, err)
	defer fifo.Close()
	record := cmd("/bin/sh", "-c", `echo "$@" >>"$0"`, out)
	n := NewNotifier(NotifyInstance, "VI_1", NotifyScripts{Any: record}, []LineWriter{fifo}, script.Start, log)
	n.Notify(NotifyBackup, 100)
	n.Notify(NotifyMaster, 101)
	n.Notify(NotifyStop, 101)
	n.Finish()
	noError(t, n.Run(t.Context()))
	got, err := os.ReadFile(out)
	noError(t, err)
	if want := "INSTANCE VI_1 BACKUP 100\nINSTANCE VI_1 MASTER 101\nINSTANCE VI_1 STOP 101\n"; string(got) != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
