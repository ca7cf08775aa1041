package rung

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
	"github.com/xvip-lb/xvip/internal/vm/vmtest"
)

// The whole daemon on the oldest and the newest kernel: it elects and forwards
// with BPF and without.
func TestVMDaemon(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "xvip")
	if err := vm.Build(t.Context(), binary, "build", "github.com/xvip-lb/xvip/cmd/xvip"); err != nil {
		t.Fatal(err)
	}
	for _, kernel := range []string{"5.10", "6.12"} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			vmtest.Run(t, vmtest.Suite{
				Machine: vm.Machine{
					Kernel:   kernel,
					Modules:  []string{"ip_vs"},
					Programs: []string{"setpriv", "ipvsadm"},
					Files:    []vm.File{{Path: "/usr/local/sbin/xvip", From: binary}},
					Env:      []string{"XVIP_BIN=/usr/local/sbin/xvip"},
					Limit:    8 * time.Minute,
				},
				Package: "github.com/xvip-lb/xvip/internal/e2e",
				Pattern: "^TestNodesWithAndWithoutBPF$",
			})
		})
	}
}

// Tunnels need devices at the real servers that the machine of the tests may not
// have: both families, through XDP, with packets that are too big at first.
func TestVMTunnels(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "xvip")
	if err := vm.Build(t.Context(), binary, "build", "github.com/xvip-lb/xvip/cmd/xvip"); err != nil {
		t.Fatal(err)
	}
	vmtest.Run(t, vmtest.Suite{
		Machine: vm.Machine{
			Kernel: "6.12", Memory: 2 << 30,
			Modules:  []string{"veth", "ipip", "ip6_tunnel"},
			Programs: []string{"ip"},
			Files:    []vm.File{{Path: "/usr/local/sbin/xvip", From: binary}},
			Env:      []string{"XVIP_BIN=/usr/local/sbin/xvip"},
			Limit:    8 * time.Minute,
		},
		Package: "github.com/xvip-lb/xvip/internal/e2e",
		Pattern: "^TestXDPPairs$/TUN",
	})
}
