package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// failover is a configuration without virtual servers, with its dumps in dir.
func failover(dir string) string {
	return fmt.Sprintf(`global_defs {
    state_dump_file %[1]s/keepalived.data
    stats_dump_file %[1]s/keepalived.stats
    json_dump_file %[1]s/keepalived.json
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 255
    virtual_ipaddress {
        192.168.166.100
    }
}
xvip {
    metrics_listen off
}
`, dir)
}

// TestSystemdIsTold: readiness, reload and stop reach the service manager.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "systemd")
	n := xvipNode(t, labtest.Host(t, l, "node1", "192.168.166.130/24"), "", failover(t.TempDir()))
	path := filepath.Join(n.dir, "notify")
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	n.env = append(n.env, "NOTIFY_SOCKET="+path)
	told := make(chan string, 16)
	go func() {
		b := make([]byte, 4096)
		for {
			k, err := sock.Read(b)
			if err != nil {
				close(told)
				return
			}
			told <- string(b[:k])
		}
	}()
	want := func(prefix string) {
		t.Helper()
		if got := <-told; !strings.HasPrefix(got, prefix) {
			t.Fatalf("systemd was told %q, want %q", got, prefix)
		}
	}
	n.start()
	want("READY=1")
	n.signal(syscall.SIGHUP)
	want("RELOADING=1\nMONOTONIC_USEC=")
	want("READY=1")
	n.stop()
	want("STOPPING=1")
}

// TestBackground: without -n the command returns when the daemon is ready, the
// pid files are right, the dump signals write their files, and a start that
// fails says why.
func TestBackground(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "background")
	h := labtest.Host(t, l, "node1", "192.168.166.130/24")
	dumps := t.TempDir()
	n := xvipNode(t, h, "", failover(dumps))
	argv := []string{xvip(t), "-a", "-G", "-f", n.conf, "--state-dir", n.dir, "--control-socket", n.socket(), "-g", n.logFile(),
		"-p", filepath.Join(n.dir, "k.pid"), "-r", filepath.Join(n.dir, "vrrp.pid")}
	run(t, h, argv...)
	pid := readPid(t, filepath.Join(n.dir, "k.pid"))
	if other := readPid(t, filepath.Join(n.dir, "vrrp.pid")); other != pid {
		t.Errorf("pid files name %d and %d", pid, other)
	}
	if _, err := n.status(); err != nil {
		t.Errorf("the command came back before the daemon answers: %v", err)
	}
	for s, file := range map[syscall.Signal]string{syscall.SIGUSR1: "data", syscall.SIGUSR2: "stats", syscall.Signal(36): "json"} {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dumps, "keepalived."+file)
		labtest.Eventually(t, slack, path, func() error {
			b, err := os.ReadFile(path)
			if err == nil && !strings.Contains(string(b), "VI_1") {
				err = fmt.Errorf("it does not name the router: %s", b)
			}
			return err
		})
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", path, st.Mode(), err)
		}
	}

	if err := h.AddAddress("eth0", netip.MustParsePrefix("192.168.166.77/32")); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, slack, "-a logs the address", func() error {
		if !strings.Contains(n.log(), "address added") || !strings.Contains(n.log(), "192.168.166.77/32") {
			return fmt.Errorf("log:\n%s", n.log())
		}
		return nil
	})

	second, err := h.Run(t.Context(), argv...)
	if err == nil || !strings.Contains(second, fmt.Sprintf("another xvip (pid %d)", pid)) {
		t.Errorf("a second daemon on the same directory: %v: %s", err, second)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, slack, "the daemon is gone, its pid file too", func() error {
		if _, err := os.Stat(filepath.Join(n.dir, "k.pid")); err == nil {
			return fmt.Errorf("pid file is there")
		}
		return owns(vip1, nil, n)
	})
}

func readPid(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
