package vrrp

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTrackProcessMatches(t *testing.T) {
	tests := []struct {
		name string
		cfg  TrackProcess
		comm string
		argv string
		want bool
	}{
		{"name", TrackProcess{Process: "nginx"}, "nginx", "nginx: master process", true},
		{"no part of a name", TrackProcess{Process: "ssh"}, "sshd", "sshd", false},
		{"name longer than the kernel keeps", TrackProcess{Process: "a-very-long-process-name"}, "a-very-long-pro", "x", true},
		{"path", TrackProcess{Process: "/usr/sbin/nginx"}, "nginx", "/usr/sbin/nginx -g x", true},
		{"other path", TrackProcess{Process: "/usr/sbin/nginx"}, "nginx", "/opt/nginx", false},
		{"full command, any arguments", TrackProcess{Process: "nginx", FullCommand: true}, "x", "nginx -g x", true},
		{"arguments", TrackProcess{Process: "java", Params: []string{"-jar", "a"}}, "java", "java -jar a", true},
		{"one more", TrackProcess{Process: "java", Params: []string{"-jar", "a"}}, "java", "java -jar a b", false},
		{"one less", TrackProcess{Process: "java", Params: []string{"-jar", "a"}}, "java", "java -jar", false},
		{"partial", TrackProcess{Process: "java", Params: []string{"-jar"}, ParamMatch: MatchPartial}, "java", "java -jar a b", true},
		{"partial, other", TrackProcess{Process: "java", Params: []string{"-jar"}, ParamMatch: MatchPartial}, "java", "java -jarr", false},
		{"initial", TrackProcess{Process: "java", Params: []string{"-jar", "a"}, ParamMatch: MatchInitial}, "java", "java -jar app", true},
		{"initial, only the last", TrackProcess{Process: "java", Params: []string{"-j", "a"}, ParamMatch: MatchInitial}, "java", "java -jar app", false},
		{"initial, one more", TrackProcess{Process: "java", Params: []string{"-jar"}, ParamMatch: MatchInitial}, "java", "java -jar app", false},
		{"none wanted", TrackProcess{Process: "java", ParamMatch: MatchInitial}, "java", "java", true},
		{"none wanted, one there", TrackProcess{Process: "java", ParamMatch: MatchPartial}, "java", "java -jar", false},
		{"kernel thread", TrackProcess{Process: "kthreadd", FullCommand: true}, "kthreadd", "", false},
	}
	for _, tt := range tests {
		p := process{comm: tt.comm}
		if tt.argv != "" {
			p.argv = strings.Split(tt.argv, " ")
		}
		if got := tt.cfg.matches(p); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestTrackProcessQuorum(t *testing.T) {
	for _, tt := range []struct {
		least, most, count int
		want               bool
	}{{1, -1, 0, false}, {1, -1, 1, true}, {1, -1, 99, true}, {2, 3, 1, false}, {2, 3, 3, true}, {2, 3, 4, false}, {0, 0, 0, true}, {0, 0, 1, false}} {
		if got := (TrackProcess{Quorum: tt.least, QuorumMax: tt.most}).quorate(tt.count); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestParseProcessStat(t *testing.T) {
	for text, want := range map[string]processStat{
		"1 (init) S 0 1":           {comm: "init"},
		"7 (a) b (c)) Z 1 7":       {comm: "a) b (c)", zombie: true},
		"7 (Web Content) X 1":      {comm: "Web Content", zombie: true},
		"12 (((sd-pam))) S 1 12 0": {comm: "((sd-pam))"},
	} {
		if got, ok := parseProcessStat(text); !ok || got != want {
			t.Errorf("%q: got %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1 init S", "1 (init)", ")("} {
		if got, ok := parseProcessStat(text); ok {
			t.Errorf("%q: got %+v", text, got)
		}
	}
	if got := parseCmdline("/bin/a\x00\x00b c\x00"); !slices.Equal(got, []string{"/bin/a", "", "b c"}) {
		t.Errorf("got %q", got)
	}
	if got := parseCmdline(""); got != nil {
		t.Errorf("got %q", got)
	}
}

// sleeper copies a program under a name that no other process has.
func sleeper(t *testing.T) (path string) {
	t.Helper()
	program, err := os.ReadFile("/bin/sleep")
	noError(t, err)
	path = filepath.Join(t.TempDir(), "xv-"+strconv.Itoa(os.Getpid()))
	noError(t, os.WriteFile(path, program, 0o755))
	return path
}

// startProcess starts a program; end kills and collects it.
func startProcess(t *testing.T, path string) (end func()) {
	t.Helper()
	c := exec.Command(path, "600")
	noError(t, c.Start())
	end = sync.OnceFunc(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	t.Cleanup(end)
	return end
}

func TestProcessTracker(t *testing.T) {
	path := sleeper(t)
	byName := TrackProcess{Name: "name", Process: filepath.Base(path), Quorum: 1, QuorumMax: -1}
	two := TrackProcess{Name: "two", Process: path, Params: []string{"600"}, Quorum: 2, QuorumMax: 2}
	slow := TrackProcess{Name: "slow", Process: filepath.Base(path), Quorum: 1, QuorumMax: -1, ForkDelay: 300 * time.Millisecond, TerminateDelay: time.Hour}
	for _, rescan := range []time.Duration{time.Hour, 20 * time.Millisecond} { // the first relies on events
		log, _ := testLog()
		m, trackers, err := NewProcessMonitor([]TrackProcess{byName, two, slow}, log)
		noError(t, err)
		m.rescan = rescan
		is := func(want ...TrackState) {
			t.Helper()
			eventually(t, "the states are wrong", func() bool {
				return slices.EqualFunc(trackers, want, func(a *ProcessTracker, s TrackState) bool { return a.State() == s })
			})
		}
		is(TrackDown, TrackDown, TrackDown)
		runTask(t, m.Run)
		start := time.Now()
		first := startProcess(t, path)
		is(TrackUp, TrackDown, TrackUp)
		if d := time.Since(start); d < slow.ForkDelay {
			t.Errorf("up after %v, before the delay", d)
		}
		second := startProcess(t, path)
		is(TrackUp, TrackUp, TrackUp)
		third := startProcess(t, path)
		is(TrackUp, TrackDown, TrackUp)
		third()
		is(TrackUp, TrackUp, TrackUp)
		first()
		is(TrackUp, TrackDown, TrackUp)
		second()
		is(TrackDown, TrackDown, TrackUp) // its delay is an hour
	}
}

// A zombie runs no more, though it is listed until it is collected.
func TestProcessTrackerIgnoresZombies(t *testing.T) {
	path := sleeper(t)
	c := exec.Command(path, "0")
	noError(t, c.Start())
	eventually(t, "the process has not ended", func() bool {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/stat")
		stat, ok := parseProcessStat(string(text))
		return err == nil && ok && stat.zombie
	})
	_, trackers, err := NewProcessMonitor([]TrackProcess{{Process: filepath.Base(path), Quorum: 1, QuorumMax: -1}}, slog.New(slog.DiscardHandler))
	noError(t, err)
	if s := trackers[0].State(); s != TrackDown {
		t.Errorf("state %v", s)
	}
	noError(t, c.Wait())
}

// In a network namespace the kernel does not tell of processes.
func TestProcessTrackerWithoutConnector(t *testing.T) {
	path := sleeper(t)
	m, trackers, err := NewProcessMonitor([]TrackProcess{{Process: filepath.Base(path), Quorum: 1, QuorumMax: -1}}, slog.New(slog.DiscardHandler))
	noError(t, err)
	m.rescan = 20 * time.Millisecond
	nl := inNetns(t)
	runTask(t, func(ctx context.Context) error { return nl.Do(func() error { return m.Run(ctx) }) })
	startProcess(t, path)
	eventually(t, "the process is not seen", func() bool { return trackers[0].State() == TrackUp })
}
