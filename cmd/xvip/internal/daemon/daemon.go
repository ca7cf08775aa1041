// Package daemon wires the rooms together: it starts engines, routers, checks
// and the director as tasks, obeys signals, and answers on the control socket.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/guardian"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/director"
	"github.com/xvip-lb/xvip/health"
	"github.com/xvip-lb/xvip/vrrp/bfd"
)

// firstApply bounds how long the election waits for the forwarder at the
// start: a node should not own an address that it cannot forward yet, but a
// data plane that does not come up never stops the election.
const firstApply = 3 * time.Second

// Daemon is one running xvip.
type Daemon struct {
	opt     *options.Options
	version string
	log     *slog.Logger
	started time.Time
	metrics *selfMetrics
	ready   atomic.Bool

	engines  *engines
	checks   *health.Set
	notices  *notices
	director *director.Director
	routers  *routers
	sessions *bfd.Set
	keeper   *guardian.Keeper
	threads  *scheduling
	suspends *suspender
	applied  chan struct{}                          // closed by the first Apply, good or bad
	carriers map[dataplane.Key]dataplane.Assignment // what was logged last
	once     sync.Once

	mu     sync.Mutex
	cfg    *config.Config
	reload control.Reload
}

// Run is the daemon from a taken configuration to a clean stop. ctx ends it
// like SIGTERM does. onReady is called once, when everything runs.
func Run(ctx context.Context, opt *options.Options, version string, cfg *config.Config, ds []config.Diagnostic, log *slog.Logger, onReady func()) error {
	lock, err := takeLock(cfg.XVIP.StateDir)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := writePids(opt, cfg); err != nil {
		return err
	}
	defer removePids(opt, cfg)
	d := &Daemon{opt: opt, version: version, log: log, started: time.Now(), metrics: newSelfMetrics(version),
		applied: make(chan struct{}), reload: control.Reload{OK: true}}
	d.threads = newScheduling(log)
	d.engines = newEngines(log)
	d.checks = health.NewSet(health.WithLogger(log))
	d.suspends = newSuspender(log, d.checks.Suspend)
	d.notices = newNotices(log)
	d.director = director.New(director.Options{
		Forwarder: d.engines.chooser, Log: log, Applied: d.onApplied, Changed: d.onDecision,
		Health: func() director.Health { return d.checks.Servers() },
	})
	d.checks.OnTransition(func(health.Transition) { d.director.Wake() })
	d.sessions = bfd.NewSet(log, nil)
	if d.routers, err = newRouters(cfg, log, d.sessions, d.setMaster, d.setOwned); err != nil {
		return err
	}
	d.keeper = guardian.NewKeeper(log, append(slices.Clone(os.Args[1:]), "--state-dir", cfg.XVIP.StateDir, "--log-level", cfg.XVIP.LogLevel), d.routers.masters)
	d.metrics.configTaken(Counts(ds))
	defer d.runShutdownScript(ctx)
	return d.run(ctx, cfg, onReady)
}

// run starts the tasks in order, obeys signals until a stop, and ends them in
// the order that loses nothing: addresses first, forwarding after.
func (d *Daemon) run(ctx context.Context, cfg *config.Config, onReady func()) error {
	sigs := make(chan os.Signal, 16)
	signal.Notify(sigs, handled()...)
	defer signal.Stop(sigs)

	reg, err := d.registry()
	if err != nil {
		return err
	}
	tasksCtx, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTasks()
	tasks, tasksCtx := errgroup.WithContext(tasksCtx)
	tasks.Go(d.serveControl(tasksCtx, cfg.XVIP.ControlSocket))
	if addr := cfg.XVIP.MetricsListen; addr != "off" {
		tasks.Go(func() error { return serveMetrics(tasksCtx, addr, reg, &d.ready, d.log) })
	}
	d.engines.ensure(tasksCtx, cfg)
	tasks.Go(func() error { return d.engines.run(tasksCtx) })
	d.take(cfg)
	d.inherit() // before the first Apply
	tasks.Go(func() error { return d.sessions.Run(tasksCtx) })
	tasks.Go(func() error { return d.checks.Run(tasksCtx) })
	tasks.Go(func() error { return d.director.Run(tasksCtx) })
	tasks.Go(func() error { return d.suspends.run(tasksCtx) })
	tasks.Go(func() error { return d.notices.run(tasksCtx) })
	tasks.Go(func() error { return watchdog(tasksCtx) })
	if d.opt.AddrMon {
		tasks.Go(func() error { return watchAddresses(tasksCtx, d.log) })
	}
	select {
	case <-d.applied:
	case <-time.After(firstApply):
		d.log.Warn("the forwarder is not ready; the election starts without it", "waited", firstApply)
	case <-ctx.Done():
	}
	resumed := d.claim(ctx, cfg)
	tasks.Go(func() error { return d.runRouters(tasksCtx, cfg, resumed) })
	keepCtx, farewell := context.WithCancel(tasksCtx)
	defer farewell()
	tasks.Go(func() error { return d.keeper.Run(keepCtx) })
	d.ready.Store(true)
	notifySystemd(d.log, sd.SdNotifyReady)
	d.log.Info("xvip runs", "version", d.version, "config", d.opt.File, "virtual_routers", len(cfg.VRRPInstances), "virtual_servers", len(cfg.VirtualServers))
	if onReady != nil {
		onReady()
	}
	d.obey(ctx, tasksCtx, sigs)
	notifySystemd(d.log, sd.SdNotifyStopping)
	d.log.Info("xvip stops")
	d.ready.Store(false)
	if err := d.routers.stop(d.opt.KeepVRRP); err != nil {
		d.log.Error("virtual routers did not stop cleanly", "err", err)
	}
	farewell()
	stopTasks() // the director, too: nothing is applied any more
	err = tasks.Wait()
	dec, _ := d.director.Decision()
	d.notices.last(dec)
	d.withdraw()
	return err
}

// gateWithin bounds how long a virtual router waits for the forwarder before it
// takes its addresses: better late packets than no owner.
const gateWithin = 300 * time.Millisecond

// setOwned opens or closes the gate of the services on a virtual router's
// addresses, and waits until the kernel has it so.
func (d *Daemon) setOwned(ctx context.Context, router string, owned bool) {
	d.director.SetMaster(router, owned)
	ctx, cancel := context.WithTimeout(ctx, gateWithin)
	defer cancel()
	d.director.Settle(ctx)
}

// setMaster hears of each change of role.
func (d *Daemon) setMaster(router string, master bool) {
	d.engines.setMaster(router, master)
	d.keeper.Wake()
}

// obey handles signals one at a time until one of them, ctx, or the failure of
// a task ends the daemon.
func (d *Daemon) obey(ctx, tasksCtx context.Context, sigs <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tasksCtx.Done():
			return
		case s := <-sigs:
			d.log.Debug("signal", "signal", s.String())
			switch s {
			case syscall.SIGTERM, syscall.SIGINT:
				return
			case syscall.SIGHUP:
				d.Reload(tasksCtx)
			default:
				if err := d.dump(s.(syscall.Signal)); err != nil {
					d.log.Error("dump failed", "signal", s.String(), "err", err)
				}
			}
		}
	}
}

// Reload reads the configuration again. A problem that would keep the daemon
// from starting leaves everything as it is.
func (d *Daemon) Reload(ctx context.Context) {
	notifySystemd(d.log, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, monotonicMicros()))
	defer notifySystemd(d.log, sd.SdNotifyReady)
	cfg, ds := Load(d.opt)
	LogDiagnostics(d.log, ds)
	errs, warnings := Counts(ds)
	d.mu.Lock()
	d.reload.Count++
	d.reload.OK, d.reload.Message = cfg != nil, firstError(ds)
	old := d.cfg
	d.mu.Unlock()
	if cfg == nil {
		d.metrics.configRefused(errs, warnings)
		d.metrics.reloads.WithLabelValues("error").Inc()
		d.log.Error("reload refused; running on the configuration before it", "errors", errs)
		return
	}
	keepFixed(&cfg.XVIP, &old.XVIP, d.log)
	d.metrics.configTaken(errs, warnings)
	d.metrics.reloads.WithLabelValues("ok").Inc()
	d.engines.ensure(ctx, cfg)
	if err := d.routers.update(cfg); err != nil {
		d.log.Error("some virtual routers could not follow the reload", "err", err)
	}
	d.take(cfg)
	d.log.Info("configuration reloaded", "warnings", warnings)
}

// take makes cfg the configuration of checks and director.
func (d *Daemon) take(cfg *config.Config) {
	d.mu.Lock()
	d.cfg = cfg
	d.mu.Unlock()
	d.sessions.Update(wantedSessions(cfg))
	specs, errs := director.Checks(cfg, d.sessions)
	for _, err := range errs {
		d.log.Error("a checker cannot run; its real server counts as down", "err", err)
	}
	d.suspends.setConfig(cfg)
	d.checks.Update(specs)
	d.director.SetConfig(cfg)
	d.keeper.SetConfig(guardText(cfg))
	d.threads.apply(cfg.Global.VRRPProcess)
}

// withdraw takes the services out of the kernel, or with -I leaves them.
func (d *Daemon) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.engines.stop(ctx, d.opt.KeepIPVS); err != nil {
		d.log.Error("forwarding was not withdrawn cleanly", "err", err)
	}
}

func (d *Daemon) onApplied(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	d.metrics.applies.WithLabelValues(result).Inc()
	d.metrics.applySeconds.Observe(took.Seconds())
	d.logCarriers()
	d.once.Do(func() { close(d.applied) })
}

// onDecision logs what changed for services and starts its scripts.
func (d *Daemon) onDecision(old, now director.Decision) {
	d.notices.tell(director.Notices(old, now))
	before := map[string]director.Virtual{}
	for _, v := range old.Virtual {
		before[v.Name] = v
	}
	for _, v := range now.Virtual {
		was, known := before[v.Name]
		if v.Err != nil && (!known || was.Err == nil) {
			d.log.Error("virtual server has no services", "virtual_server", v.Name, "err", v.Err)
		}
		if known && was.QuorumUp != v.QuorumUp {
			d.log.Warn("quorum changed", "virtual_server", v.Name, "up", v.QuorumUp, "sorry_server", v.SorryActive)
		}
		if known && was.Active != v.Active {
			d.log.Info("forwarding follows the virtual router", "virtual_server", v.Name, "active", v.Active)
		}
	}
}

// keepFixed carries settings over a reload that only a restart can change.
func keepFixed(now, old *config.XVIP, log *slog.Logger) {
	for _, s := range []struct {
		name     string
		now, old *string
	}{
		{"state_dir", &now.StateDir, &old.StateDir}, {"control_socket", &now.ControlSocket, &old.ControlSocket},
		{"metrics_listen", &now.MetricsListen, &old.MetricsListen}, {"bpffs_dir", &now.BPFFSDir, &old.BPFFSDir},
	} {
		if *s.now != *s.old {
			log.Warn("a setting changes only with a restart", "setting", s.name, "running", *s.old, "configured", *s.now)
			*s.now = *s.old
		}
	}
}

// LogDiagnostics writes each problem of the configuration to the log.
func LogDiagnostics(log *slog.Logger, ds []config.Diagnostic) {
	for _, diag := range ds {
		level := slog.LevelWarn
		if diag.Severity == config.Error {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "configuration: "+diag.String())
	}
}

func firstError(ds []config.Diagnostic) string {
	for _, d := range ds {
		if d.Severity == config.Error {
			return d.String()
		}
	}
	return ""
}

func writePids(opt *options.Options, cfg *config.Config) error {
	var errs []error
	for _, p := range pidFiles(opt, cfg) {
		errs = append(errs, writePid(p))
	}
	return errors.Join(errs...)
}

func removePids(opt *options.Options, cfg *config.Config) {
	for _, p := range pidFiles(opt, cfg) {
		os.Remove(p)
	}
}
