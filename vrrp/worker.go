package vrrp

import (
	"context"
	"time"
)

// worker does the slow work of a router in order and away from its runner:
// take, announce, release. A release cancels announcements that wait.
type worker struct {
	shell  Shell
	jobs   chan job
	done   chan struct{}
	cancel context.CancelFunc // of announcements under way
	ctx    context.Context
}

type job struct {
	do   func()
	done chan struct{}
}

// takeWithin bounds how long an advertisement waits for the addresses.
const takeWithin = 100 * time.Millisecond

func newWorker(sh Shell) *worker {
	w := &worker{shell: sh, jobs: make(chan job, 64), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(w.done)
		for j := range w.jobs {
			j.do()
			close(j.done)
		}
	}()
	return w
}

func (w *worker) put(do func()) <-chan struct{} {
	j := job{do, make(chan struct{})}
	w.jobs <- j
	return j.done
}

func (w *worker) take() {
	wait(w.put(func() {
		if err := w.shell.Owner.Take(context.Background()); err != nil {
			w.shell.Log.Error("virtual addresses not taken", "err", err)
		}
	}), takeWithin)
}

func (w *worker) release() {
	w.cancel()
	w.ctx, w.cancel = context.WithCancel(context.Background())
	wait(w.put(func() {
		if err := w.shell.Owner.Release(context.Background()); err != nil {
			w.shell.Log.Error("virtual addresses not released", "err", err)
		}
	}), stopWithin)
}

func (w *worker) announce(n int) {
	ctx := w.ctx
	w.put(func() {
		if err := w.shell.Announcer.Announce(ctx, n); err != nil && ctx.Err() == nil {
			w.shell.Log.Warn("virtual addresses not announced", "err", err)
		}
	})
}

func (w *worker) finish() {
	close(w.jobs)
	wait(w.done, stopWithin)
	w.cancel()
}

func wait(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}
