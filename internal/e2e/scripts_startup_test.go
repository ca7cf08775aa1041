package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestStartupAndShutdownScripts: the startup script makes the interface that the
// configuration names, before anything looks for it; the shutdown script runs
// when the address has gone. A script that fails or hangs delays and no more.
func TestStartupAndShutdownScripts(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "startup")
	h := labtest.Host(t, l, "a", "192.168.166.130/24")
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	scriptFile := func(body string) string {
		path := filepath.Join(dir, fmt.Sprint(len(body)))
		writeScript(t, path, body)
		return path
	}
	up := scriptFile("ip link add made0 type veth peer name made1 && ip link set made0 up && ip link set made1 up && ip addr add 10.98.0.5/24 dev made0\n")
	down := scriptFile(fmt.Sprintf("ip -o addr show dev made0 > %s\nip link del made0\nexit 3\n", told))
	conf := func(up, down string) string {
		return fmt.Sprintf("global_defs {\n script_user root\n umask 027\n startup_script %s\n shutdown_script %s\n startup_script_timeout 1\n}\n"+
			"vrrp_instance VI_1 {\n interface made0\n virtual_router_id 51\n priority 255\n virtual_ipaddress {\n 10.98.0.100/24\n }\n}\n"+
			"xvip {\n metrics_listen off\n dataplane none\n}\n", up, down)
	}
	n := xvipNode(t, h, "", conf(up, down))
	n.start()
	labtest.Eventually(t, startUp, "the address is on the interface of the startup script", func() error {
		if has, err := h.HasAddress("made0", netip.MustParseAddr("10.98.0.100")); !has {
			return fmt.Errorf("it is not: %w", err)
		}
		return nil
	})
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.proc.Pid()))
	if err != nil || !strings.Contains(string(text), "Umask:\t0027") {
		t.Errorf("the umask is not that of the configuration: %v", err)
	}
	n.stop()
	b, err := os.ReadFile(told)
	if err != nil || !strings.Contains(string(b), "10.98.0.5") || strings.Contains(string(b), "10.98.0.100") {
		t.Errorf("the shutdown script saw %q, %v", b, err)
	}
	if !strings.Contains(n.log(), "shutdown script failed") || !strings.Contains(n.log(), "exit status 3") {
		t.Errorf("log:\n%s", n.log())
	}
	n.write(strings.ReplaceAll(conf(scriptFile("sleep 60\n"), "/bin/true"), "made0", "eth0"))
	n.start()
	waitOwner(t, startUp, "10.98.0.100", n, n)
	if !strings.Contains(n.log(), "startup script failed") || !strings.Contains(n.log(), "timed out") {
		t.Errorf("log:\n%s", n.log())
	}
	n.stop()
}
