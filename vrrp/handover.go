package vrrp

import "time"

// lingerMost bounds how long a router that stops waits for its successor.
const lingerMost = 1100 * time.Millisecond

// shutdown leaves the election. A Master keeps answering for its addresses after
// priority 0 until the next Master is heard, so that no packet finds nobody: two
// owners for some milliseconds lose nothing, since the gratuitous ARP of the next
// one wins.
func (r *runner) shutdown() {
	r.mu.Lock()
	acts := r.vr.Step(time.Now(), Shutdown{})
	r.mu.Unlock()
	for _, act := range acts {
		if _, release := act.(ReleaseAddresses); release && !r.keep {
			r.linger(lingerFor(r.codec.cfg))
		}
		r.perform(act)
	}
}

// lingerFor is the longest time after priority 0 until a Backup speaks as
// Master: the skew of the lowest priority (RFC 3768 section 6.1, RFC 9568
// section 6.1), and a little for its work.
func lingerFor(c *Config) time.Duration {
	skew := time.Second
	if c.Version == 3 {
		skew = c.AdvertInterval
	}
	return min(skew+100*time.Millisecond, lingerMost)
}

// linger returns when another router has spoken as Master, or after limit.
func (r *runner) linger(limit time.Duration) {
	if r.conn == nil {
		return
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		select {
		case <-r.readable():
			if r.successor() || r.conn.Err() != nil {
				return
			}
		case <-r.events: // nothing matters any more, but nobody has to wait
		case <-t.C:
			return
		}
	}
}

// successor reads what the socket holds and tells whether a Master was in it.
func (r *runner) successor() bool {
	found := false
	for range drainMost {
		p, ok := r.conn.Pending()
		if !ok {
			break
		}
		if ev, ok := r.check(p); ok && ev.Advert.Priority != 0 {
			found = true
		}
	}
	return found
}

// masterDown is the longest silence of a Master that a Backup of this
// configuration bears.
func masterDown(c *Config) time.Duration {
	v := VirtualRouter{cfg: *c, interval: c.AdvertInterval}
	v.cond.Priority = 1
	return v.downInterval()
}
