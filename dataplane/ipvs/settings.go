package ipvs

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Settings are what IPVS has once for all services of a namespace.
type Settings struct {
	// Timeouts that are not zero are kept so, and put back to what they were
	// when they are no longer wanted.
	Timeouts Timeouts
	// ManageSync keeps exactly the sync daemons of Sync, at most one of each
	// role; without it the daemons of others are left alone.
	ManageSync bool
	Sync       []SyncDaemon
}

// settings are the wanted ones and what this engine has changed.
type settings struct {
	want     Settings
	before   Timeouts // those found before the first change; zero where none was made
	syncOurs bool     // some sync daemon may be ours
}

// Configure sets the wanted settings; the next Apply carries them out.
func (e *Engine) Configure(s Settings) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settings.want = Settings{Timeouts: s.Timeouts, ManageSync: s.ManageSync, Sync: slices.Clone(s.Sync)}
}

func (e *Engine) applySettings() error {
	return errors.Join(e.applyTimeouts(), e.applySync())
}

func (e *Engine) applyTimeouts() error {
	s := &e.settings
	if s.want.Timeouts == (Timeouts{}) && s.before == (Timeouts{}) {
		return nil
	}
	have, err := e.c.timeouts()
	if err != nil {
		return err
	}
	next, before := nextTimeouts(have, s.want.Timeouts, s.before)
	if next != have {
		if err := e.c.setTimeouts(next); err != nil {
			return err
		}
		e.log.Info("IPVS timeouts set", "timeouts", next.String())
	}
	s.before = before
	return nil
}

// nextTimeouts gives the timeouts to set, and those to remember for when they
// are no longer wanted.
func nextTimeouts(have, want, before Timeouts) (next, remember Timeouts) {
	next, remember = have, before
	for _, f := range []struct{ have, want, before, next, remember *time.Duration }{
		{&have.TCP, &want.TCP, &before.TCP, &next.TCP, &remember.TCP},
		{&have.TCPFin, &want.TCPFin, &before.TCPFin, &next.TCPFin, &remember.TCPFin},
		{&have.UDP, &want.UDP, &before.UDP, &next.UDP, &remember.UDP},
	} {
		switch {
		case *f.want != 0:
			*f.next = *f.want
			if *f.before == 0 {
				*f.remember = *f.have
			}
		case *f.before != 0:
			*f.next, *f.remember = *f.before, 0
		}
	}
	return next, remember
}

// applySync stops what must not run before it starts what must: the kernel has
// one daemon of a role at most.
func (e *Engine) applySync() error {
	s := &e.settings
	if !s.want.ManageSync && !s.syncOurs {
		return nil
	}
	have, err := e.c.daemons()
	if err != nil {
		return err
	}
	stop, start := planSync(have, s.want.Sync)
	s.syncOurs = true
	var errs []error
	for _, d := range stop {
		if err := e.c.daemon(cmdDelDaemon, d); err != nil {
			errs = append(errs, fmt.Errorf("stop sync daemon %s: %w", d, err))
		}
	}
	for _, d := range start {
		if err := e.c.daemon(cmdNewDaemon, d); err != nil {
			errs = append(errs, fmt.Errorf("start sync daemon %s: %w", d, err))
			continue
		}
		e.log.Info("IPVS sync daemon started", "daemon", d.String())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.syncOurs = len(s.want.Sync) > 0
	return nil
}

func planSync(have, want []SyncDaemon) (stop, start []SyncDaemon) {
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w SyncDaemon) bool { return w.covers(h) }) {
			stop = append(stop, h)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, w.covers) {
			start = append(start, w)
		}
	}
	return stop, start
}

// String names the role, interface and id.
func (s SyncDaemon) String() string {
	role := "backup"
	if s.Master {
		role = "master"
	}
	return fmt.Sprintf("%s on %s id %d", role, s.Interface, s.ID)
}
