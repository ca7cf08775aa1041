package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/director"
	"github.com/xvip-lb/xvip/internal/script"
)

const (
	noticeQueue = 256             // changes that may wait for their scripts to start
	lastNotices = 2 * time.Second // what the scripts of a clean stop may take together
)

// notices starts the scripts of real servers and quorums in the order of the
// changes, away from the director's goroutine. Nobody waits for their end.
type notices struct {
	queue chan []*config.Script
	log   *slog.Logger
}

func newNotices(log *slog.Logger) *notices {
	return &notices{queue: make(chan []*config.Script, noticeQueue), log: log}
}

// tell queues the scripts of one change; it never waits.
func (n *notices) tell(list []*config.Script) {
	if len(list) == 0 {
		return
	}
	select {
	case n.queue <- list:
	default:
		n.log.Error("notify scripts are too slow, one change is not told", "script", list[0].Argv[0])
	}
}

func (n *notices) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case list := <-n.queue:
			for _, s := range list {
				done := script.Start(ctx, *command(s), 0)
				go n.report(s, done)
			}
		}
	}
}

func (n *notices) report(s *config.Script, done <-chan script.Outcome) {
	if o := <-done; !o.OK() {
		n.log.Warn("notify script failed", "script", s.Argv[0], "outcome", o.String())
	}
}

// last runs the scripts of a clean stop and waits for them, within bounds.
func (n *notices) last(dec director.Decision) {
	ctx, cancel := context.WithTimeout(context.Background(), lastNotices)
	defer cancel()
	var running []<-chan script.Outcome
	for _, s := range director.LastNotices(dec) {
		running = append(running, script.Start(ctx, *command(s), lastNotices))
	}
	for _, done := range running {
		<-done
	}
}
