package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/director"
)

// namesShown bounds how many services of one kind are told one by one; of more
// only the first names and the number are told.
const namesShown = 8

// carriage is one piece of news about the engine of a service.
type carriage struct {
	level slog.Level
	text  string
	from  string // engine before; empty: none, or no matter
	to    string
	why   string
}

// carriages is what is new about engines, with the services each is true of.
func carriages(before, now map[dataplane.Key]dataplane.Assignment) map[carriage][]dataplane.Key {
	out := map[carriage][]dataplane.Key{}
	for key, a := range now {
		was, known := before[key]
		if known && was == a {
			continue
		}
		c := carriage{level: slog.LevelInfo, text: "service is carried", to: a.Engine, why: a.Reason}
		switch {
		case a.Engine == dataplane.None:
			c.level, c.text = slog.LevelError, "no engine carries the service; its packets go to the stack"
		case known && was.Engine != a.Engine && was.Engine != dataplane.None:
			c.level, c.from = slog.LevelWarn, was.Engine
			c.text = "service moves to another engine: new connections go on, established ones are not known there and may be reset"
		case a.Reason != "":
			c.level, c.text = slog.LevelWarn, "service is not on the first engine"
		}
		out[c] = append(out[c], key)
	}
	return out
}

// logCarriers says which engine carries a service, whenever that is news. It is
// called by the director's goroutine alone.
func (d *Daemon) logCarriers() {
	now := d.engines.chooser.Assignments()
	news := carriages(d.carriers, now)
	d.tellCarriers(news)
	d.carriers = now
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	x := &cfg.XVIP
	if len(news) > 0 && !cfg.Global.HasNetNamespaceIPVS {
		for _, s := range forwardingOff(cfg, os.ReadFile) {
			d.log.Warn("the kernel does not forward: IPVS needs that for NAT, and XDP where the host has many routes or rules",
				"sysctl", s, "value", 0)
		}
	}
	for c, keys := range news {
		keys = slices.DeleteFunc(slices.Clone(keys), func(k dataplane.Key) bool { return director.NewConnections(x, k) == 0 })
		if len(keys) > 0 && c.to == "ipvs" {
			d.log.Warn("new_connection_limit is not kept on IPVS", "services", len(keys), "first", keys[0].String())
		}
	}
}

// forwardingOff gives the settings of the kernel that are off though some real
// server is reached by NAT.
func forwardingOff(cfg *config.Config, read func(path string) ([]byte, error)) []string {
	off := map[string]bool{}
	for _, vs := range cfg.VirtualServers {
		for _, rs := range vs.RealServers {
			name := "net/ipv4/ip_forward"
			if rs.Address.Is6() {
				name = "net/ipv6/conf/all/forwarding"
			}
			if _, known := off[name]; known || rs.LVSMethod.Kind != "NAT" {
				continue
			}
			value, err := read("/proc/sys/" + name)
			off[name] = err == nil && strings.TrimSpace(string(value)) == "0"
		}
	}
	maps.DeleteFunc(off, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(off))
}

func (d *Daemon) tellCarriers(news map[carriage][]dataplane.Key) {
	for c, keys := range news {
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.String()
		}
		slices.SortFunc(names, cmp.Compare[string])
		log := d.log.With("engine", c.to)
		if c.from != "" {
			log = log.With("from", c.from)
		}
		if c.why != "" {
			log = log.With("reason", c.why)
		}
		if len(names) > namesShown {
			log.Log(context.Background(), c.level, c.text, "services", len(names), "first", names[:namesShown])
			continue
		}
		for _, name := range names {
			log.Log(context.Background(), c.level, c.text, "service", name)
		}
	}
}
