package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestStartupDelay: an owner, who would speak at once, waits; a stop does not.
func TestStartupDelay(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "delay")
	conf := func(delay int) string {
		return fmt.Sprintf("global_defs {\n vrrp_startup_delay %d\n}\nvrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 255\n"+
			" virtual_ipaddress {\n %s/24\n }\n}\nxvip {\n metrics_listen off\n dataplane none\n}\n", delay, vip1)
	}
	n := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", conf(3))
	start := time.Now()
	n.start()
	waitOwner(t, startUp, vip1, n, n)
	if took := time.Since(start); took < 3*time.Second {
		t.Errorf("the address is there after %v, want 3 s at least", took)
	}
	n.stop()
	n.write(conf(1000))
	n.start()
	labtest.Eventually(t, startUp, "the daemon answers", func() error { _, err := n.status(); return err })
	n.stop()
}
