package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/docs/examples"
	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// node is a host with a daemon: xvip or keepalived.
type node struct {
	t    *testing.T
	host *lab.Host
	dir  string
	conf string // path
	argv []string
	env  []string
	proc *lab.Process
}

// newNode prepares a host's daemon without starting it. wrap goes before the
// daemon's own arguments.
func newNode(t *testing.T, h *lab.Host, text string, wrap ...string) *node {
	t.Helper()
	n := &node{t: t, host: h, dir: filepath.Join(t.TempDir(), h.Name())}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n.conf = filepath.Join(n.dir, "keepalived.conf")
	n.write(text)
	n.argv = append(n.argv, wrap...)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(n.logFile())
			t.Logf("log of %s:\n%s", h.Name(), log)
		}
	})
	return n
}

func (n *node) write(text string) {
	n.t.Helper()
	if err := os.WriteFile(n.conf, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// xvipNode is a node that runs our binary. bpffs may be empty.
func xvipNode(t *testing.T, h *lab.Host, bpffs, text string, wrap ...string) *node {
	t.Helper()
	n := newNode(t, h, text, wrap...)
	n.argv = append(n.argv, xvip(t), "-n", "-l", "-G", "-f", n.conf, "--state-dir", n.dir, "--control-socket", n.socket())
	if bpffs != "" {
		n.argv = append(n.argv, "--bpffs-dir", filepath.Join(bpffs, h.Name()))
	}
	return n
}

// keepalivedNode is a node that runs Debian's keepalived, its VRRP part only:
// its checkers end the whole daemon where the kernel has no IPVS.
func keepalivedNode(t *testing.T, h *lab.Host, text string) *node {
	t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		t.Fatalf("Debian's keepalived is needed (make deps installs it): %v", err)
	}
	n := newNode(t, h, text)
	n.argv = append(n.argv, path, "-n", "-l", "-D", "-P", "-f", n.conf,
		"-p", filepath.Join(n.dir, "keepalived.pid"), "-r", filepath.Join(n.dir, "vrrp.pid"), "-c", filepath.Join(n.dir, "checkers.pid"))
	return n
}

func (n *node) logFile() string { return filepath.Join(n.dir, "log") }
func (n *node) socket() string  { return filepath.Join(n.dir, "xvip.sock") }

func (n *node) log() string {
	b, err := os.ReadFile(n.logFile())
	if err != nil {
		n.t.Fatal(err)
	}
	return string(b)
}

// wantLog waits until the log holds every one of the words: a line is written a
// moment after what it tells of is seen elsewhere.
func (n *node) wantLog(words ...string) {
	n.t.Helper()
	labtest.Eventually(n.t, startUp, fmt.Sprintf("the log tells %q", words), func() error {
		log := n.log()
		for _, w := range words {
			if !strings.Contains(log, w) {
				return fmt.Errorf("no %q in it", w)
			}
		}
		return nil
	})
}

func (n *node) start() *node {
	n.t.Helper()
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	if n.proc, err = n.host.Start(lab.Command{Argv: n.argv, Env: n.env, Out: log}); err != nil {
		n.t.Fatal(err)
	}
	return n
}

// stop is a clean stop, which must succeed.
func (n *node) stop() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if err := n.proc.Stop(ctx); err != nil {
		n.t.Errorf("stop daemon of %s: %v", n.host.Name(), err)
	}
}

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.proc.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// owns tells whether the node alone among all has the address, as an error.
func owns(addr string, want *node, all ...*node) error {
	for _, n := range all {
		has, err := n.host.HasAddress("eth0", netip.MustParseAddr(addr))
		if err != nil {
			return err
		}
		if has != (n == want) {
			return fmt.Errorf("%s has %s: %v", n.host.Name(), addr, has)
		}
	}
	return nil
}

// waitOwner waits until the node alone has the address and gives how long that
// took.
func waitOwner(t *testing.T, limit time.Duration, addr string, want *node, all ...*node) time.Duration {
	t.Helper()
	return labtest.Eventually(t, limit, addr+" on "+want.host.Name(), func() error {
		for _, n := range all {
			if n.proc != nil && !n.proc.Running() && n == want {
				return fmt.Errorf("its daemon has ended: %v", n.proc.Err())
			}
		}
		return owns(addr, want, all...)
	})
}

// status is what the tests read of `xvip status --json`.
type status struct {
	Version string `json:"version"`
	Reload  struct {
		Count   int    `json:"count"`
		OK      bool   `json:"ok"`
		Message string `json:"message"`
	} `json:"reload"`
	Engine struct {
		XDP struct {
			Available  bool   `json:"available"`
			Reason     string `json:"reason"`
			Mode       string `json:"mode"`
			Interfaces []struct{ Name, Mode string }
			Verdicts   map[string]uint64 `json:"verdicts"`
		} `json:"xdp"`
	} `json:"engine"`
	VirtualRouters []struct {
		Name              string   `json:"name"`
		Interface         string   `json:"interface"`
		VRID              int      `json:"vrid"`
		State             string   `json:"state"`
		Reason            string   `json:"reason"`
		Priority          int      `json:"priority"`
		EffectivePriority int      `json:"effective_priority"`
		MasterAddress     string   `json:"master_address"`
		Addresses         []string `json:"addresses"`
		Transitions       int      `json:"transitions"`
	} `json:"virtual_routers"`
	VirtualServers []struct {
		Address           string `json:"address"`
		Port              int    `json:"port"`
		Engine            string `json:"engine"`
		Active            bool   `json:"active"`
		QuorumUp          bool   `json:"quorum_up"`
		SorryServerActive bool   `json:"sorry_server_active"`
		Connections       int    `json:"connections"`
		Refused           int    `json:"connections_refused"`
		PacketsIn         int    `json:"packets_in"`
		BytesIn           int    `json:"bytes_in"`
		RealServers       []struct {
			Address         string `json:"address"`
			Up              bool   `json:"up"`
			Sorry           bool   `json:"sorry"`
			Weight          int    `json:"weight"`
			EffectiveWeight int    `json:"effective_weight"`
			Reason          string `json:"reason"`
			Connections     int    `json:"connections"`
			PacketsIn       int    `json:"packets_in"`
		} `json:"real_servers"`
	} `json:"virtual_servers"`
}

// status asks the daemon by the command that users have.
func (n *node) status() (*status, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	out, err := n.host.Run(ctx, xvip(n.t), "status", "--json", "--control-socket", n.socket())
	if err != nil {
		return nil, err
	}
	var st status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		return nil, fmt.Errorf("read status: %w\n%s", err, out)
	}
	return &st, nil
}

// wantStates waits until the routers say so: a map from name to state.
func (n *node) wantStates(limit time.Duration, want map[string]string) *status {
	n.t.Helper()
	var st *status
	labtest.Eventually(n.t, limit, fmt.Sprintf("%s says %v", n.host.Name(), want), func() (err error) {
		if st, err = n.status(); err != nil {
			return err
		}
		got := map[string]string{}
		for _, r := range st.VirtualRouters {
			got[r.Name] = r.State
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("it says %v", got)
		}
		return nil
	})
	return st
}

// example is the text of a file of docs/examples.
func example(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(examples.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// swapped exchanges states and priorities of both routers, which makes the
// second node's file of the first one's.
func swapped(text string) string {
	return strings.NewReplacer(
		"state MASTER", "state BACKUP", "state BACKUP", "state MASTER",
		"priority 100", "priority 90", "priority 90", "priority 100",
	).Replace(text)
}

// answers waits until the client gets an answer from one of the servers.
func answers(t *testing.T, client *lab.Host, url string, servers ...string) {
	t.Helper()
	labtest.Eventually(t, 10*time.Second, url+" is answered", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		got, err := client.Fetch(ctx, url)
		if err != nil {
			return err
		}
		for _, s := range servers {
			if got == s {
				return nil
			}
		}
		return fmt.Errorf("%s answers", got)
	})
}
