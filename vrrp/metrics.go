package vrrp

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns Status into metrics at each scrape.
type collector struct {
	status func() []RouterStatus

	state, priority, effective, transitions, sent, received, refused, since *prometheus.Desc
}

// NewCollector makes the metrics of the routers that status tells.
func NewCollector(status func() []RouterStatus) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("xvip_vrrp_"+name, help, append([]string{"router", "interface", "vrid", "family"}, labels...), nil)
	}
	return &collector{status: status,
		state:       desc("state", "Role of the virtual router: 0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT."),
		priority:    desc("priority", "Configured priority."),
		effective:   desc("effective_priority", "Priority the router takes part with, after its trackers."),
		transitions: desc("transitions_total", "Changes of role since the router was made."),
		since:       desc("last_transition_timestamp_seconds", "When the role last changed, in seconds since the Unix epoch."),
		sent:        desc("advertisements_sent_total", "Advertisements sent."),
		received:    desc("advertisements_received_total", "Advertisements received and accepted."),
		refused:     desc("advertisements_refused_total", "Packets received and refused, by reason.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.priority, c.effective, c.transitions, c.since, c.sent, c.received, c.refused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.status() {
		labels := []string{r.Name, r.Interface, strconv.Itoa(int(r.VRID)), "inet" + map[uint8]string{6: "6"}[r.Family]}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		counter := func(d *prometheus.Desc, v uint64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append(labels[:len(labels):len(labels)], more...)...)
		}
		gauge(c.state, float64(r.Role))
		gauge(c.priority, float64(r.Priority))
		gauge(c.effective, float64(r.EffectivePriority))
		if !r.Since.IsZero() {
			gauge(c.since, float64(r.Since.UnixMilli())/1000)
		}
		counter(c.transitions, r.Transitions)
		counter(c.sent, r.AdvertsSent)
		counter(c.received, r.AdvertsReceived)
		for _, why := range Refusals() {
			counter(c.refused, r.AdvertsRefused[why], why.String())
		}
	}
}
