package lab

import (
	"context"
	"time"
)

// awaitPace is how often Await looks.
const awaitPace = 40 * time.Millisecond

// Await calls check until it returns nil and tells how long that took. After
// limit, or when ctx ends, it gives check's last error.
func Await(ctx context.Context, limit time.Duration, check func() error) (time.Duration, error) {
	start := time.Now()
	tick := time.NewTicker(awaitPace)
	defer tick.Stop()
	for {
		err := check()
		if err == nil || time.Since(start) >= limit {
			return time.Since(start), err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(start), err
		}
	}
}
