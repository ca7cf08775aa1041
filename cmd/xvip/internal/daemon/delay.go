package daemon

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/config"
)

// startDelay is how long virtual routers wait after the start of a daemon, on a
// host that has been up for so long.
func startDelay(g *config.Global, up time.Duration) time.Duration {
	return max(0, g.VRRPStartupDelay, g.VRRPDelayAfterBoot-up)
}

// runRouters runs the election, at the start after a delay; routers that a
// guardian hands over go on at once.
func (d *Daemon) runRouters(ctx context.Context, cfg *config.Config, resumed bool) error {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		d.log.Warn("how long the host is up is not known", "err", err)
	}
	if wait := startDelay(&cfg.Global, time.Duration(up.Nano())); wait > 0 && !resumed {
		d.log.Info("virtual routers wait before they start", "for", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	return d.routers.run(ctx)
}
