package bfd

import "github.com/prometheus/client_golang/prometheus"

// collector turns Status into metrics at each scrape.
type collector struct {
	status  func() []Status
	strange func() map[string]uint64

	state, transitions, since, sent, received, refused, unknown *prometheus.Desc
}

// NewCollector makes the metrics of the sessions that status tells; strange are
// the packets that belong to none.
func NewCollector(status func() []Status, strange func() map[string]uint64) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("xvip_bfd_"+name, help, append([]string{"session", "neighbor"}, labels...), nil)
	}
	return &collector{status: status, strange: strange,
		state:       desc("state", "State of the BFD session: 0 AdminDown, 1 Down, 2 Init, 3 Up."),
		transitions: desc("transitions_total", "Changes of state since the session was made."),
		since:       desc("last_transition_timestamp_seconds", "When the state last changed, in seconds since the Unix epoch."),
		sent:        desc("packets_sent_total", "Control packets sent."),
		received:    desc("packets_received_total", "Control packets received and accepted."),
		refused:     desc("packets_refused_total", "Packets received from the neighbor and refused, by reason.", "reason"),
		unknown: prometheus.NewDesc("xvip_bfd_strange_packets_total", "Packets received that belong to no session, by reason.",
			[]string{"reason"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.transitions, c.since, c.sent, c.received, c.refused, c.unknown} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.status() {
		labels := []string{s.Name, s.Neighbor.String()}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		counter := func(d *prometheus.Desc, v uint64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append(labels[:len(labels):len(labels)], more...)...)
		}
		gauge(c.state, float64(s.State))
		gauge(c.since, float64(s.Since.UnixMilli())/1000)
		counter(c.transitions, s.Transitions)
		counter(c.sent, s.Sent)
		counter(c.received, s.Received)
		for why, n := range s.Refused {
			counter(c.refused, n, why)
		}
	}
	for why, n := range c.strange() {
		ch <- prometheus.MustNewConstMetric(c.unknown, prometheus.CounterValue, float64(n), why)
	}
}
