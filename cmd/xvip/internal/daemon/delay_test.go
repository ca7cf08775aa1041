package daemon

import (
	"testing"
	"time"

	"github.com/xvip-lb/xvip/config"
)

func TestStartDelay(t *testing.T) {
	for _, c := range []struct{ start, boot, up, want time.Duration }{
		{0, 0, 0, 0}, {3, 0, 100, 3}, {0, 10, 4, 6}, {0, 10, 40, 0}, {3, 10, 4, 6}, {3, 10, 9, 3},
	} {
		if got := startDelay(&config.Global{VRRPStartupDelay: c.start, VRRPDelayAfterBoot: c.boot}, c.up); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
