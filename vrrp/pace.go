package vrrp

import (
	"context"
	"sync"
	"time"
)

// pace keeps announcements apart, gratuitous ARP and neighbour advertisements
// each on their own.
type pace struct {
	mu   sync.Mutex
	gap  [2]time.Duration
	next [2]time.Time
}

func newPace(garp, gna time.Duration) *pace {
	return &pace{gap: [2]time.Duration{garp, gna}}
}

// wait takes the next free moment and returns when it has come.
func (p *pace) wait(ctx context.Context, v4 bool) error {
	kind := 1
	if v4 {
		kind = 0
	}
	if p.gap[kind] <= 0 {
		return ctx.Err()
	}
	d := p.reserve(kind, time.Now())
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve gives the time until the moment taken.
func (p *pace) reserve(kind int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.next[kind]
	if at.Before(now) {
		at = now
	}
	p.next[kind] = at.Add(p.gap[kind])
	return at.Sub(now)
}
