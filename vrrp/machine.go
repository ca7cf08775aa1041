package vrrp

import (
	"net/netip"
	"time"
)

// Config is what the election needs to know of one virtual router.
type Config struct {
	Name      string
	Interface string
	VRID      uint8
	Family    uint8 // 4 or 6
	Version   uint8 // 2 or 3
	Priority  uint8 // 255: owner of the addresses

	AdvertInterval   time.Duration
	DownTimerAdverts int // missed advertisements before a takeover
	Preempt          bool
	PreemptDelay     time.Duration
	Addresses        []netip.Addr // advertised, in order

	AuthType uint8
	AuthData [authLen]byte

	LowerPrioNoAdvert    bool // stay silent when a lower priority is heard
	HigherPrioSendAdvert bool // one last advertisement before yielding

	Announce Announcing
}

// Announcing says how often addresses are announced.
type Announcing struct {
	MasterRepeat    int           // rounds on becoming Master
	MasterDelay     time.Duration // before the second burst; 0: none
	Refresh         time.Duration // period while Master; 0: none
	RefreshRepeat   int
	LowerPrioDelay  time.Duration // before the second burst after a lower priority was heard
	LowerPrioRepeat int
}

// Event is something that happens to a virtual router.
type Event interface{ event() }

// Events.
type (
	// Startup brings the router from Initialize into the election.
	Startup struct{}
	// Shutdown takes it out again.
	Shutdown struct{}
	// Received is an advertisement that every check has accepted.
	Received struct {
		From   netip.Addr
		Advert Advert
	}
	// Tick says that time has passed: timers that are due fire.
	Tick struct{}
	// Conditions are what the trackers say: the faults, and the priority to
	// take part with. Source is the address advertisements leave from.
	Conditions struct {
		Fault    string // empty: none
		Priority uint8
		Source   netip.Addr
	}
)

func (Startup) event()    {}
func (Shutdown) event()   {}
func (Received) event()   {}
func (Tick) event()       {}
func (Conditions) event() {}

// Action is something that the shell has to do.
type Action interface{ action() }

// Actions.
type (
	// SendAdvert sends one advertisement with this priority.
	SendAdvert struct{ Priority uint8 }
	// TakeAddresses makes the addresses ours; ReleaseAddresses gives them up.
	TakeAddresses    struct{}
	ReleaseAddresses struct{}
	// AnnounceAddresses sends so many rounds of gratuitous ARP or NA.
	AnnounceAddresses struct{ Rounds int }
	// RoleChanged tells notify scripts and the director.
	RoleChanged struct {
		From, To Role
		Reason   string
		Priority uint8
	}
)

func (SendAdvert) action()        {}
func (TakeAddresses) action()     {}
func (ReleaseAddresses) action()  {}
func (AnnounceAddresses) action() {}
func (RoleChanged) action()       {}

// VirtualRouter is the election of one virtual router: a state machine without
// I/O, clock or goroutine.
type VirtualRouter struct {
	cfg      Config
	role     Role
	running  bool // between Startup and Shutdown
	cond     Conditions
	interval time.Duration // of the master, learned in version 3
	master   netip.Addr    // who speaks; our own source while Master

	adverts  time.Time // Master: the next advertisement
	down     time.Time // Backup: when silence means a takeover
	preempt  time.Time // Backup: before it, a lower master is left alone
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
	case Startup:
		v.running = true
		return v.enter(now)
	case Shutdown:
		return v.shutdown()
	case Conditions:
		return v.conditions(now, e)
	case Received:
		switch v.role {
		case Backup:
			return v.heardAsBackup(now, e)
		case Master:
			return v.heardAsMaster(now, e)
		}
	case Tick:
		return v.tick(now)
	}
	return nil
}

// Deadline is when the next Tick is due; zero means none.
func (v *VirtualRouter) Deadline() time.Time {
	var next time.Time
	for _, t := range []time.Time{v.adverts, v.down, v.announce.at, v.refresh.at} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// skew is the part of the down timer that lets the highest priority go first
// (RFC 3768 section 6.1, RFC 9568 section 6.1).
func (v *VirtualRouter) skew() time.Duration {
	unit := time.Second
	if v.cfg.Version == 3 {
		unit = v.interval
	}
	return time.Duration(256-int(v.cond.Priority)) * unit / 256
}

func (v *VirtualRouter) downInterval() time.Duration {
	return time.Duration(max(1, v.cfg.DownTimerAdverts))*v.interval + v.skew()
}

// enter joins the election, or waits in Fault.
func (v *VirtualRouter) enter(now time.Time) []Action {
	v.interval = v.cfg.AdvertInterval
	switch {
	case v.cond.Fault != "":
		return v.become(Fault, v.cond.Fault)
	case v.cond.Priority == 255:
		return v.becomeMaster(now, "owner of the addresses")
	}
	acts := v.become(Backup, "started")
	v.down = now.Add(v.downInterval())
	v.preempt = time.Time{}
	return acts
}

func (v *VirtualRouter) become(to Role, reason string) []Action {
	from := v.role
	v.role = to
	if to != Master {
		v.adverts, v.announce, v.refresh, v.master = time.Time{}, timer{}, timer{}, netip.Addr{}
	}
	if to != Backup {
		v.down = time.Time{}
	}
	return []Action{RoleChanged{From: from, To: to, Reason: reason, Priority: v.cond.Priority}}
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
	if delay > 0 {
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
		return v.enter(now)
	}
	if v.role == Backup && old.Priority != c.Priority {
		before := v.cond
		v.cond = old
		oldSkew := v.skew()
		v.cond = before
		v.down = v.down.Add(v.skew() - oldSkew)
	}
	if v.role == Master {
		v.master = c.Source
		if old.Priority != c.Priority { // the next advertisement carries it, at once
			v.adverts = now.Add(v.interval)
			return []Action{SendAdvert{c.Priority}}
		}
	}
	return nil
}

// heardAsBackup is RFC 9568 section 6.4.2.
func (v *VirtualRouter) heardAsBackup(now time.Time, e Received) []Action {
	if e.Advert.Priority == 0 {
		v.down = now.Add(v.skew())
		return nil
	}
	if e.Advert.Priority >= v.cond.Priority || !v.cfg.Preempt {
		v.follow(now, e)
		v.preempt = time.Time{}
		return nil
	}
	if v.cfg.PreemptDelay > 0 {
		if v.preempt.IsZero() {
			v.preempt = now.Add(v.cfg.PreemptDelay)
		}
		if now.Before(v.preempt) {
			v.follow(now, e)
		}
	}
	return nil // a lower priority does not move the timer: we take over
}

// follow takes the sender for the Master.
func (v *VirtualRouter) follow(now time.Time, e Received) {
	if v.cfg.Version == 3 {
		v.interval = e.Advert.Interval
	}
	v.master = e.From
	v.down = now.Add(v.downInterval())
}

// heardAsMaster is RFC 9568 section 6.4.3.
func (v *VirtualRouter) heardAsMaster(now time.Time, e Received) []Action {
	p := e.Advert.Priority
	switch {
	case p == 0:
		v.adverts = now.Add(v.interval)
		return []Action{SendAdvert{v.cond.Priority}}
	case p > v.cond.Priority, p == v.cond.Priority && v.cond.Source.Less(e.From):
		return v.outranked(now, e)
	}
	v.burst(now, v.cfg.Announce.LowerPrioRepeat, v.cfg.Announce.LowerPrioDelay)
	acts := []Action{AnnounceAddresses{v.cfg.Announce.LowerPrioRepeat}}
	if !v.cfg.LowerPrioNoAdvert {
		v.adverts = now.Add(v.interval)
		acts = append([]Action{SendAdvert{v.cond.Priority}}, acts...)
	}
	return acts
}

func (v *VirtualRouter) outranked(now time.Time, e Received) []Action {
	var acts []Action
	if v.cfg.HigherPrioSendAdvert {
		acts = append(acts, SendAdvert{v.cond.Priority})
	}
	acts = append(acts, v.yield(Backup, "a router with a higher rank speaks: "+e.From.String())...)
	v.follow(now, e)
	return acts
}

// tick fires the timers that are due.
func (v *VirtualRouter) tick(now time.Time) []Action {
	var acts []Action
	if due(v.down, now) {
		return v.becomeMaster(now, "no master is heard")
	}
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

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
