package vrrp

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// strangers tells the log of advertisements of virtual routers that are not
// configured on the interface they arrive on (log_unknown_vrids). Nil wants none.
type strangers struct {
	log *slog.Logger

	mu    sync.Mutex
	on    bool
	known map[stranger]bool // the configured ones
	limit logLimit
}

// stranger is a virtual router on an interface.
type stranger struct {
	device string
	family uint8
	vrid   uint8
}

// update follows the configuration; changed tells whether wanted has changed.
func (s *strangers) update(on bool, routers []RouterSpec) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.on != on
	s.on, s.known = on, make(map[stranger]bool, len(routers))
	for i := range routers {
		c := &routers[i].Config
		s.known[stranger{c.Interface, c.Family, c.VRID}] = true
		for _, v := range routers[i].links() {
			s.known[stranger{v.Name, c.Family, c.VRID}] = true
		}
	}
	return changed
}

func (s *strangers) wanted() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// heard tells of one advertisement that no router of a socket is for; another
// socket of the interface may have one.
func (s *strangers) heard(device string, family, vrid uint8, from netip.Addr) {
	if s == nil {
		return
	}
	s.mu.Lock()
	tell := s.on && !s.known[stranger{device, family, vrid}] && s.limit.allow(time.Now(), device+string(rune(vrid)), from)
	s.mu.Unlock()
	if tell {
		s.log.Warn("advertisement of a virtual router that is not configured here", "interface", device, "vrid", vrid, "family", family, "from", from)
	}
}
