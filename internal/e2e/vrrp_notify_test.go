package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// groupConfig is two virtual routers in a sync group; only the first one looks
// at the file of health, and all changes go to a FIFO whose reader copies them.
func groupConfig(dir string, priority int) string {
	instance := func(name string, vrid int, vip, track string) string {
		return fmt.Sprintf(`vrrp_instance %s {
    state BACKUP
    interface eth0
    virtual_router_id %d
    priority %d
    advert_int 0.2
    version 3
    virtual_ipaddress {
        %s/24
    }
    %s
}
`, name, vrid, priority, vip, track)
	}
	return fmt.Sprintf(`global_defs {
    script_user root
    notify_fifo %[1]s/fifo
    notify_fifo_script %[1]s/reader
}
vrrp_script health {
    script "%[1]s/healthy"
    interval 1
}
vrrp_sync_group VG {
    group {
        VI_1
        VI_2
    }
    notify "%[1]s/group"
}
xvip {
    metrics_listen off
}
`, dir) + instance("VI_1", 51, vip1, "track_script {\n health\n }") + instance("VI_2", 52, vip2, "")
}

// groupNode prepares the scripts of groupConfig.
func groupNode(t *testing.T, n *node, priority int) *node {
	t.Helper()
	writeScript(t, filepath.Join(n.dir, "reader"), fmt.Sprintf("exec cat \"$1\" >> %s/lines", n.dir))
	writeScript(t, filepath.Join(n.dir, "healthy"), fmt.Sprintf("! test -e %s/sick", n.dir))
	writeScript(t, filepath.Join(n.dir, "group"), fmt.Sprintf("echo \"$*\" >> %s/group.lines", n.dir))
	n.write(groupConfig(n.dir, priority))
	return n.start()
}

// linesOf gives what a file says about one name, without the name.
func linesOf(file, name string) []string {
	b, _ := os.ReadFile(file) // not there yet: no lines
	var list []string
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			list = append(list, rest)
		}
	}
	return list
}

func waitLinesOf(t *testing.T, happened, file, name string, want ...string) {
	t.Helper()
	labtest.Eventually(t, 10*time.Second, name+" after "+happened, func() error {
		if got := linesOf(file, name); !slices.Equal(got, want) {
			return fmt.Errorf("lines %q, want %q", got, want)
		}
		return nil
	})
}

// TestSyncGroupAndFIFO: both members go to the other node when one of them is
// faulty, and come back; FIFO and notify script have it in order, with the stop.
func TestSyncGroupAndFIFO(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "group")
	a := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", "")
	b := xvipNode(t, labtest.Host(t, l, "b", "192.168.166.132/24"), "", "")
	groupNode(t, a, 150)
	backup := map[string]string{"VI_1": "BACKUP", "VI_2": "BACKUP"}
	a.wantStates(startUp+slack, both)
	groupNode(t, b, 100)
	b.wantStates(startUp+slack, backup)
	waitOwner(t, slack, vip1, a, a, b)
	waitOwner(t, slack, vip2, a, a, b)
	lines := filepath.Join(a.dir, "lines")
	inst1, inst2, group := `INSTANCE "VI_1"`, `INSTANCE "VI_2"`, `GROUP "VG"`
	says := func(happened string, states ...string) {
		t.Helper()
		var withPriority, withZero, script []string
		for _, s := range states {
			withPriority = append(withPriority, s+" 150")
			withZero = append(withZero, s+" 0")
			script = append(script, s+" 0")
		}
		waitLinesOf(t, happened, lines, inst1, withPriority...)
		waitLinesOf(t, happened, lines, inst2, withPriority...)
		waitLinesOf(t, happened, lines, group, withZero...)
		waitLinesOf(t, happened, filepath.Join(a.dir, "group.lines"), "GROUP VG", script...)
	}
	says("the start", "BACKUP", "MASTER")

	sick := filepath.Join(a.dir, "sick")
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.wantStates(startUp+slack, both)
	waitOwner(t, slack, vip1, b, a, b)
	waitOwner(t, slack, vip2, b, a, b)
	says("a fault of one member", "BACKUP", "MASTER", "FAULT")

	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	a.wantStates(startUp+slack, both)
	b.wantStates(startUp+slack, backup)
	says("its end", "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER")

	before, err := os.Stat(filepath.Join(a.dir, "fifo"))
	if err != nil {
		t.Fatal(err)
	}
	a.write(strings.Replace(groupConfig(a.dir, 150), "    script_user", "    fifo_write_vrrp_states_on_reload\n    script_user", 1))
	a.signal(syscall.SIGHUP)
	waitLinesOf(t, "a reload that tells the states", lines, group, "BACKUP 0", "MASTER 0", "FAULT 0", "BACKUP 0", "MASTER 0", "MASTER 0")
	waitLinesOf(t, "a reload that tells the states", lines, inst1, "BACKUP 150", "MASTER 150", "FAULT 150", "BACKUP 150", "MASTER 150", "MASTER 150")
	if after, err := os.Stat(filepath.Join(a.dir, "fifo")); err != nil || !os.SameFile(before, after) {
		t.Errorf("the fifo after a reload is another one: %v", err)
	}

	a.stop()
	b.wantStates(startUp+slack, both)
	for _, c := range []struct{ file, name, want string }{
		{lines, inst1, "STOP 150"}, {lines, inst2, "STOP 150"}, {lines, group, "STOP 0"},
		{filepath.Join(a.dir, "group.lines"), "GROUP VG", "STOP 0"},
	} {
		// All was told before the daemon ended.
		if got := linesOf(c.file, c.name); len(got) == 0 || got[len(got)-1] != c.want {
			t.Errorf("%s at the end: %q, want %s last", c.name, got, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(a.dir, "fifo")); !os.IsNotExist(err) {
		t.Errorf("the fifo after the end: %v, want none", err)
	}
	b.stop()
}
