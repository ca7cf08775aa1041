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
	"github.com/xvip-lb/xvip/dataplane/xdp"
	"github.com/xvip-lb/xvip/director"
)

// attachEvery is how often the interfaces of the XDP engine are compared with
// those that services need now: a link or a route may have come later.
const attachEvery = 5 * time.Second

// noIPVS is why the second engine carries nothing.
const noIPVS = "this engine is not part of this version"

// engines starts forwarding engines when a configuration first needs them.
type engines struct {
	chooser *dataplane.Chooser
	log     *slog.Logger
	started chan *xdp.Engine // to run

	mu  sync.Mutex
	xdp *xdp.Engine // nil: not started
	cfg *config.Config
}

func newEngines(log *slog.Logger) *engines {
	return &engines{chooser: dataplane.NewChooser(nil, nil), log: log, started: make(chan *xdp.Engine, 1)}
}

// ensure makes the engines fit cfg. An engine that cannot start is named with
// its reason, in the log and in the status; nothing else stops.
func (e *engines) ensure(ctx context.Context, cfg *config.Config) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cfg = cfg
	unavailable := map[string]string{"ipvs": noIPVS}
	if why := e.ensureXDP(ctx, cfg); why != "" {
		unavailable["xdp"] = why
		e.log.Warn("the XDP engine is off", "reason", why)
	}
	var list []dataplane.Engine
	if e.xdp != nil {
		list = append(list, e.xdp)
		if err := e.xdp.Attach(wantedInterfaces(cfg)); err != nil {
			e.log.Error("XDP is not on every interface", "err", err)
		}
	}
	e.chooser.SetEngines(list, unavailable)
}

// ensureXDP starts the engine if cfg wants it, and gives the reason if it does
// not run.
func (e *engines) ensureXDP(ctx context.Context, cfg *config.Config) string {
	switch x := cfg.XVIP; {
	case x.Dataplane == "none" || x.Dataplane == "ipvs":
		return "the configuration says dataplane " + x.Dataplane
	case e.xdp != nil:
		return ""
	case len(cfg.VirtualServers) == 0:
		return "there are no virtual servers"
	default:
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
			wg.Go(func() {
				if err := eng.Run(ctx); err != nil {
					e.log.Error("the XDP engine no longer follows its neighbours", "err", err)
				}
			})
		case <-tick.C:
			e.reattach()
		}
	}
}

func (e *engines) reattach() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.xdp == nil {
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
		err = e.chooser.Withdraw(ctx)
	}
	return errors.Join(err, e.chooser.Close())
}

// Carriers tells, a line a service, which engine would carry it and why. It
// looks at the configuration alone: whether the kernel lets the engine start is
// seen only by the daemon.
func Carriers(cfg *config.Config) []string {
	var list []dataplane.Engine
	unavailable := map[string]string{"ipvs": noIPVS}
	if x := cfg.XVIP.Dataplane; x == "none" || x == "ipvs" {
		unavailable["xdp"] = "the configuration says dataplane " + x
	} else {
		list = append(list, &xdp.Engine{})
	}
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
