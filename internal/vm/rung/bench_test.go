package rung

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
	"github.com/xvip-lb/xvip/internal/vm/vmtest"
)

// benchmark skips a test that measures, unless make bench has asked for it.
func benchmark(t *testing.T) (xvip string) {
	t.Helper()
	if os.Getenv("XVIP_BENCH") == "" {
		t.Skip("measures for minutes; make bench runs it")
	}
	xvip = filepath.Join(t.TempDir(), "xvip")
	if err := vm.Build(t.Context(), xvip, "build", "github.com/xvip-lb/xvip/cmd/xvip"); err != nil {
		t.Fatal(err)
	}
	return xvip
}

// TestBenchPathBesideIPVS has IPVS, XDP and nftables forward the same packets in
// one machine. The processor is emulated: only the ratios mean something, and
// they count instructions more than memory.
func TestBenchPathBesideIPVS(t *testing.T) {
	xvip := benchmark(t)
	for _, kernel := range []string{"6.1", "6.12"} {
		r, err := vm.Run(t.Context(), vm.Machine{Kernel: kernel, Memory: 2 << 30, Limit: 10 * time.Minute,
			Modules: []string{"veth", "ip_vs", "ip_vs_rr", "nf_tables", "nft_chain_nat", "nft_nat"},
			Files:   []vm.File{{Path: "/usr/local/bin/xvip", From: xvip}},
		}, "/usr/local/bin/xvip", "bench", "path", "--packets", "20000", "--rounds", "7")
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != 0 {
			t.Errorf("kernel %s: exit code %d", kernel, r.ExitCode)
		}
		t.Logf("kernel %s:\n%s", kernel, r.Output)
	}
}

// TestBenchManyIPVSServices has xvip and keepalived apply, change and remove
// 10,000 services, one after the other in one machine.
func TestBenchManyIPVSServices(t *testing.T) {
	xvip := benchmark(t)
	vmtest.Run(t, vmtest.Suite{
		Machine: vm.Machine{Kernel: "6.1", Memory: 2 << 30, Limit: 40 * time.Minute,
			Modules:  []string{"ip_vs"},
			Programs: []string{"keepalived", "ipvsadm", "ip"},
			Files:    []vm.File{{Path: "/usr/local/bin/xvip", From: xvip}},
			Env:      []string{"XVIP_BIN=/usr/local/bin/xvip", "XVIP_MANY=10000"},
		},
		Package: "github.com/xvip-lb/xvip/internal/e2e",
		Pattern: "TestIPVSManyServices",
		Tree:    []string{"docs/examples"},
	})
}
