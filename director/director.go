package director

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
)

// Timing of Apply. A failed Apply is tried again after retryFirst, doubling up
// to retryMost; a good one is repeated after repairEvery, which repairs what
// someone else changed and costs nothing when nothing differs.
const (
	retryFirst  = 100 * time.Millisecond
	retryMost   = 10 * time.Second
	repairEvery = 30 * time.Second
	applyWithin = 30 * time.Second
)

// Options are what a Director stands on.
type Options struct {
	Forwarder dataplane.Forwarder
	Health    func() Health // called before every decision
	Log       *slog.Logger
	// Applied, if set, is told of every Apply: how long it took, and its error.
	Applied func(took time.Duration, err error)
	// Changed, if set, is told of every new decision before it is applied,
	// from the director's goroutine; it must not block.
	Changed func(old, new Decision)
}

// Director owns the wanted state. Sources call the Set methods from any
// goroutine; Run recomputes Want and hands it to the forwarder.
type Director struct {
	opt  Options
	wake chan struct{}

	mu       sync.Mutex
	cfg      *config.Config
	masters  map[string]bool
	decision Decision
	settled  bool
	waiting  []chan struct{} // of Settle
}

// New makes a Director that wants nothing until SetConfig.
func New(opt Options) *Director {
	return &Director{opt: opt, wake: make(chan struct{}, 1), masters: map[string]bool{}}
}

// SetConfig replaces the configuration.
func (d *Director) SetConfig(cfg *config.Config) {
	d.mu.Lock()
	d.cfg = cfg
	d.mu.Unlock()
	d.Wake()
}

// SetMaster tells whether the virtual router of that name is Master.
func (d *Director) SetMaster(router string, master bool) {
	d.mu.Lock()
	d.masters[router] = master
	d.mu.Unlock()
	d.Wake()
}

// Settle waits until Run has applied what was set before the call, or failed to,
// or ctx ends.
func (d *Director) Settle(ctx context.Context) {
	done := make(chan struct{})
	d.mu.Lock()
	d.waiting = append(d.waiting, done)
	d.mu.Unlock()
	d.Wake()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Wake makes Run look at its inputs again, such as after a health transition.
func (d *Director) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Decision gives the last decision, for status; applied is false while the
// forwarder does not hold it yet.
func (d *Director) Decision() (dec Decision, applied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.decision, d.settled
}

// Run decides and applies until ctx ends. It returns nil then: an error of the
// forwarder is logged and tried again, never fatal.
func (d *Director) Run(ctx context.Context) error {
	var failures int
	timer := time.NewTimer(repairEvery)
	defer timer.Stop()
	for {
		wait := repairEvery
		if err := d.step(ctx); err != nil {
			wait = min(retryFirst<<min(failures, 16), retryMost)
			failures++
			d.opt.Log.Error("the forwarder does not hold what is wanted; trying again", "in", wait, "err", err)
		} else {
			if failures > 0 {
				d.opt.Log.Info("the forwarder holds what is wanted again", "failures", failures)
			}
			failures = 0
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-timer.C:
		}
	}
}

func (d *Director) step(ctx context.Context) error {
	d.mu.Lock()
	waiting := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	defer func() {
		for _, done := range waiting {
			close(done)
		}
	}()
	next, ok := d.decide()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	start := time.Now()
	err := d.opt.Forwarder.Apply(ctx, next.Services)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if d.opt.Applied != nil {
		d.opt.Applied(time.Since(start), err)
	}
	d.mu.Lock()
	d.settled = err == nil
	d.mu.Unlock()
	return err
}

// decide computes the next decision; ok is false before there is a
// configuration.
func (d *Director) decide() (next Decision, ok bool) {
	d.mu.Lock()
	cfg, old := d.cfg, d.decision
	masters := make(map[string]bool, len(d.masters))
	for k, v := range d.masters {
		masters[k] = v
	}
	d.mu.Unlock()
	if cfg == nil {
		return Decision{}, false
	}
	next = Want(cfg, d.opt.Health(), masters, old)
	d.mu.Lock()
	d.decision = next
	d.mu.Unlock()
	if d.opt.Changed != nil {
		d.opt.Changed(old, next)
	}
	return next, true
}
