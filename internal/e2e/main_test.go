// Package e2e runs whole daemons on whole networks: the built binary, real
// packets, real peers. It needs root; see docs/TESTING.md.
package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// TestMain lets more tests run side by side than there are CPUs: they wait for
// timers of seconds most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	lab.KeepSwitches()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// xvip builds the binary once and gives its path. XVIP_BIN names one that is
// built already, where there is no compiler: in a virtual machine.
func xvip(t testing.TB) string {
	t.Helper()
	labtest.NeedRoot(t)
	if path := os.Getenv("XVIP_BIN"); path != "" {
		return path
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "xvip-e2e-"); built.err != nil {
			return
		}
		// Tests of other users of the machine run it, too.
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		var out bytes.Buffer
		build := exec.Command("go", "build", "-o", filepath.Join(built.dir, "xvip"), "../../cmd/xvip")
		build.Stdout, build.Stderr = &out, &out
		if err := build.Run(); err != nil {
			built.err = fmt.Errorf("build xvip: %w\n%s", err, out.String())
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "xvip")
}
