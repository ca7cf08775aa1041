package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecondDaemonIsRefusedWithThePidOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = takeLock(dir)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("second lock: %v", err)
	}
	first.release()
	again, err := takeLock(dir)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	again.release()
}

func TestPidFileReplacesALinkInsteadOfFollowingIt(t *testing.T) {
	dir := t.TempDir()
	victim, pid := filepath.Join(dir, "victim"), filepath.Join(dir, "x.pid")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, pid); err != nil {
		t.Fatal(err)
	}
	if err := writePid(pid); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the link was followed: %q", b)
	}
	if b, _ := os.ReadFile(pid); string(b) != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("pid file holds %q", b)
	}
	if err := writePid("/nowhere/x.pid"); err == nil || !strings.Contains(err.Error(), "/nowhere/x.pid") {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestDumpsArePrivateAndReplaceLinks(t *testing.T) {
	dir := t.TempDir()
	victim, dump := filepath.Join(dir, "victim"), filepath.Join(dir, "keepalived.data")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, dump); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(dump, []byte("state")); err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(dump)
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o600 {
		t.Errorf("dump is %v, %v", st.Mode(), err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the link was followed: %q", b)
	}
}

func TestSignum(t *testing.T) {
	for name, want := range map[string]int{"STOP": 15, "reload": 1, "DATA": 10, "STATS": 12, "STATS_CLEAR": 63, "JSON": 36} {
		if n, err := Signum(name); err != nil || n != want {
			t.Errorf("%s is %d, %v, want %d", name, n, err, want)
		}
	}
	if _, err := Signum("HALT"); err == nil || !strings.Contains(err.Error(), "RELOAD") {
		t.Errorf("unknown signal: %v", err)
	}
}

func TestWaitReadyHandsOnTheFirstWords(t *testing.T) {
	if err := waitReady(strings.NewReader("a warning\nready\n")); err != nil {
		t.Errorf("ready: %v", err)
	}
	err := waitReady(strings.NewReader("xvip: open raw socket: operation not permitted\n"))
	if err == nil || !strings.Contains(err.Error(), "open raw socket") {
		t.Errorf("failed start: %v", err)
	}
	if err := waitReady(strings.NewReader("")); err == nil {
		t.Error("an end without a word counts as ready")
	}
}
