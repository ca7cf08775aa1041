package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// program writes a shell script and returns how to run it.
func program(t *testing.T, body string, args ...string) script.Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return script.Command{Argv: append([]string{path}, args...)}
}

func TestMisc(t *testing.T) {
	for _, test := range []struct {
		name    string
		body    string
		dynamic bool
		ok      bool
		words   string
		weight  int
	}{
		{"0 is good", "exit 0", false, true, "exit status 0", 0},
		{"1 is bad", "exit 1", false, false, "exit status 1", 0},
		{"so is any other status", "exit 10", false, false, "exit status 10", 0},
		{"what it says is told", "echo 'disk full'; echo more; exit 1", false, false, "exit status 1: disk full", 0},
		{"and cannot forge a log", `printf 'a\033b\n'; exit 1`, false, false, `a\x1bb`, 0},
		{"arguments", `test "$1 $2" = "a b c"`, false, true, "", 0},
		{"killed", "kill -9 $$", false, false, "SIGKILL", 0},
		{"killed with dynamic", "kill -9 $$", true, false, "SIGKILL", 0},
		{"dynamic 0", "exit 0", true, true, "", 0},
		{"dynamic 1", "exit 1", true, false, "exit status 1", 0},
		{"dynamic 2 is weight 0", "exit 2", true, true, "weight 0", -7},
		{"dynamic 10 is weight 8", "exit 10", true, true, "weight 8", 1},
		{"dynamic 255 is weight 253", "exit 255", true, true, "weight 253", 246},
		{"a gigabyte of output", "head -c 1000000000 /dev/zero; exit 1", false, false, "exit status 1", 0},
		{"hangs", "sleep 100", false, false, "timed out", 0},
		{"hangs with dynamic", "trap 'exit 9' TERM; sleep 100 & wait", true, false, "timed out", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			limit := 5 * time.Second
			if strings.HasPrefix(test.name, "hangs") {
				limit = 300 * time.Millisecond
			}
			m := NewMisc(MiscConfig{Command: program(t, test.body, "a", "b c"), Timeout: limit, Dynamic: test.dynamic, ServerWeight: 7})
			r := check(t, m)
			wantResult(t, r, test.ok, test.words)
			if r.Weight != test.weight || r.HasWeight != (test.dynamic && test.ok) {
				t.Errorf("weight %d %v, want %d", r.Weight, r.HasWeight, test.weight)
			}
			if len(r.Reason) > 600 {
				t.Errorf("reason of %d octets", len(r.Reason))
			}
		})
	}
}

func TestMiscMissingProgram(t *testing.T) {
	m := NewMisc(MiscConfig{Command: script.Command{Argv: []string{"/nonexistent/check"}}})
	wantResult(t, check(t, m), false, "no such file")
}

// Status 0 leaves the weight at what was asked for last.
func TestMiscDynamicKeepsItsWeight(t *testing.T) {
	status := filepath.Join(t.TempDir(), "status")
	m := NewMisc(MiscConfig{Command: program(t, `exit $(cat "$1")`, status), Dynamic: true, ServerWeight: 1})
	for _, step := range []struct {
		status string
		weight int
	}{{"0", 0}, {"22", 19}, {"0", 19}, {"3", 0}} {
		if err := os.WriteFile(status, []byte(step.status), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := check(t, m); !r.OK || !r.HasWeight || r.Weight != step.weight {
			t.Errorf("status %s: %+v, want weight %d", step.status, r, step.weight)
		}
	}
}
