package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sh gives a command that runs a text with the shell: the tests' programs.
func sh(text string, args ...string) Command {
	return Command{Argv: append([]string{"/bin/sh", "-c", text, "sh"}, args...), Capture: true}
}

// pidFile reads a process number that a program has written.
func pidFile(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitGone waits until the process has ended; a zombie that init has not
// collected counts as ended.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(5 * time.Second)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("process %d still runs: %s", pid, stat)
		}
	}
}

func TestRunExitStatus(t *testing.T) {
	for _, code := range []int{0, 1, 2, 255} {
		o := Run(t.Context(), sh(fmt.Sprintf("exit %d", code)), time.Minute)
		if o.ExitCode != code || o.Signal != 0 || o.TimedOut || o.Err != nil || o.OK() != (code == 0) {
			t.Errorf("exit %d: got %+v", code, o)
		}
	}
}

func TestRunTakesArgumentsWithoutShell(t *testing.T) {
	o := Run(t.Context(), Command{Argv: []string{"echo", "$HOME", "a  b", "; id"}, Capture: true}, time.Minute)
	if got, want := string(o.Output), "$HOME a  b ; id\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestRunStdinIsEmpty(t *testing.T) {
	if o := Run(t.Context(), sh("read x; echo got $?"), time.Minute); string(o.Output) != "got 1\n" {
		t.Errorf("got %+v, output %q", o, o.Output)
	}
}

func TestRunSignal(t *testing.T) {
	o := Run(t.Context(), sh("kill -9 $$"), time.Minute)
	if o.Signal != syscall.SIGKILL || o.ExitCode != -1 || o.OK() || o.String() != "ended by signal SIGKILL" {
		t.Errorf("got %+v: %v", o, o)
	}
}

func TestRunTimeoutEndsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	o := Run(t.Context(), sh("sleep 60 & echo $! >$1; wait", file), 200*time.Millisecond)
	if !o.TimedOut || o.OK() || o.Signal != syscall.SIGTERM || o.String() != "timed out" {
		t.Errorf("got %+v: %v", o, o)
	}
	waitGone(t, pidFile(t, file))
}

func TestRunKillsWhatIgnoresTerm(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	o := Run(t.Context(), sh(`trap "" TERM; sleep 60 & echo $! >$1; while :; do wait; done`, file), 200*time.Millisecond)
	if !o.TimedOut || o.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", o)
	}
	if d := time.Since(start); d < Grace {
		t.Errorf("killed after %v, want at least %v", d, Grace)
	}
	waitGone(t, pidFile(t, file))
}

// A child that ignores SIGTERM and outlives a timed-out program is killed too.
func TestRunKillsOrphanOfTimedOutProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	o := Run(t.Context(), sh(`(trap "" TERM; sleep 60) & echo $! >$1; wait`, file), 200*time.Millisecond)
	if !o.TimedOut {
		t.Errorf("got %+v", o)
	}
	waitGone(t, pidFile(t, file))
}

// A program that leaves a child holding its output does not hold Run.
func TestRunChildThatOutlives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	o := Run(t.Context(), sh("sleep 60 & echo $! >$1; echo done", file), time.Minute)
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("returned after %v", d)
	}
	if !o.OK() || string(o.Output) != "done\n" {
		t.Errorf("got %+v, output %q", o, o.Output)
	}
	pid := pidFile(t, file)
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("the child in the background is gone: %v", err)
	}
	_ = unix.Kill(pid, unix.SIGKILL)
}

func TestRunHugeOutput(t *testing.T) {
	o := Run(t.Context(), sh("head -c 20000000 /dev/zero; echo end >&2"), time.Minute)
	if !o.OK() || len(o.Output) != OutputLimit {
		t.Errorf("got code %d err %v, %d octets of output", o.ExitCode, o.Err, len(o.Output))
	}
}

func TestRunWithoutCaptureHasNoOutput(t *testing.T) {
	c := sh("readlink /proc/$$/fd/1 >$1; echo lost", filepath.Join(t.TempDir(), "out"))
	c.Capture = false
	if o := Run(t.Context(), c, time.Minute); !o.OK() || len(o.Output) != 0 {
		t.Errorf("got %+v", o)
	}
}

func TestRunCancelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the daemon stops")
	go func() {
		// Opening returns when the program has opened the other end: it runs.
		if f, err := os.Open(file); err == nil {
			defer f.Close()
		}
		cancel(cause)
	}()
	o := Run(ctx, sh("exec sleep 60 >$1", file), time.Minute)
	if !errors.Is(o.Err, cause) || o.OK() || o.TimedOut || o.Signal != syscall.SIGTERM {
		t.Errorf("got %+v", o)
	}
	if o := Run(ctx, sh("exit 0"), time.Minute); !errors.Is(o.Err, cause) {
		t.Errorf("after the end of the context: got %+v", o)
	}
}

func TestRunMissingProgram(t *testing.T) {
	o := Run(t.Context(), Command{Argv: []string{"/nonexistent/check.sh"}}, time.Minute)
	if !errors.Is(o.Err, os.ErrNotExist) || o.ExitCode != -1 || o.OK() {
		t.Errorf("got %+v", o)
	}
	if want := `start script "/nonexistent/check.sh"`; !strings.HasPrefix(o.String(), want) {
		t.Errorf("got %q, want the beginning %q", o.String(), want)
	}
	if o := Run(t.Context(), Command{}, time.Minute); o.Err == nil {
		t.Error("an empty command ran")
	}
}

// A text file without an interpreter line runs with /bin/sh.
func TestRunTextWithoutInterpreter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "check.sh")
	if err := os.WriteFile(file, []byte("echo got $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := Run(t.Context(), Command{Argv: []string{file, "a b"}, Capture: true}, time.Minute)
	if !o.OK() || string(o.Output) != "got a b\n" {
		t.Errorf("got %+v, output %q", o, o.Output)
	}
}

func TestRunIdentity(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing the identity needs root")
	}
	c := Command{Argv: []string{"/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)"}, Capture: true,
		HasUser: true, UID: 65534, GID: 65533, Groups: []uint32{65533, 1234}, Dir: "/"}
	o := Run(t.Context(), c, time.Minute)
	if got := strings.TrimSpace(string(o.Output)); got != "65534 65533 65533 1234" {
		t.Errorf("got %q, %v", got, o)
	}
}

func TestRunProcessGroupAndParentDeathSignal(t *testing.T) {
	o := Run(t.Context(), sh("cut -d' ' -f1,5 /proc/$$/stat"), time.Minute)
	pid, pgrp, _ := strings.Cut(strings.TrimSpace(string(o.Output)), " ")
	if pid == "" || pid != pgrp {
		t.Errorf("process %q is in group %q", pid, pgrp)
	}
}

// TestParentDeath starts this test binary as a daemon that runs a program, and
// kills it: the program must get SIGTERM.
func TestParentDeath(t *testing.T) {
	if file := os.Getenv("XVIP_SCRIPT_CHILD"); file != "" {
		Run(context.Background(), Command{Argv: []string{"/bin/sh", "-c",
			`trap "echo term >$1.end; exit" TERM; echo $$ >$1.pid; mv $1.pid $1; while :; do sleep 0.05; done`, "sh", file}}, 0)
		return
	}
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file+".end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	daemon, err := os.StartProcess(exe, []string{exe, "-test.run=^TestParentDeath$"},
		&os.ProcAttr{Env: append(os.Environ(), "XVIP_SCRIPT_CHILD="+file)})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(file); return err == nil })
	pid := pidFile(t, file)
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = daemon.Wait()
	waitGone(t, pid)
	if b, err := os.ReadFile(file + ".end"); err != nil || string(b) != "term\n" {
		t.Errorf("the program ended without SIGTERM: %q, %v", b, err)
	}
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the condition did not come true in 10 s")
		}
	}
}

func TestStartKeepsTheOrder(t *testing.T) {
	first := Start(t.Context(), sh("exec sleep 1"), time.Minute)
	second := Start(t.Context(), sh("exit 3"), time.Minute)
	if o := <-second; o.ExitCode != 3 {
		t.Errorf("second: %+v", o)
	}
	select {
	case o := <-first:
		t.Errorf("the first ended before the second, or Start waited: %+v", o)
	default:
	}
	if o := <-first; !o.OK() {
		t.Errorf("first: %+v", o)
	}
	if o := <-Start(t.Context(), Command{Argv: []string{"/nonexistent"}}, 0); o.Err == nil {
		t.Error("a missing program has started")
	}
}

// Programs that run take no threads: the runtime ends a process with 10,000.
func TestRunningProgramsTakeNoThreads(t *testing.T) {
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := threads()
	ctx, cancel := context.WithCancel(t.Context())
	var running []<-chan Outcome
	for range 60 {
		running = append(running, Start(ctx, Command{Argv: []string{"sleep", "60"}}, 0))
	}
	if now := threads(); now > before+20 {
		t.Errorf("%d threads with 60 programs, %d before", now, before)
	}
	cancel()
	for _, done := range running {
		if o := <-done; o.Signal != syscall.SIGTERM {
			t.Errorf("got %+v", o)
		}
	}
}

// Where the runtime's poller cannot watch a process, a thread does.
func TestHasExitedWaits(t *testing.T) {
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "0.1"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(p.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if hasExited(fd, unix.WNOHANG) {
		t.Error("the program has ended already")
	}
	if !hasExited(fd, 0) || !hasExited(fd, unix.WNOHANG) {
		t.Error("the program has not ended")
	}
	if state, err := p.Wait(); err != nil || !state.Success() {
		t.Errorf("the program was reaped: %v, %v", state, err)
	}
	if !hasExited(fd, unix.WNOHANG) {
		t.Error("a reaped program has not ended")
	}
}

func TestCommandText(t *testing.T) {
	c := Command{Argv: []string{"/usr/bin/notify", "a b"}}
	full := c.With("INSTANCE", "VI_1")
	if got, want := full.String(), `/usr/bin/notify "a b" INSTANCE VI_1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(c.Argv) != 2 {
		t.Errorf("With changed its receiver: %v", c)
	}
}
