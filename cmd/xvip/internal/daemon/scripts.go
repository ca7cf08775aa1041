package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/script"
)

// RunStartupScript runs the startup_script, if there is one, and waits for its
// end: it may make interfaces that the configuration names. A script that fails
// is told, and the daemon starts. The error is that of a daemon that runs
// already.
func RunStartupScript(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	s := cfg.Global.StartupScript
	if s == nil {
		return nil
	}
	lock, err := takeLock(cfg.XVIP.StateDir)
	if err != nil {
		return err
	}
	defer lock.release()
	runOnce(ctx, "startup script", s, cfg.Global.StartupScriptTimeout, log)
	return nil
}

// runShutdownScript runs the shutdown_script when everything else has ended.
func (d *Daemon) runShutdownScript(ctx context.Context) {
	d.mu.Lock()
	cfg := d.cfg // nil: it did not get that far
	d.mu.Unlock()
	if cfg != nil && cfg.Global.ShutdownScript != nil {
		runOnce(context.WithoutCancel(ctx), "shutdown script", cfg.Global.ShutdownScript, cfg.Global.ShutdownScriptTimeout, d.log)
	}
}

func runOnce(ctx context.Context, what string, s *config.Script, limit time.Duration, log *slog.Logger) {
	if o := script.Run(ctx, *command(s), limit); !o.OK() {
		log.Warn(what+" failed", "script", s.Argv[0], "outcome", o.String())
		return
	}
	log.Info(what+" has ended", "script", s.Argv[0])
}
