package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// wantRouters waits for the state and effective priority of each virtual router.
func wantRouters(t *testing.T, n *node, happened string, want map[string]string) {
	t.Helper()
	labtest.Eventually(t, startUp+slack+5*time.Second, happened, func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, r := range st.VirtualRouters {
			got[r.Name] = fmt.Sprintf("%s %d", r.State, r.EffectivePriority)
		}
		for name, w := range want {
			if got[name] != w {
				return fmt.Errorf("%s is %s, want %s (all: %v)", name, got[name], w, got)
			}
		}
		return nil
	})
}

// TestTrackFileAndProcess: a file moves priorities by its value times the weight,
// a missing process is a fault; a sync group's trackers act on its members, whose
// own weights do not.
func TestTrackFileAndProcess(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "trackfile")
	n := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", "")
	value, program := filepath.Join(n.dir, "value"), filepath.Join(n.dir, "tracked")
	copyFile(t, "/bin/sleep", program)
	instance := func(name string, vrid int, track string) string {
		return fmt.Sprintf("vrrp_instance %s {\n interface eth0\n virtual_router_id %d\n priority 100\n advert_int 0.2\n version 3\n"+
			" virtual_ipaddress {\n 192.168.166.2%d/24\n }\n %s\n}\n", name, vrid, vrid, track)
	}
	text := fmt.Sprintf(`track_file tf {
    file %s
    weight 3
    init_file 5
}
vrrp_track_process proc {
    process %s
}
vrrp_sync_group VG {
    group {
        VI_1
        VI_2
    }
    track_file {
        tf weight 2
    }
    track_process {
        proc
    }
}
xvip {
    metrics_listen off
}
`, value, program) + instance("VI_1", 51, "track_file {\n tf weight 7\n }") + instance("VI_2", 52, "") +
		instance("VI_3", 53, "track_file {\n tf weight 1 reverse\n }")
	n.write(text)
	n.start()
	wantRouters(t, n, "the process is missing", map[string]string{"VI_1": "FAULT 110", "VI_2": "FAULT 110", "VI_3": "MASTER 95"})
	proc, err := n.host.Start(lab.Command{Argv: []string{program, "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	wantRouters(t, n, "the process runs", map[string]string{"VI_1": "MASTER 110", "VI_2": "MASTER 110", "VI_3": "MASTER 95"})
	if err := os.WriteFile(value, []byte("-3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRouters(t, n, "another value", map[string]string{"VI_1": "MASTER 94", "VI_2": "MASTER 94", "VI_3": "MASTER 103"})
	n.write(strings.Replace(text, "tf weight 1 reverse", "tf", 1))
	n.signal(syscall.SIGHUP)
	wantRouters(t, n, "a reload", map[string]string{"VI_1": "MASTER 94", "VI_2": "MASTER 94", "VI_3": "MASTER 91"})
	proc.Kill()
	wantRouters(t, n, "the process died", map[string]string{"VI_1": "FAULT 94", "VI_2": "FAULT 94", "VI_3": "MASTER 91"})
	n.stop()
}
