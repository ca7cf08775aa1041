package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestHASuspendFollowsTheAddress: the checkers of a service with ha_suspend rest
// while its address, which no virtual router manages, is not on the host. Those of
// a service beside it tell that time goes by.
func TestHASuspendFollowsTheAddress(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "suspend")
	serve := func(name, addr string) *lab.Web {
		w, err := labtest.Host(t, l, name, addr+"/24").Serve(":80")
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	web, beside := serve("web1", "192.168.166.129"), serve("web2", "192.168.166.131")
	service := func(vip, real, more string) string {
		return fmt.Sprintf("virtual_server %s 80 {\n delay_loop 1\n lvs_sched rr\n lvs_method NAT\n%s real_server %s 80 {\n"+
			"  HTTP_GET {\n   warmup 0\n   url {\n    path /\n    status_code 200\n   }\n  }\n }\n}\n", vip, more, real)
	}
	n := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), "", service(vip1, "192.168.166.129", " ha_suspend\n")+
		service("192.168.166.101", "192.168.166.131", "")+"xvip {\n metrics_listen off\n dataplane none\n}\n")
	n.start()
	director := netip.MustParseAddr("192.168.166.130")
	checks := func(w *lab.Web, more int) (before, after int) {
		t.Helper()
		before, other := w.Requests(director), beside.Requests(director)
		labtest.Eventually(t, startUp, "checks go on", func() error {
			if w.Requests(director) < before+more || beside.Requests(director) < other+4 {
				return fmt.Errorf("%d of %d, beside %d of %d", w.Requests(director)-before, more, beside.Requests(director)-other, 4)
			}
			return nil
		})
		return before, w.Requests(director)
	}
	if _, n := checks(web, 0); n > 0 {
		t.Errorf("%d checks of a service whose address is elsewhere", n)
	}
	address := netip.MustParsePrefix(vip1 + "/24")
	if err := n.host.AddAddress("eth0", address); err != nil {
		t.Fatal(err)
	}
	checks(web, 3)
	if err := n.host.DelAddress("eth0", address); err != nil {
		t.Fatal(err)
	}
	checks(web, 0) // one may be under way
	if before, after := checks(web, 0); before != after {
		t.Errorf("%d checks after the address has gone", after-before)
	}
	n.stop()
}
