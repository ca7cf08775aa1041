package vrrp

import (
	"net/netip"
	"time"
)

// VirtualRouter is the election of one virtual router: a state machine without
// I/O, clock or goroutine.
type VirtualRouter struct {
	cfg      Config
	role     Role
	running  bool // between Startup and Shutdown
	inherits bool // addresses of an earlier life are kept until a Master is known
	cond     Conditions
	interval time.Duration // of the master, learned in version 3
	master   netip.Addr    // who speaks; our own source while Master

	adverts  time.Time // Master: the next advertisement
	down     time.Time // Backup: when silence means a takeover
	preempt  time.Time // Backup: before it, a lower master is left alone
	grace    bool      // Backup: down was put off because we woke late
	announce timer     // second burst
	refresh  timer     // periodic announcements
}

// timer is a time at which so many rounds are announced; zero is off.
type timer struct {
	at     time.Time
	rounds int
}

// NewVirtualRouter makes a router in Initialize.
func NewVirtualRouter(cfg Config) *VirtualRouter {
	return &VirtualRouter{cfg: cfg, cond: Conditions{Priority: cfg.Priority}}
}

// Role is the present role.
func (v *VirtualRouter) Role() Role { return v.role }

// Master is who is heard as Master, our source when we are; invalid when
// nobody is known.
func (v *VirtualRouter) Master() netip.Addr { return v.master }

// Priority is the effective priority.
func (v *VirtualRouter) Priority() uint8 { return v.cond.Priority }

// Step takes one event at one time and returns what is to be done, in order.
func (v *VirtualRouter) Step(now time.Time, ev Event) []Action {
	switch e := ev.(type) {
	case Inherit:
		v.inherits = true
		return []Action{KeepAddresses{}}
	case Startup:
		v.running = true
		if e.Resume && v.cond.Fault != "" {
			v.inherits = true
			return append([]Action{KeepAddresses{}}, v.enter(now, false)...)
		}
		return v.enter(now, e.Resume)
	case Shutdown:
		return v.shutdown()
	case Conditions:
		return v.conditions(now, e)
	case Received:
		acts := v.overslept(now)
		return append(acts, v.heard(now, e)...)
	case Reconfigure:
		return v.reconfigure(now, e.Config)
	case Join:
		return v.join(now, e)
	case Tick:
		acts := v.overslept(now)
		return append(acts, v.tick(now)...)
	}
	return nil
}

// Deadline is when the next Tick is due; zero means none.
func (v *VirtualRouter) Deadline() time.Time {
	var next time.Time
	for _, t := range [...]time.Time{v.adverts, v.down, v.announce.at, v.refresh.at} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// skew is the part of the down timer that lets the highest priority go first
// (RFC 3768 section 6.1, RFC 9568 section 6.1).
func (v *VirtualRouter) skew(priority uint8) time.Duration {
	unit := time.Second
	if v.cfg.Version == 3 {
		unit = v.interval
	}
	return time.Duration(256-int(priority)) * unit / 256
}

func (v *VirtualRouter) downInterval() time.Duration {
	return time.Duration(max(1, v.cfg.DownTimerAdverts))*v.interval + v.skew(v.cond.Priority)
}

// enter joins the election, or waits in Fault.
func (v *VirtualRouter) enter(now time.Time, resume bool) []Action {
	v.interval = v.cfg.AdvertInterval
	switch {
	case v.cond.Fault != "":
		return v.become(Fault, v.cond.Fault)
	case resume:
		return v.becomeMaster(now, "resumed")
	case v.cond.Priority == 255:
		return v.becomeMaster(now, "owner of the addresses")
	}
	acts := v.become(Backup, "started")
	v.down = now.Add(v.downInterval())
	return acts
}

func (v *VirtualRouter) become(to Role, reason string) []Action {
	from := v.role
	v.role, v.grace, v.preempt, v.down = to, false, time.Time{}, time.Time{}
	if to != Master {
		v.adverts, v.announce, v.refresh, v.master = time.Time{}, timer{}, timer{}, netip.Addr{}
	}
	var acts []Action
	if to != Backup { // Master takes them, the others must not have them
		if v.inherits && to != Master {
			acts = append(acts, ReleaseAddresses{})
		}
		v.inherits = false
	}
	return append(acts, RoleChanged{From: from, To: to, Reason: reason, Priority: v.cond.Priority})
}

// becomeMaster takes the addresses before anybody hears of it.
func (v *VirtualRouter) becomeMaster(now time.Time, reason string) []Action {
	changed := v.become(Master, reason)
	v.interval = v.cfg.AdvertInterval
	v.master = v.cond.Source
	v.adverts = now.Add(v.interval)
	v.burst(now, v.cfg.Announce.MasterRepeat, v.cfg.Announce.MasterDelay)
	if v.cfg.Announce.Refresh > 0 {
		v.refresh = timer{now.Add(v.cfg.Announce.Refresh), v.cfg.Announce.RefreshRepeat}
	}
	acts := []Action{TakeAddresses{}, SendAdvert{v.cond.Priority}, AnnounceAddresses{v.cfg.Announce.MasterRepeat}}
	return append(acts, changed...)
}

// burst plans the second announcement.
func (v *VirtualRouter) burst(now time.Time, rounds int, delay time.Duration) {
	v.announce = timer{}
	if delay > 0 && rounds > 0 {
		v.announce = timer{now.Add(delay), rounds}
	}
}

// yield leaves Master.
func (v *VirtualRouter) yield(to Role, reason string) []Action {
	return append([]Action{ReleaseAddresses{}}, v.become(to, reason)...)
}

func (v *VirtualRouter) shutdown() []Action {
	v.running = false
	switch v.role {
	case Initialize:
		if v.inherits {
			v.inherits = false
			return []Action{ReleaseAddresses{}}
		}
		return nil
	case Master:
		return append([]Action{SendAdvert{0}}, v.yield(Initialize, "stopped")...)
	}
	return v.become(Initialize, "stopped")
}

// conditions follows the trackers: faults first, then the priority.
func (v *VirtualRouter) conditions(now time.Time, c Conditions) []Action {
	old := v.cond
	v.cond = c
	if !v.running {
		return nil
	}
	switch {
	case c.Fault != "" && v.role == Master:
		return append([]Action{SendAdvert{0}}, v.yield(Fault, c.Fault)...)
	case c.Fault != "" && v.role != Fault:
		return v.become(Fault, c.Fault)
	case c.Fault == "" && v.role == Fault:
		return v.enter(now, false)
	}
	switch v.role {
	case Backup:
		v.down = v.down.Add(v.skew(c.Priority) - v.skew(old.Priority))
	case Master:
		v.master = c.Source
		if old.Priority != c.Priority || old.Source != c.Source {
			return v.advertise(now)
		}
	}
	return nil
}

// advertise sends at once and starts the interval again.
func (v *VirtualRouter) advertise(now time.Time) []Action {
	v.adverts = now.Add(v.interval)
	return []Action{SendAdvert{v.cond.Priority}}
}

// reconfigure keeps role and timers. Backups learn of another interval at once,
// so that they do not take a longer one for silence.
func (v *VirtualRouter) reconfigure(now time.Time, c Config) []Action {
	old := v.cfg
	v.cfg = c
	switch {
	case v.role == Master && old.AdvertInterval != c.AdvertInterval:
		v.interval = c.AdvertInterval
		return v.advertise(now)
	case v.role == Backup && (c.Version == 2 || !v.master.IsValid()) && v.interval != c.AdvertInterval:
		v.interval = c.AdvertInterval
		v.down = now.Add(v.downInterval())
	}
	return nil
}

// join follows the sync group. The peers learn the same way from their group:
// there is no priority 0.
func (v *VirtualRouter) join(now time.Time, e Join) []Action {
	switch {
	case e.Role == Master && v.role == Backup:
		return v.becomeMaster(now, e.Reason)
	case e.Role == Backup && v.role == Master:
		v.interval = v.cfg.AdvertInterval
		acts := v.yield(Backup, e.Reason)
		v.down = now.Add(v.downInterval())
		return acts
	}
	return nil
}

// tick fires the timers that are due.
func (v *VirtualRouter) tick(now time.Time) []Action {
	if due(v.down, now) {
		return v.silence(now)
	}
	var acts []Action
	if due(v.adverts, now) {
		v.adverts = v.adverts.Add(v.interval)
		if due(v.adverts, now) { // late by an interval or more: do not catch up
			v.adverts = now.Add(v.interval)
		}
		acts = append(acts, SendAdvert{v.cond.Priority})
	}
	if due(v.announce.at, now) {
		acts = append(acts, AnnounceAddresses{v.announce.rounds})
		v.announce = timer{}
	}
	if due(v.refresh.at, now) {
		acts = append(acts, AnnounceAddresses{v.refresh.rounds})
		v.refresh.at = now.Add(v.cfg.Announce.Refresh)
	}
	return acts
}

// silence ends the wait of a Backup. One that was not running when the wait
// ended may have missed what was said meanwhile: it listens for one more
// interval, once.
func (v *VirtualRouter) silence(now time.Time) []Action {
	if !v.grace && now.Sub(v.down) > v.interval {
		v.grace = true
		v.down = now.Add(v.interval + v.skew(v.cond.Priority))
		return nil
	}
	return v.becomeMaster(now, "no master is heard")
}

// overslept ends the mastership of a router that is not to preempt when it has
// been silent for so long that another one may have taken over.
func (v *VirtualRouter) overslept(now time.Time) []Action {
	if v.role != Master || v.cfg.Preempt || v.cfg.LatePriority == 0 {
		return nil
	}
	last := v.adverts.Add(-v.interval)
	if now.Sub(last) < time.Duration(max(1, v.cfg.DownTimerAdverts))*v.interval+v.skew(v.cfg.LatePriority) {
		return nil
	}
	acts := v.yield(Backup, "silent for so long that another router may be master")
	v.down = now.Add(v.downInterval())
	return acts
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
