package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

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
	waitLines(t, "the server went down", events, []string{"down", "quorum-down"})
	if err := webs["web1"].Up(); err != nil {
		t.Fatal(err)
	}
	waitLines(t, "the server came up", events, []string{"down", "quorum-down", "up", "quorum-up"})
	n.stop()
	waitLines(t, "the daemon stopped", events, []string{"down", "quorum-down", "up", "quorum-up", "down", "quorum-down"})
}
