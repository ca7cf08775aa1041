package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestServerAndQuorumScripts: notify_up, notify_down, quorum_up, quorum_down, and
// with omega the last ones at the end.
func TestServerAndQuorumScripts(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "scripts")
	webs := realServers(t, l)
	dir := t.TempDir()
	events := filepath.Join(dir, "events")
	say := filepath.Join(dir, "say")
	writeScript(t, say, fmt.Sprintf("echo \"$1\" >> %s\n", events))
	text := fmt.Sprintf(`global_defs {
    script_user root
}
virtual_server 192.168.166.100 80 {
    delay_loop 0.2
    warmup 0
    lb_algo rr
    lb_kind DR
    protocol TCP
    omega
    quorum_up "%[1]s quorum-up"
    quorum_down "%[1]s quorum-down"
    real_server 192.168.166.129 80 {
        notify_up "%[1]s up"
        notify_down "%[1]s down"
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }
}
xvip {
    metrics_listen off
}
`, say)
	n := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), "", text)
	n.start()
	labtest.Eventually(t, startUp+slack, "the daemon answers", func() error { _, err := n.status(); return err })
	webs["web1"].Down()
	lines := []string{"down", "quorum-down"}
	waitAnyOrder(t, "the server went down", events, lines)
	if err := webs["web1"].Up(); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, "up", "quorum-up")
	waitAnyOrder(t, "the server came up", events, lines)
	n.stop()
	lines = append(lines, "down", "quorum-down")
	waitAnyOrder(t, "the daemon stopped", events, lines)
}

// waitAnyOrder waits until the file has exactly these lines: scripts of one
// moment run side by side, so which of them writes first says nothing.
func waitAnyOrder(t *testing.T, happened, file string, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	labtest.Eventually(t, 10*time.Second, happened, func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if got := slices.Sorted(strings.FieldsSeq(string(b))); !slices.Equal(got, want) {
			return fmt.Errorf("lines %q, want %q in any order", got, want)
		}
		return nil
	})
}
