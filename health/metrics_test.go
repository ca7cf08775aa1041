package health

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCollector(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Set, heard *[]string) {
		a := &fake{name: "HTTP_GET http://10.0.0.1:80/", limit: time.Second, check: func(context.Context) Result {
			time.Sleep(250 * time.Millisecond)
			return passed
		}}
		n := 0
		b := &fake{name: "TCP_CHECK 10.0.0.1:80", limit: time.Second, check: func(context.Context) Result {
			if n++; n == 2 {
				return Result{Inconclusive: true, Reason: "no descriptors"}
			}
			return failed
		}}
		s.Update([]Spec{spec(a, 0, "a"), spec(b, 1, "b")})
		after(2400 * time.Millisecond)
		want := `
# HELP xvip_check_duration_seconds Time that probes took.
# TYPE xvip_check_duration_seconds summary
xvip_check_duration_seconds_sum{checker="HTTP_GET",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 0.5
xvip_check_duration_seconds_count{checker="HTTP_GET",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 2
xvip_check_duration_seconds_sum{checker="TCP_CHECK#1",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 0
xvip_check_duration_seconds_count{checker="TCP_CHECK#1",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 3
# HELP xvip_check_transitions_total Changes of xvip_check_up.
# TYPE xvip_check_transitions_total counter
xvip_check_transitions_total{checker="HTTP_GET",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 0
xvip_check_transitions_total{checker="TCP_CHECK#1",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 1
# HELP xvip_check_up Whether the checker holds its real server for up (1) or down (0).
# TYPE xvip_check_up gauge
xvip_check_up{checker="HTTP_GET",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 1
xvip_check_up{checker="TCP_CHECK#1",real_server="10.0.0.1:80",service="192.0.2.10:80/tcp"} 0
# HELP xvip_checks_total Probes by result: passed, failed, or impossible for a reason of this host.
# TYPE xvip_checks_total counter
xvip_checks_total{checker="HTTP_GET",real_server="10.0.0.1:80",result="failed",service="192.0.2.10:80/tcp"} 0
xvip_checks_total{checker="HTTP_GET",real_server="10.0.0.1:80",result="impossible",service="192.0.2.10:80/tcp"} 0
xvip_checks_total{checker="HTTP_GET",real_server="10.0.0.1:80",result="passed",service="192.0.2.10:80/tcp"} 2
xvip_checks_total{checker="TCP_CHECK#1",real_server="10.0.0.1:80",result="failed",service="192.0.2.10:80/tcp"} 2
xvip_checks_total{checker="TCP_CHECK#1",real_server="10.0.0.1:80",result="impossible",service="192.0.2.10:80/tcp"} 1
xvip_checks_total{checker="TCP_CHECK#1",real_server="10.0.0.1:80",result="passed",service="192.0.2.10:80/tcp"} 0
`
		if err := testutil.CollectAndCompare(s.Collector(), strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		if problems, err := testutil.CollectAndLint(s.Collector()); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
	})
}
