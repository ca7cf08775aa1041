package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
	"github.com/xvip-lb/xvip/internal/vm/vmtest"
)

// TestVMIPVS runs the tests that need IPVS on Debian's kernels.
func TestVMIPVS(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "xvip")
	if err := vm.Build(t.Context(), binary, "build", "github.com/xvip-lb/xvip/cmd/xvip"); err != nil {
		t.Fatal(err)
	}
	// Emulation is slow, so each test runs on one kernel or two: tables and
	// numbers where keepalived is Debian's of that kernel, traffic on the oldest
	// and the newest.
	for kernel, pattern := range map[string]string{
		"5.10": "TestHandover|TestARestartKeeps|TestIPVSPairs/v4",
		"6.1":  "TestIPVSTables|TestIPVSMany",
		"6.12": "TestHandover|TestBothEngines|TestAReloadMoves|TestIPVSInAnother|TestIPVSPairs/v6",
	} {
		t.Run(kernel, func(t *testing.T) {
			vmtest.Run(t, vmtest.Suite{
				Machine: vm.Machine{
					Kernel: kernel, Memory: 2 << 30, Limit: 14 * time.Minute,
					Modules:  []string{"ip_vs", "ipip", "ip6_tunnel"},
					Programs: []string{"keepalived", "ipvsadm", "ip"},
					Files:    []vm.File{{Path: "/usr/local/bin/xvip", From: binary}},
					Env:      []string{"XVIP_BIN=/usr/local/bin/xvip"},
				},
				Package: "github.com/xvip-lb/xvip/internal/e2e",
				Pattern: pattern,
				Tree:    []string{"docs/examples"},
			})
		})
	}
}
