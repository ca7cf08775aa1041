package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// many is a configuration of n services with one real server of that weight.
func many(n, weight int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "virtual_server 10.1.%d.%d 80 {\n    lvs_sched wrr\n    lvs_method DR\n    protocol TCP\n"+
			"    real_server 10.2.0.1 80 {\n        weight %d\n    }\n}\n", i/250, i%250+1, weight)
	}
	return b.String()
}

// TestIPVSManyServices applies, changes and removes a thousand services, or as
// many as XVIP_MANY says, and logs the times of xvip and keepalived, one after
// the other on one kernel.
func TestIPVSManyServices(t *testing.T) {
	needIPVS(t)
	n := 1000
	if s := os.Getenv("XVIP_MANY"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"xvip", "keepalived"} {
		t.Run(name, func(t *testing.T) {
			h := labtest.Host(t, labtest.New(t, "many"), name, "192.0.2.1/24")
			node := fullKeepalived(t, h, many(n, 1), "-C")
			if name == "xvip" {
				node = ipvsNode(t, h, many(n, 1))
			}
			start := time.Now()
			node.start()
			applied := node.holds(n, 1, start)
			node.write(many(n, 2))
			start = time.Now()
			node.signal(syscall.SIGHUP)
			changed := node.holds(n, 2, start)
			node.write(many(1, 2))
			start = time.Now()
			node.signal(syscall.SIGHUP)
			removed := node.holds(1, 2, start)
			t.Logf("%s: start to %d services %v, all changed by a reload %v, all but one removed by a reload %v", name, n, applied, changed, removed)
			stopNow(t, node)
		})
	}
}

// holds waits until the kernel has so many services, each with a real server of
// that weight, and gives the time since start.
func (n *node) holds(services, weight int, start time.Time) time.Duration {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d services with weight %d", services, weight), func() error {
		out, err := n.host.Run(n.t.Context(), "ipvsadm", "-Sn")
		if err != nil {
			return err
		}
		a, b := bytes.Count([]byte(out), []byte("-A ")), bytes.Count([]byte(out), fmt.Appendf(nil, "-w %d\n", weight))
		if a != services || b != services {
			return fmt.Errorf("%d services, %d of that weight", a, b)
		}
		return nil
	})
	return time.Since(start).Round(10 * time.Millisecond)
}
