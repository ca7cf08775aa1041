package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/dataplane/ipvs"
	"github.com/xvip-lb/xvip/dataplane/xdp"
	"github.com/xvip-lb/xvip/director"
)

// attachEvery is how often the interfaces of the XDP engine are compared with
// those that services need now: a link or a route may have come later.
const attachEvery = 5 * time.Second

// engines starts forwarding engines when a configuration first needs them, and
// lets go of those that it no longer wants once they hold nothing.
type engines struct {
	chooser *dataplane.Chooser
	log     *slog.Logger
	started chan *xdp.Engine // to run

	mu      sync.Mutex
	xdp     *xdp.Engine // nil: not started
	stopXDP context.CancelFunc
	ipvs    *ipvs.Engine // nil: not started
	cfg     *config.Config
	masters map[string]bool   // virtual routers that are Master, for the sync daemon
	off     map[string]string // engines that carry nothing, and why
}

func newEngines(log *slog.Logger) *engines {
	return &engines{chooser: dataplane.NewChooser(nil, nil), log: log, started: make(chan *xdp.Engine, 1), masters: map[string]bool{}}
}

// ensure makes the engines fit cfg. An engine that cannot start is named with
// its reason, in the log and in the status; nothing else stops.
func (e *engines) ensure(ctx context.Context, cfg *config.Config) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.cfg == nil
	e.cfg = cfg
	e.choose(map[string]string{"xdp": e.ensureXDP(ctx, cfg), "ipvs": e.ensureIPVS(ctx, cfg, first)})
}

// choose tells the chooser which engines there are, and the log what is new.
func (e *engines) choose(why map[string]string) {
	off := map[string]string{}
	for name, reason := range why {
		if reason == "" {
			continue
		}
		off[name] = reason
		if e.off[name] != reason {
			e.log.Log(context.Background(), e.level(name), "a forwarding engine is off", "engine", name, "reason", reason)
		}
	}
	e.off = off
	var list []dataplane.Engine
	if e.xdp != nil {
		list = append(list, e.xdp)
		if err := e.xdp.Configure(xdpSettings(e.cfg)); err != nil {
			e.log.Error("settings of the XDP engine are as they were", "err", err)
		}
		if err := e.xdp.Attach(wantedInterfaces(e.cfg)); err != nil {
			e.log.Error("XDP is not on every interface", "err", err)
		}
	}
	if e.ipvs != nil {
		e.ipvs.Configure(ipvsSettings(e.cfg, e.masters))
		list = append(list, e.ipvs)
	}
	e.chooser.SetEngines(list, off)
}

// xdpSettings gives what the configuration says about connections.
func xdpSettings(cfg *config.Config) xdp.Settings {
	t := cfg.Global.LVSTimeouts
	return xdp.Settings{Timeouts: xdp.Timeouts{TCP: max(0, t.TCP), FIN: max(0, t.TCPFin), UDP: max(0, t.UDP)}, Drain: cfg.XVIP.DrainTime}
}

// level is how much it matters that an engine is off: a service that then has
// none is told on its own.
func (e *engines) level(name string) slog.Level {
	switch mode := e.cfg.XVIP.Dataplane; {
	case len(e.cfg.VirtualServers) == 0:
		return slog.LevelDebug
	case mode == name, mode == "auto" && name == "xdp":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// barred says why the configuration itself keeps an engine off.
func barred(cfg *config.Config, name string) string {
	switch mode := cfg.XVIP.Dataplane; {
	case mode != "auto" && mode != name:
		return "the configuration says dataplane " + mode
	case len(cfg.VirtualServers) == 0 && (name == "xdp" || !wantsIPVS(cfg)):
		return noServers
	}
	return ""
}

const noServers = "there are no virtual servers"

// ensureXDP starts the engine if cfg wants it, and gives the reason if it does
// not run.
func (e *engines) ensureXDP(ctx context.Context, cfg *config.Config) string {
	if why := barred(cfg, "xdp"); why != "" && (e.xdp == nil || why != noServers) {
		return why
	}
	if e.xdp != nil {
		return ""
	}
	x := cfg.XVIP
	eng, err := xdp.New(ctx, xdp.Options{
		Interfaces: wantedInterfaces(cfg), Mode: x.XDPMode, PinDir: x.BPFFSDir, ConnTableSize: x.ConnTableSize, Log: e.log,
	})
	if err != nil {
		return err.Error()
	}
	e.xdp = eng
	e.started <- eng
	return ""
}

// run keeps the engines going until ctx ends.
func (e *engines) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(attachEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case eng := <-e.started:
			runCtx, stop := context.WithCancel(ctx)
			e.mu.Lock()
			e.stopXDP = stop
			e.mu.Unlock()
			wg.Go(func() {
				defer stop()
				if err := eng.Run(runCtx); err != nil {
					e.log.Error("the XDP engine no longer follows its neighbours", "err", err)
				}
			})
		case <-tick.C:
			e.retire(ctx)
			e.reattach()
		}
	}
}

// retire lets go of an engine that the configuration no longer wants, once its
// services are in another.
func (e *engines) retire(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	held := func(eng dataplane.Engine, name string) bool {
		services, err := eng.Services(ctx)
		return e.off[name] == "" || err != nil || len(services) > 0
	}
	var gone []dataplane.Engine
	if e.xdp != nil && e.stopXDP != nil && !held(e.xdp, "xdp") {
		e.stopXDP()
		gone = append(gone, e.xdp)
		e.xdp, e.stopXDP = nil, nil
	}
	if e.ipvs != nil && !held(e.ipvs, "ipvs") {
		gone = append(gone, e.ipvs)
		e.ipvs = nil
	}
	if len(gone) == 0 {
		return
	}
	e.choose(e.off)
	for _, eng := range gone {
		if err := errors.Join(eng.Withdraw(ctx), eng.Close()); err != nil {
			e.log.Error("a forwarding engine did not leave cleanly", "engine", eng.Name(), "err", err)
		}
	}
}

func (e *engines) reattach() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.xdp == nil || e.off["xdp"] != "" {
		return
	}
	want := wantedInterfaces(e.cfg)
	var have []string
	for _, i := range e.xdp.Info().Interfaces {
		have = append(have, i.Name)
	}
	slices.Sort(have)
	if slices.Equal(have, want) {
		return
	}
	if err := e.xdp.Attach(want); err != nil {
		e.log.Debug("XDP is not on every interface", "err", err)
	}
}

// stop withdraws the services, or with keep leaves them forwarding.
func (e *engines) stop(ctx context.Context, keep bool) error {
	var err error
	if !keep {
		err = errors.Join(e.flushIPVS(), e.chooser.Withdraw(ctx))
	}
	return errors.Join(err, e.chooser.Close())
}

// Carriers tells, a line a service, which engine would carry it and why. It
// looks at the configuration alone: whether the kernel lets the engine start is
// seen only by the daemon.
func Carriers(cfg *config.Config) []string {
	unavailable := map[string]string{}
	for _, name := range []string{"xdp", "ipvs"} {
		if why := barred(cfg, name); why != "" {
			unavailable[name] = why
		}
	}
	list := []dataplane.Engine{&xdp.Engine{}, &ipvs.Engine{}}
	services := director.Want(cfg, nil, nil, director.Decision{}).Services
	assigned := dataplane.Choose(services, list, unavailable)
	var lines []string
	for _, s := range services {
		a := assigned[s.Key]
		line := fmt.Sprintf("%s: %s", s.Key, a.Engine)
		if a.Reason != "" {
			line += " (" + a.Reason + ")"
		}
		lines = append(lines, line)
	}
	return lines
}
