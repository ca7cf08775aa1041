package rung

import (
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
	"github.com/xvip-lb/xvip/internal/vm/vmtest"
)

// Virtual routers on kinds of interfaces that the machine of the tests may lack.
func TestVMInterfaces(t *testing.T) {
	vmtest.Run(t, vmtest.Suite{
		Machine: vm.Machine{
			Kernel: "6.12", Memory: 2 << 30, Modules: []string{"veth", "vrf", "ipvlan", "nf_tables"}, Programs: []string{"ping"}, Limit: 4 * time.Minute,
		},
		Package: "github.com/xvip-lb/xvip/vrrp",
		Pattern: "^(TestUnicastInAVRF|TestIPVLAN|TestVirtualIPVLAN)$",
	})
}
