package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// withNginx starts a process called nginx and the daemon beside it, and reaps
// both: a dead child that nobody waits for still counts for killall. It runs
// among processes of its own, because killall sees all there are.
const withNginx = `"$0" 100000 & "$@" & wait; wait`

// TestTrackScript runs nginx-track-script.conf against nginx-dual-master-2.conf:
// without nginx the priority falls by 15, below that of the peer, which takes
// the address; with nginx it comes back.
func TestTrackScript(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "track")
	for _, tool := range []string{"killall", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("Debian's psmisc and util-linux are needed (make deps installs them): %v", err)
		}
	}
	// A script runs as a user who must be able to read /proc and the binary.
	nginx := filepath.Join(l.Dir(), "nginx")
	copyFile(t, "/bin/sleep", nginx)
	a := xvipNode(t, labtest.Host(t, l, "nginx1", "192.168.166.130/24"), "", example(t, "nginx-track-script.conf"),
		"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", withNginx, nginx)
	b := xvipNode(t, labtest.Host(t, l, "nginx2", "192.168.166.132/24"), "", example(t, "nginx-dual-master-2.conf"))
	a.start()
	b.start()
	a.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER", "VI_2": "BACKUP"})
	waitOwner(t, slack, vip1, a, a, b)
	wantPriority(t, a, 100)

	pid := processNamed(t, a.host, "nginx")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// interval 1, fall 2, then the next advertisement tells the peer, whose own
	// timer has to run out: it preempts.
	waitOwner(t, 3*time.Second+masterDown+slack, vip1, b, a, b)
	wantPriority(t, a, 85)
	b.wantStates(slack, both)

	again, err := a.host.Start(lab.Command{Argv: []string{"nsenter", "--pid", "--target", strconv.Itoa(processNamed(t, a.host, "xvip")), nginx, "100000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	waitOwner(t, 2*time.Second+masterDown+slack, vip1, a, a, b)
	wantPriority(t, a, 100)
}

func wantPriority(t *testing.T, n *node, want int) {
	t.Helper()
	labtest.Eventually(t, 2*slack, fmt.Sprintf("priority %d", want), func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		for _, r := range st.VirtualRouters {
			if r.Name == "VI_1" && (r.EffectivePriority != want || r.Priority != 100) {
				return fmt.Errorf("priority is %d of %d", r.EffectivePriority, r.Priority)
			}
		}
		return nil
	})
}

// processNamed finds the process of that name on the host.
func processNamed(t *testing.T, h *lab.Host, name string) int {
	t.Helper()
	pids, err := h.Pids()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, pid := range pids {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(comm)) == name {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d processes called %q on %s, want 1", len(found), name, h.Name())
	}
	return found[0]
}

// TestNotifyScript gives the example's notify.sh to the daemon, as its text
// says, with a mail command that writes down what it is called with.
func TestNotifyScript(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "notify")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notify.sh"), []byte(example(t, "notify.sh")), 0o755); err != nil {
		t.Fatal(err)
	}
	mails, states := filepath.Join(dir, "mails"), filepath.Join(dir, "states")
	writeScript(t, filepath.Join(dir, "mail"), `printf '%s\n' "$*" >> `+mails)
	writeScript(t, filepath.Join(dir, "any.sh"), `printf '%s\n' "$*" >> `+states)
	for _, f := range []string{mails, states} {
		if err := os.WriteFile(f, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f, 0o666); err != nil { // scripts may run as another user
			t.Fatal(err)
		}
	}
	var notify strings.Builder
	for _, state := range []string{"master", "backup", "fault"} {
		fmt.Fprintf(&notify, "    notify_%s \"%s/notify.sh -n %s -a 172.16.100.1\"\n", state, dir, state)
	}
	fmt.Fprintf(&notify, "    notify %s/any.sh\n", dir)
	text := strings.Replace(example(t, "nginx-dual-master-1.conf"), "    advert_int 1\n", "    advert_int 1\n"+notify.String(), 1)
	n := xvipNode(t, labtest.Host(t, l, "nginx1", "192.168.166.130/24"), "", text)
	n.env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	n.start()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var wantMails, wantStates []string
	expect := func(happened string, state ...string) {
		t.Helper()
		for _, s := range state {
			wantMails = append(wantMails, fmt.Sprintf("-s %s to be %s: 172.16.100.1 floating root@localhost", host, s))
			wantStates = append(wantStates, "INSTANCE VI_1 "+strings.ToUpper(s)+" 100")
		}
		waitLines(t, happened, mails, wantMails)
		waitLines(t, happened, states, wantStates)
	}
	n.wantStates(masterDown+startUp, both)
	expect("start", "backup", "master")
	if err := n.host.LinkDown("eth0"); err != nil {
		t.Fatal(err)
	}
	expect("link down", "fault")
	if err := n.host.LinkUp("eth0"); err != nil {
		t.Fatal(err)
	}
	n.wantStates(masterDown+slack, both)
	expect("link up", "backup", "master")
}

// waitLines waits until the file has exactly these lines.
func waitLines(t *testing.T, happened, file string, want []string) {
	t.Helper()
	labtest.Eventually(t, 5*time.Second, filepath.Base(file)+" after "+happened, func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if got := strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' }); !slices.Equal(got, want) {
			return fmt.Errorf("lines %q, want %q", got, want)
		}
		return nil
	})
}

func writeScript(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}
