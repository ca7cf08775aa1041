package vrrp

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// surroundings is what the set keeps in the kernel beside the virtual routers:
// static addresses, routes and rules, settings of interfaces, and the table of
// routers that do not accept.
type surroundings struct {
	nl       *Netlink
	log      *slog.Logger
	static   *AddressOwner
	settings *InterfaceSettings
	faulted  func() // hears that fault has changed
	told     string // the last error in the log, of the goroutine of guard

	mu     sync.Mutex
	filter *AcceptFilter // nil until somebody needs it
	table  AcceptTable
	broken map[string]string // track groups, with what is missing
}

func newSurroundings(nl *Netlink, log *slog.Logger, faulted func()) *surroundings {
	return &surroundings{nl: nl, log: log, faulted: faulted, static: NewAddressOwner(nl, nil, log), settings: NewInterfaceSettings(nl)}
}

// acceptFilter gives the one filter of all routers.
func (a *surroundings) acceptFilter() (*AcceptFilter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.filter != nil {
		return a.filter, nil
	}
	f, err := NewAcceptFilter(a.nl, a.table)
	if err != nil {
		return nil, err
	}
	a.filter = f
	return f, nil
}

// setFilter names the table of the filter, also of one that is in use.
func (a *surroundings) setFilter(table AcceptTable) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.table = table
	if a.filter == nil {
		return nil
	}
	return a.filter.Move(table)
}

// update follows the configuration. What cannot be done is told, and the rest
// is done.
func (a *surroundings) update(ctx context.Context, w *Wanted) {
	var devices []string
	for i := range w.Routers {
		if w.Routers[i].PromoteSecondaries {
			devices = append(devices, w.Routers[i].Config.Interface)
		}
	}
	_, err := a.static.SetAddresses(ctx, w.Static)
	errs := []error{a.settings.PromoteSecondaries(devices), a.settings.NoLocalIGMP(w.NoLocalIGMP), a.setFilter(w.Filter), err, a.static.SetRouting(ctx, w.StaticRouting)}
	if len(w.Static) > 0 || len(w.StaticRouting.routes)+len(w.StaticRouting.rules) > 0 {
		errs = append(errs, a.static.Take(ctx))
	}
	a.mu.Lock()
	a.broken = a.static.Broken() // the routers look at it after this
	a.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		a.log.Error("static addresses, routes, rules or settings did not follow the configuration", "err", err)
	}
}

// brokenRetry is the pause before static things that could not be put back are
// tried again.
const brokenRetry = time.Second

// guard puts static addresses, routes and rules back that somebody removes.
func (a *surroundings) guard(ctx context.Context, links *LinkMonitor) {
	lost, stop := links.AddressLost()
	defer stop()
	for {
		var retry <-chan time.Time
		if a.judge() {
			retry = time.After(brokenRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-lost:
		case <-retry:
		}
		_, err := a.static.Restore(ctx, links.HasAddress)
		if err != nil && ctx.Err() == nil {
			a.tell(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(guardPause):
		}
	}
}

// tell logs an error that repeats only once.
func (a *surroundings) tell(err error) {
	if text := err.Error(); text != a.told {
		a.told = text
		a.log.Error("static addresses, routes or rules cannot be put back", "err", err)
	}
}

// judge looks which track groups miss something; it tells those who care when
// that has changed, and gives whether there are any.
func (a *surroundings) judge() bool {
	broken := a.static.Broken()
	a.mu.Lock()
	changed := !maps.Equal(a.broken, broken)
	a.broken = broken
	a.mu.Unlock()
	if changed {
		a.faulted()
	}
	return len(broken) > 0
}

// fault is what a track group misses; empty: nothing.
func (a *surroundings) fault(group string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken[group]
}

// close leaves the kernel as it was.
func (a *surroundings) close() error {
	errs := []error{a.static.Release(context.Background()), a.settings.Close()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.filter != nil {
		errs = append(errs, a.filter.Close())
	}
	return errors.Join(errs...)
}
