package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/director"
)

// serveControl opens the control socket and gives the task that answers on it.
// A socket that cannot be had is tried again: it is not worth a failover.
func (d *Daemon) serveControl(ctx context.Context, path string) (task func() error) {
	l, err := control.Listen(path)
	if err != nil {
		d.log.Error("no control socket; trying again", "err", err)
	}
	return func() error {
		if err != nil {
			l, err = again(ctx, func() (net.Listener, error) { return control.Listen(path) }, d.log, "no control socket; trying again")
		}
		if err != nil {
			return nil // ctx ended first
		}
		return control.Serve(ctx, l, d.handler(), d.log)
	}
}

// handler answers on the control socket.
func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		st := d.Status(r.Context())
		if err := json.NewEncoder(w).Encode(st); err != nil {
			d.log.Debug("status was not delivered", "err", err)
		}
	})
	mux.HandleFunc("GET /connections", d.connections)
	mux.HandleFunc("POST /explain", d.explain)
	mux.HandleFunc("GET /drops", d.drops)
	return mux
}

// Status reads the state of everything. An engine that cannot be read is told
// in its reason; the rest stands.
func (d *Daemon) Status(ctx context.Context) *control.Status {
	d.mu.Lock()
	reload := d.reload
	d.mu.Unlock()
	st := &control.Status{
		Version: d.version, UptimeSeconds: time.Since(d.started).Seconds(), ConfigFile: d.opt.File, Reload: reload,
		VirtualRouters: d.routers.status(), BFDSessions: sessionStatus(d.sessions), VirtualServers: []control.VirtualServer{},
	}
	stats, err := d.engines.chooser.Stats(ctx)
	for _, info := range d.engines.chooser.Infos() {
		e := engineStatus(info)
		if err != nil && info.Available {
			e.Reason = "read counters: " + err.Error()
		}
		if info.Name == "xdp" {
			if info.Available {
				e.Verdicts = verdicts(stats)
			}
			st.Engine.XDP = e
		} else {
			st.Engine.IPVS = e
		}
	}
	assigned := d.engines.chooser.Assignments()
	dec, _ := d.director.Decision()
	services := map[dataplane.Key]dataplane.VirtualService{}
	for _, s := range dec.Services {
		services[s.Key] = s
	}
	for _, v := range dec.Virtual {
		for _, key := range v.Keys {
			st.VirtualServers = append(st.VirtualServers, serverStatus(v, services[key], assigned[key], stats.Services[key]))
		}
	}
	st.Sort()
	return st
}

func engineStatus(info dataplane.EngineInfo) control.Engine {
	e := control.Engine{Available: info.Available, Reason: info.Reason, Mode: info.Mode, Interfaces: []control.EngineInterface{}}
	for _, i := range info.Interfaces {
		e.Interfaces = append(e.Interfaces, control.EngineInterface{Name: i.Name, Mode: i.Mode, Reason: i.Reason})
	}
	return e
}

func verdicts(s dataplane.Stats) map[string]uint64 {
	m := make(map[string]uint64, len(s.Verdicts))
	for _, v := range s.Verdicts {
		m[v.Name] = v.Packets
	}
	return m
}

// serverStatus joins the configuration, the decision and the counters of one
// service.
func serverStatus(v director.Virtual, svc dataplane.VirtualService, a dataplane.Assignment, c dataplane.ServiceStats) control.VirtualServer {
	out := control.VirtualServer{
		Port: svc.Port, FWMark: svc.FWMark, Scheduler: string(svc.Scheduler), Method: v.Config.LVSMethod.Kind,
		Engine: a.Engine, Reason: a.Reason, Active: svc.Active, QuorumUp: v.QuorumUp, SorryServerActive: v.SorryActive,
		Connections: c.Connections, Refused: c.Refused, PacketsIn: c.PacketsIn, BytesIn: c.BytesIn, RealServers: []control.RealServer{},
	}
	if svc.FWMark == 0 {
		out.Address, out.Protocol = svc.Address.String(), svc.Protocol.String()
	}
	held := map[dataplane.RealKey]dataplane.RealServer{}
	for _, r := range svc.RealServers {
		held[r.Key()] = r
	}
	for _, r := range v.Real {
		key := dataplane.RealKey{Address: r.Config.Address, Port: r.Config.Port}
		rs := realStatus(key, held, c.RealServers[key])
		rs.Weight, rs.Up, rs.Reason = r.Config.Weight, r.Up, r.Reason
		rs.Method = r.Config.LVSMethod.Kind
		out.RealServers = append(out.RealServers, rs)
	}
	if s := v.Config.SorryServer; s != nil {
		key := dataplane.RealKey{Address: s.Address, Port: s.Port}
		rs := realStatus(key, held, c.RealServers[key])
		rs.Weight, rs.Up, rs.Sorry, rs.Method = 1, v.SorryActive, true, s.LVSMethod.Kind
		if !v.SorryActive {
			rs.Reason = "stands by"
		}
		out.RealServers = append(out.RealServers, rs)
	}
	return out
}

func realStatus(key dataplane.RealKey, held map[dataplane.RealKey]dataplane.RealServer, c dataplane.RealStats) control.RealServer {
	return control.RealServer{
		Address: key.Address.String(), Port: key.Port, EffectiveWeight: int(held[key].Weight), NextHop: c.NextHop,
		ActiveConnections: c.Active, InactiveConnections: c.Inactive,
		Connections: c.Connections, PacketsIn: c.PacketsIn, BytesIn: c.BytesIn,
	}
}
