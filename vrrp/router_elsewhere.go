package vrrp

import (
	"context"
	"slices"
	"time"
)

// AnnounceElsewhere has a Master announce now and then the addresses that are
// on other interfaces than its own, where no advertisement keeps the tables of
// switches fresh (garp_extra_if).
type AnnounceElsewhere struct {
	Every time.Duration // 0: never
	All   bool          // not only on virtual MACs
}

// elsewhere is the clock of that announcement.
type elsewhere struct {
	ticker *time.Ticker
	every  time.Duration
}

func newElsewhere() *elsewhere {
	t := time.NewTicker(time.Hour)
	t.Stop()
	return &elsewhere{ticker: t}
}

// set follows the configuration.
func (e *elsewhere) set(every time.Duration) {
	if every == e.every {
		return
	}
	if e.every = every; every > 0 {
		e.ticker.Reset(every)
	} else {
		e.ticker.Stop()
	}
}

// announceElsewhere sends one round.
func (r *router) announceElsewhere(ctx context.Context) {
	if r.runner.role() != Master {
		return
	}
	r.mu.Lock()
	spec := r.spec
	r.mu.Unlock()
	if err := r.announce.AnnounceOnly(ctx, spec.elsewhere(r.owner.Addresses()), 1); err != nil {
		r.log.Warn("virtual addresses on other interfaces not announced", "err", err)
	}
}

// elsewhere chooses the addresses that AnnounceElsewhere is for.
func (s *RouterSpec) elsewhere(all []VirtualAddress) []VirtualAddress {
	own := s.Config.Interface
	if s.Virtual != nil {
		own = s.Virtual.Name
	}
	return slices.DeleteFunc(slices.Clone(all), func(a VirtualAddress) bool {
		virtual := slices.ContainsFunc(s.Extra, func(v VirtualLink) bool { return v.Name == a.Device })
		return a.Device == own || !virtual && !s.AnnounceElsewhere.All
	})
}

func (r *router) elsewhereEvery() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spec.AnnounceElsewhere.Every
}
