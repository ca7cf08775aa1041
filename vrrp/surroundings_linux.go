package vrrp

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// surroundings is what the set keeps in the kernel beside the virtual routers:
// static addresses, routes and rules, settings of interfaces, and the table of
// routers that do not accept.
type surroundings struct {
	nl       *Netlink
	log      *slog.Logger
	static   *AddressOwner
	settings *InterfaceSettings

	mu     sync.Mutex
	filter *AcceptFilter // nil until somebody needs it
	table  AcceptTable
}

func newSurroundings(nl *Netlink, log *slog.Logger) *surroundings {
	return &surroundings{nl: nl, log: log, static: NewAddressOwner(nl, nil, log), settings: NewInterfaceSettings(nl)}
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
	if err := errors.Join(errs...); err != nil {
		a.log.Error("static addresses, routes, rules or settings did not follow the configuration", "err", err)
	}
}

// guard puts static addresses back that somebody removes.
func (a *surroundings) guard(ctx context.Context, links *LinkMonitor) {
	_ = a.static.Guard(ctx, links, func([]VirtualAddress) {}) // ends with ctx only
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
