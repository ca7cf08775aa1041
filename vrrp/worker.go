package vrrp

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// worker does the slow work of a router away from its runner. It follows the
// wanted state, not each change: addresses are taken or released, tried again
// after an error, and then announced.
type worker struct {
	owner     Owner
	announcer Announcer
	log       *slog.Logger
	wake      chan struct{}
	done      chan struct{}

	mu     sync.Mutex
	want   bool // addresses are to be ours
	rounds int  // of announcements asked for
	ended  bool
	taken  chan struct{}      // closed when the present take has ended
	cancel context.CancelFunc // of what is under way and no longer wanted
}

const (
	// workerRetry is the pause after an error.
	workerRetry = time.Second
	// takeWithin bounds how long an advertisement waits for the addresses.
	takeWithin = 100 * time.Millisecond
)

func newWorker(sh Shell) *worker {
	w := &worker{owner: sh.Owner, announcer: sh.Announcer, log: sh.Log, wake: make(chan struct{}, 1), done: make(chan struct{}),
		cancel: func() {}}
	go w.run()
	return w
}

// take asks for the addresses and gives a channel that closes once they were
// tried.
func (w *worker) take() <-chan struct{} {
	taken := make(chan struct{})
	w.change(func() { w.want, w.taken = true, taken })
	return taken
}

// release gives the addresses up; announcements under way end.
func (w *worker) release() {
	w.change(func() { w.want, w.rounds = false, 0; w.cancel() })
}

func (w *worker) announce(n int) {
	w.change(func() { w.rounds = max(w.rounds, n) })
}

// finish lets the worker end after what it has to do, and waits a while.
func (w *worker) finish(limit time.Duration) {
	w.change(func() { w.ended = true; w.rounds = 0; w.cancel() })
	select {
	case <-w.done:
	case <-time.After(limit):
		w.log.Error("virtual addresses: the kernel does not answer, leaving without it", "after", limit)
	}
}

func (w *worker) change(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run brings the addresses to the wanted state. have is nil while unknown.
func (w *worker) run() {
	defer close(w.done)
	have, failed := false, false
	for {
		w.mu.Lock()
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		want, rounds, taken, ended := w.want, w.rounds, w.taken, w.ended
		w.taken = nil
		if want == have && !failed {
			w.rounds = 0
		}
		w.mu.Unlock()
		switch {
		case taken != nil, want != have, failed:
			failed = !w.move(ctx, want)
			have = want
			if taken != nil {
				close(taken)
			}
		case rounds > 0 && want:
			if err := w.announcer.Announce(ctx, rounds); err != nil && ctx.Err() == nil {
				w.log.Warn("virtual addresses not announced", "err", err)
			}
		case ended:
			cancel()
			return
		default:
			<-w.wake
		}
		cancel()
		if failed {
			if ended {
				return
			}
			w.pause()
		}
	}
}

// pause waits until an attempt may be made again, or something else is wanted.
func (w *worker) pause() {
	t := time.NewTimer(workerRetry)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.wake:
	}
}

func (w *worker) move(ctx context.Context, take bool) bool {
	if take {
		if err := w.owner.Take(ctx); err != nil {
			w.log.Error("virtual addresses not taken, trying again", "err", err)
			return false
		}
		return true
	}
	if err := w.owner.Release(context.WithoutCancel(ctx)); err != nil {
		w.log.Error("virtual addresses not released, trying again", "err", err)
		return false
	}
	return true
}
