package vrrp

import "time"

// heard is what an advertisement does in each role.
func (v *VirtualRouter) heard(now time.Time, e Received) []Action {
	switch v.role {
	case Backup:
		v.heardAsBackup(now, e)
		if v.inherits && e.Advert.Priority != 0 { // somebody else is Master
			v.inherits = false
			return []Action{ReleaseAddresses{}}
		}
	case Master:
		return v.heardAsMaster(now, e)
	}
	return nil
}

// quiet tells whether an advertisement has no actions: it moves timers at most.
func (v *VirtualRouter) quiet() bool { return v.role == Backup && !v.inherits }

// heardAsBackup is RFC 9568 section 6.4.2. A lower priority does not move the
// timer: we take over when it ends.
func (v *VirtualRouter) heardAsBackup(now time.Time, e Received) {
	p := e.Advert.Priority
	switch {
	case p == 0:
		v.down = now.Add(v.skew(v.cond.Priority))
		v.grace = false
	case p >= v.cond.Priority || !v.cfg.Preempt:
		v.follow(now, e)
		v.preempt = time.Time{}
	case v.cfg.PreemptDelay > 0:
		if v.preempt.IsZero() {
			v.preempt = now.Add(v.cfg.PreemptDelay)
		}
		if now.Before(v.preempt) {
			v.follow(now, e)
		}
	}
}

// follow takes the sender for the Master.
func (v *VirtualRouter) follow(now time.Time, e Received) {
	if v.cfg.Version == 3 {
		v.interval = e.Advert.Interval
	}
	v.master, v.grace = e.From, false
	v.down = now.Add(v.downInterval())
}

// heardAsMaster is RFC 9568 section 6.4.3.
func (v *VirtualRouter) heardAsMaster(now time.Time, e Received) []Action {
	p := e.Advert.Priority
	switch {
	case v.cond.Priority == 255 && v.cfg.OwnerIgnoreAdverts:
		return nil
	case p == 0:
		return v.advertise(now)
	case p > v.cond.Priority, p == v.cond.Priority && v.cond.Source.Less(e.From):
		return v.outranked(now, e)
	}
	return v.outranks(now, e)
}

// outranks answers a router that should be silent: it yields when it hears us,
// and the link learns again where the addresses are.
func (v *VirtualRouter) outranks(now time.Time, e Received) []Action {
	var acts []Action
	if !v.cfg.LowerPrioNoAdvert {
		acts = v.advertise(now)
	}
	if n := v.cfg.Announce.LowerPrioRepeat; n > 0 {
		v.burst(now, n, v.cfg.Announce.LowerPrioDelay)
		acts = append(acts, AnnounceAddresses{n})
	}
	return append(acts, HeardLower{From: e.From, Priority: e.Advert.Priority})
}

func (v *VirtualRouter) outranked(now time.Time, e Received) []Action {
	var acts []Action
	if v.cfg.HigherPrioSendAdvert {
		acts = append(acts, SendAdvert{v.cond.Priority})
	}
	reason := "a router with a higher rank speaks: " + e.From.String()
	if v.cond.Priority == 255 {
		reason = "another owner of the addresses speaks: " + e.From.String()
	}
	acts = append(acts, v.yield(Backup, reason)...)
	v.follow(now, e)
	return acts
}
