package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// output collects what a process writes while others look at it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// demo starts `xvip demo` and gives its output as it comes.
func demo(t *testing.T, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	out := &output{}
	cmd := exec.CommandContext(t.Context(), xvip(t), append([]string{"demo"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestDemo runs the demo: every step holds, in less than two minutes, and
// nothing is left. It has the machine for itself: its steps are as long as failovers are.
func TestDemo(t *testing.T) {
	began := time.Now()
	cmd, out := demo(t)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it took %v, want less than 2 minutes", took)
	}
	steps := strings.Count(out.String(), "     expected  ")
	if held := strings.Count(out.String(), "     ok        "); steps < 8 || held != steps {
		t.Errorf("%d of %d steps held:\n%s", held, steps, out)
	}
	nothingLeft(t, cmd.Process.Pid)
}

// TestDemoIsKept keeps the lab, asks both directors as it says, and ends it.
func TestDemoIsKept(t *testing.T) {
	cmd, out := demo(t, "--keep")
	labtest.Eventually(t, 2*time.Minute, "the lab is kept", func() error {
		if !strings.Contains(out.String(), "stays up until Ctrl-C") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	tried, printed := 0, strings.Split(out.String(), "stays up until Ctrl-C")[1]
	for line := range strings.Lines(printed) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
		if !strings.Contains(line, " status ") {
			continue
		}
		tried++
		b, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
		if err != nil || len(b) == 0 {
			t.Errorf("%s: %v\n%s", line, err, b)
		}
	}
	if tried != 2 {
		t.Errorf("%d commands about both directors, want 2:\n%s", tried, printed)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("a kept demo whose steps held ends with %v", err)
	}
	nothingLeft(t, cmd.Process.Pid)
}

// TestDemoIsInterrupted ends the demo as Ctrl-C does: it says so, fails, and
// leaves nothing. The demo removes its switch, which failovers beside it would
// feel (lab.KeepSwitches), so nothing runs beside it.
func TestDemoIsInterrupted(t *testing.T) {
	cmd, out := demo(t)
	labtest.Eventually(t, 30*time.Second, "the second step", func() error {
		if !strings.Contains(out.String(), "2/9") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("an interrupted demo ends well:\n%s", out)
	}
	if !strings.Contains(out.String(), "interrupted") {
		t.Errorf("it does not say that it was interrupted:\n%s", out)
	}
	nothingLeft(t, cmd.Process.Pid)
}

// nothingLeft checks that a dead process left no namespace, directory or
// daemon.
func nothingLeft(t *testing.T, pid int) {
	t.Helper()
	mark := fmt.Sprintf("xviplab-%d-", pid)
	for _, dir := range []string{"/run/netns", os.TempDir()} {
		left, err := filepath.Glob(filepath.Join(dir, mark+"*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	all, err := exec.CommandContext(ctx, "ps", "-eo", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, mark) {
			t.Errorf("still running: %s", line)
		}
	}
}
