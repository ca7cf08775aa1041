package rung

import (
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
	"github.com/xvip-lb/xvip/internal/vm/vmtest"
)

// Every kernel's verifier takes the programs, and they do the same on all.
func TestVMPackets(t *testing.T) {
	for _, kernel := range vm.Kernels {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			newer := "" // tests of what this kernel lacks
			if kernel == "5.10" {
				newer = "^(TestFramesInSeveralBuffers|TestNativeModeWithJumboFrames)$"
			}
			vmtest.Run(t, vmtest.Suite{
				MaySkip: newer,
				Machine: vm.Machine{Kernel: kernel, Modules: []string{"veth"}, Memory: 2 << 30, Limit: 10 * time.Minute},
				Package: "github.com/xvip-lb/xvip/dataplane/xdp",
				Tree:    []string{"bpf"},
				// Minutes of packets where each costs a millisecond, for what only
				// the program's own tables decide. A benchmark wants nftables and, for
				// frames that are really sent, Linux 5.18.
				Except: "^(TestStatelessFlowsSurviveChanges|TestAFloodStarvesNobody|TestBenchPath)$",
				// A verifier that refuses the program needs minutes to say why, each time.
				FailFast: true,
			})
		})
	}
}
