package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// victimEnv makes the test binary build a lab and wait to be killed.
const victimEnv = "XVIP_LAB_TEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
	}
	os.Exit(m.Run())
}

func victim() {
	l, err := lab.New("victim")
	if err == nil {
		_, err = l.AddHost("host")
	}
	if err == nil {
		_, err = l.BPFFS()
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(l.Dir())
	if os.Getenv(victimEnv) == "panic" {
		panic("on purpose")
	}
	select {}
}

// startVictim gives the running victim and its lab's directory.
func startVictim(t *testing.T, how string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+how)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/") {
		t.Fatalf("victim says %q, %v", line, err)
	}
	return cmd, strings.TrimSpace(line)
}

func leftovers(t *testing.T, pid int) []string {
	t.Helper()
	var left []string
	for _, dir := range []string{"/run/netns", os.TempDir()} {
		found, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("xviplab-%d-*", pid)))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	return left
}

func TestNothingIsLeftWhenTheProcessDies(t *testing.T) {
	labtest.NeedRoot(t)
	for _, how := range []string{"kill", "panic"} {
		cmd, _ := startVictim(t, how)
		if how == "kill" {
			if got := leftovers(t, cmd.Process.Pid); len(got) != 3 {
				t.Errorf("the victim has %q, want switch, host and directory", got)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait() // always killed or a panic
		labtest.Eventually(t, 5*second, "nothing is left after "+how, func() error {
			if left := leftovers(t, cmd.Process.Pid); len(left) > 0 {
				return fmt.Errorf("%q", left)
			}
			return nil
		})
	}
}

func TestSweepRemovesOnlyWhatTheDeadLeft(t *testing.T) {
	labtest.NeedRoot(t)
	alive := labtest.New(t, "alive")
	other, _ := startVictim(t, "kill")
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	names := []string{
		"/run/netns/xviplab-" + strconv.Itoa(dead.Process.Pid) + "-old-host",
		filepath.Join(os.TempDir(), "xviplab-"+strconv.Itoa(dead.Process.Pid)+"-old-1"), // a file where a directory is expected
		"/run/netns/xviplab-" + strconv.Itoa(os.Getpid()) + "-former-host",              // one who had our number before
	}
	foreign := filepath.Join(os.TempDir(), "xviplab-notes-of-mine")
	for _, n := range append(names, foreign) {
		if err := os.WriteFile(n, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Remove(foreign)
	if err := lab.Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if _, err := os.Stat(n); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", n, err)
		}
	}
	for _, n := range []string{foreign, alive.Dir()} {
		if _, err := os.Stat(n); err != nil {
			t.Errorf("removed although in use: %v", err)
		}
	}
	if got := leftovers(t, other.Process.Pid); len(got) != 3 {
		t.Errorf("a living process's lab was touched: %q", got)
	}
}
