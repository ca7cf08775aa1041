package health

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows a Set to Prometheus. Its series are as many as the checkers
// that are configured; no label holds what a server says.
type collector struct {
	set                           *Set
	up, checks, duration, changes *prometheus.Desc
}

// Collector returns the metrics of the Set, for the caller to register.
func (s *Set) Collector() prometheus.Collector {
	labels := []string{"service", "real_server", "checker"}
	return &collector{
		set: s,
		up: prometheus.NewDesc("xvip_check_up",
			"Whether the checker holds its real server for up (1) or down (0).", labels, nil),
		checks: prometheus.NewDesc("xvip_checks_total",
			"Probes by result: passed, failed, or impossible for a reason of this host.", append(labels[:3:3], "result"), nil),
		duration: prometheus.NewDesc("xvip_check_duration_seconds",
			"Time that probes took.", labels, nil),
		changes: prometheus.NewDesc("xvip_check_transitions_total",
			"Changes of xvip_check_up.", labels, nil),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.up
	ch <- c.checks
	ch <- c.duration
	ch <- c.changes
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, st := range c.set.Snapshot() {
		labels := []string{st.ID.Service, st.ID.Server, label(st)}
		up := 0.0
		if st.Up {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up, labels...)
		ch <- prometheus.MustNewConstMetric(c.changes, prometheus.CounterValue, float64(st.Transitions), labels...)
		ch <- prometheus.MustNewConstSummary(c.duration, st.Checks, st.Spent.Seconds(), nil, labels...)
		for result, n := range map[string]uint64{
			"passed": st.Checks - st.Failures - st.NotMade, "failed": st.Failures, "impossible": st.NotMade,
		} {
			ch <- prometheus.MustNewConstMetric(c.checks, prometheus.CounterValue, float64(n), append(labels[:3:3], result)...)
		}
	}
}

// label tells the checkers of one real server apart: "HTTP_GET", and for the
// second checker of a server and later ones "TCP_CHECK#1".
func label(st Status) string {
	kind, _, _ := strings.Cut(st.Checker, " ")
	if st.ID.Index == 0 {
		return kind
	}
	return kind + "#" + strconv.Itoa(st.ID.Index)
}
