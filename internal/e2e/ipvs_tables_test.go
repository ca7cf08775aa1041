package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestIPVSTablesEqualKeepaliveds: for every file of testdata/ipvs, ipvsadm
// shows the same after xvip and after keepalived: at the start, when a real
// server died, when all died, when they returned, after a reload (the file with
// the same name that ends in .reload), and after a clean stop. A service that
// someone else made before is there from the start.
func TestIPVSTablesEqualKeepaliveds(t *testing.T) {
	needIPVS(t)
	files, err := filepath.Glob("testdata/ipvs/*.conf")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	const lanes = 4 // each with two hosts of its own
	for lane := range lanes {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, "tables")
			a, b := farmHost(t, l, "ours", "192.0.2.1/24"), farmHost(t, l, "theirs", "192.0.2.2/24")
			for i := lane; i < len(files); i += lanes {
				name := strings.TrimSuffix(filepath.Base(files[i]), ".conf")
				t.Run(name, func(t *testing.T) { sameTables(t, name, a, b) })
			}
		})
	}
}

func sameTables(t *testing.T, name string, a, b *lab.Host) {
	text := readFile(t, "testdata/ipvs/"+name+".conf")
	next, _ := os.ReadFile("testdata/ipvs/" + name + ".reload")
	ours, theirs := ipvsNode(t, a, text), fullKeepalived(t, b, text)
	farm := newFarm(t, []string{text, string(next)}, a, b)
	for _, n := range []*node{ours, theirs} {
		n.ipvsadm("-C")
		n.ipvsadm("-A", "-t", "203.0.113.9:99", "-s", "rr")
		n.start()
		t.Cleanup(n.proc.Kill) // of a test that failed: the host goes on
	}
	wantReady(t, ours)
	farm.seen(ours)
	at := wantEqualTables(t, "start", ours, theirs)
	if !strings.Contains(at, "\n-A") && !strings.HasPrefix(at, "-A") {
		t.Fatalf("the tables hold no service:\n%s", at)
	}
	first := farm.addrs[:1]
	for _, a := range first {
		farm.die(a)
	}
	farm.seen(ours)
	wantEqualTables(t, "one real server died", ours, theirs)
	for _, a := range farm.addrs {
		farm.die(a)
	}
	farm.seen(ours)
	wantEqualTables(t, "all real servers died", ours, theirs)
	for _, a := range farm.addrs {
		farm.rise(a)
	}
	farm.seen(ours)
	if again := wantEqualTables(t, "all real servers returned", ours, theirs); rules(again) != rules(at) {
		t.Errorf("the tables are not what they were at the start:\n%s\nbut\n%s", at, again)
	}
	if len(next) > 0 {
		reloadBoth(t, string(next), at, farm, ours, theirs)
	}
	ours.stop()
	theirs.stop()
	wantEqualTables(t, "clean stop", ours, theirs)
}

// reloadBoth gives both the next text; at is what their tables were.
func reloadBoth(t *testing.T, text, at string, farm *farm, ours, theirs *node) {
	t.Helper()
	for _, n := range []*node{ours, theirs} {
		n.write(text)
		n.signal(syscall.SIGHUP)
	}
	eventually(t, "both took the reload", func() error {
		for _, n := range []*node{ours, theirs} {
			switch now, err := n.tables(); {
			case err != nil:
				return err
			case now == at:
				return fmt.Errorf("the tables of %s are as before", n.host.Name())
			}
		}
		return nil
	})
	farm.seen(ours)
	wantEqualTables(t, "reload", ours, theirs)
}

// wantReady waits until the daemon answers and its virtual routers, if any, are
// Master.
func wantReady(t *testing.T, n *node) {
	t.Helper()
	eventually(t, n.host.Name()+" runs", func() error {
		st, err := n.ask()
		if err != nil {
			return err
		}
		for _, r := range st.VirtualRouters {
			if r.State != "MASTER" {
				return fmt.Errorf("%s is %s", r.Name, r.State)
			}
		}
		return nil
	})
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
