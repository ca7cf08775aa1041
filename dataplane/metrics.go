package dataplane

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collectWithin bounds how long a scrape waits for the counters.
const collectWithin = 5 * time.Second

// collector reads the counters of the engines at each scrape.
type collector struct {
	c *Chooser

	services, reals   counterDescs
	refused           *prometheus.Desc
	active, inactive  *prometheus.Desc
	resolved          *prometheus.Desc
	verdicts, octets  *prometheus.Desc
	used, size        *prometheus.Desc
	available, onLink *prometheus.Desc
	carried           *prometheus.Desc
}

// counterDescs are the counters of IPVS for one kind of object.
type counterDescs struct{ connections, packets, bytes *prometheus.Desc }

// NewCollector makes the metrics of all engines behind c.
func NewCollector(c *Chooser) prometheus.Collector {
	desc := prometheus.NewDesc
	svc := []string{"service", "protocol"}
	real := []string{"service", "protocol", "real_server"}
	counters := func(prefix, of string, labels []string) counterDescs {
		return counterDescs{
			connections: desc(prefix+"connections_total", "Connections scheduled to the "+of+".", labels, nil),
			packets:     desc(prefix+"packets_in_total", "Packets from clients to the "+of+".", labels, nil),
			bytes:       desc(prefix+"bytes_in_total", "Octets of IP packets from clients to the "+of+".", labels, nil),
		}
	}
	return &collector{c: c,
		services:  counters("xvip_service_", "virtual service", svc),
		reals:     counters("xvip_real_server_", "real server", real),
		refused:   desc("xvip_service_connections_refused_total", "New connections over the limit of the virtual service (new_connection_limit).", svc, nil),
		active:    desc("xvip_real_server_active_connections", "Connections of the real server in an established state.", real, nil),
		inactive:  desc("xvip_real_server_inactive_connections", "Other connections of the real server that are remembered.", real, nil),
		resolved:  desc("xvip_real_server_next_hop_resolved", "1 when packets can be sent to the real server, 0 while its next hop does not answer.", real, nil),
		verdicts:  desc("xvip_xdp_verdict_packets_total", "Packets by the exit of the XDP program they left through; all together are the packets seen.", []string{"verdict"}, nil),
		octets:    desc("xvip_xdp_verdict_bytes_total", "Octets of frames by the exit of the XDP program they left through.", []string{"verdict"}, nil),
		used:      desc("xvip_map_entries", "Entries in use of a kernel table.", []string{"map"}, nil),
		size:      desc("xvip_map_size", "Entries that a kernel table can hold.", []string{"map"}, nil),
		available: desc("xvip_engine_available", "1 when the forwarding engine runs.", []string{"engine"}, nil),
		onLink:    desc("xvip_engine_interface_info", "Always 1: the engine is attached to the interface in that mode.", []string{"engine", "interface", "mode"}, nil),
		carried:   desc("xvip_service_engine_info", "Always 1: which engine carries the service; none when nothing does.", []string{"service", "protocol", "engine"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, k := range []counterDescs{c.services, c.reals} {
		ch <- k.connections
		ch <- k.packets
		ch <- k.bytes
	}
	for _, d := range []*prometheus.Desc{c.refused, c.active, c.inactive, c.resolved, c.verdicts, c.octets, c.used, c.size, c.available, c.onLink, c.carried} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Counters that cannot be read become
// an error of the scrape.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin)
	defer cancel()
	stats, err := c.c.Stats(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.verdicts, err)
		return
	}
	c.collectEngines(ch)
	for key, s := range stats.Services {
		c.collectService(ch, key, s)
	}
	for _, v := range stats.Verdicts {
		ch <- prometheus.MustNewConstMetric(c.verdicts, prometheus.CounterValue, float64(v.Packets), v.Name)
		ch <- prometheus.MustNewConstMetric(c.octets, prometheus.CounterValue, float64(v.Bytes), v.Name)
	}
	for _, m := range stats.Maps {
		ch <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(m.Used), m.Name)
		ch <- prometheus.MustNewConstMetric(c.size, prometheus.GaugeValue, float64(m.Size), m.Name)
	}
}

func (c *collector) collectEngines(ch chan<- prometheus.Metric) {
	for _, e := range c.c.Infos() {
		up := 0.0
		if e.Available {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(c.available, prometheus.GaugeValue, up, e.Name)
		for _, i := range e.Interfaces {
			ch <- prometheus.MustNewConstMetric(c.onLink, prometheus.GaugeValue, 1, e.Name, i.Name, i.Mode)
		}
	}
	for key, a := range c.c.Assignments() {
		ch <- prometheus.MustNewConstMetric(c.carried, prometheus.GaugeValue, 1, append(serviceLabels(key), a.Engine)...)
	}
}

func (c *collector) collectService(ch chan<- prometheus.Metric, key Key, s ServiceStats) {
	labels := serviceLabels(key)
	c.services.collect(ch, s.Counters, labels)
	ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(s.Refused), labels...)
	for rk, r := range s.RealServers {
		labels := append(labels[:len(labels):len(labels)], rk.String())
		c.reals.collect(ch, r.Counters, labels)
		ch <- prometheus.MustNewConstMetric(c.active, prometheus.GaugeValue, float64(r.Active), labels...)
		ch <- prometheus.MustNewConstMetric(c.inactive, prometheus.GaugeValue, float64(r.Inactive), labels...)
		if r.NextHop != "" {
			ok := 1.0
			if r.NextHop == "unresolved" {
				ok = 0
			}
			ch <- prometheus.MustNewConstMetric(c.resolved, prometheus.GaugeValue, ok, labels...)
		}
	}
}

func (k counterDescs) collect(ch chan<- prometheus.Metric, n Counters, labels []string) {
	ch <- prometheus.MustNewConstMetric(k.connections, prometheus.CounterValue, float64(n.Connections), labels...)
	ch <- prometheus.MustNewConstMetric(k.packets, prometheus.CounterValue, float64(n.PacketsIn), labels...)
	ch <- prometheus.MustNewConstMetric(k.bytes, prometheus.CounterValue, float64(n.BytesIn), labels...)
}

func serviceLabels(k Key) []string {
	if k.FWMark != 0 {
		return []string{k.String(), ""}
	}
	return []string{k.AddrPort().String(), k.Protocol.String()}
}
