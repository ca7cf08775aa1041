package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/script"
)

// TestScheduling has a process of its own, the test again, take settings and
// give them back.
func TestScheduling(t *testing.T) {
	if os.Getenv("XVIP_TEST_SCHEDULING") == "" {
		if os.Geteuid() != 0 {
			t.Skip("needs root: a real-time priority")
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestScheduling$", "-test.v")
		cmd.Env = append(os.Environ(), "XVIP_TEST_SCHEDULING=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	s := newScheduling(slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		set  config.Process
		want string // policy, nice, priority and CPUs of the daemon; of scripts; locked
	}{
		{config.Process{RTPriority: 3, CPUAffinity: []int{0}, NoSwap: true}, "2 0 3 1cpu | 0 0 0 all | locked"},
		{config.Process{Priority: -5}, "0 -5 0 all | 0 0 0 all | free"},
		{config.Process{}, "0 0 0 all | 0 0 0 all | free"},
	} {
		s.apply(c.set)
		for range 8 { // threads that are made later
			go time.Sleep(time.Millisecond)
		}
		if s.all.Count() == 1 {
			c.want = strings.ReplaceAll(c.want, "1cpu", "all")
		}
		if got := scheduled(t, s); got != c.want {
			t.Errorf("with %+v: %s, want %s", c.set, got, c.want)
		}
	}
}

func scheduled(t *testing.T, s *scheduling) string {
	t.Helper()
	tids, err := threads()
	if err != nil {
		t.Fatal(err)
	}
	one := func(tid int) string {
		a, err := unix.SchedGetAttr(tid, 0)
		var cpus unix.CPUSet
		if err == nil {
			err = unix.SchedGetaffinity(tid, &cpus)
		}
		if err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("%dcpu", cpus.Count())
		if cpus == s.all {
			where = "all"
		}
		return fmt.Sprintf("%d %d %d %s", a.Policy, a.Nice, a.Priority, where)
	}
	daemon := ""
	for _, tid := range tids {
		if tid == script.Thread() {
			continue
		}
		if now := one(tid); daemon == "" || daemon == now {
			daemon = now
		} else {
			t.Errorf("one thread has %s, another one %s", daemon, now)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	memory := "locked"
	if strings.Contains(string(status), "VmLck:\t       0 kB") {
		memory = "free"
	}
	return daemon + " | " + one(script.Thread()) + " | " + memory
}
