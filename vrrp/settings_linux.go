package vrrp

import (
	"errors"
	"fmt"
	"sync"
)

// InterfaceSettings changes settings of interfaces that are not those of a
// virtual MAC, and puts them back at the end.
type InterfaceSettings struct {
	mu      sync.Mutex
	sys     *sysctls
	devices map[string]bool
}

// NewInterfaceSettings prepares the owner of such settings.
func NewInterfaceSettings(nl *Netlink) *InterfaceSettings {
	return &InterfaceSettings{sys: newSysctls(nl), devices: map[string]bool{}}
}

// PromoteSecondaries lets the other addresses of a subnet stay when the first
// one is removed, on exactly these interfaces: those left out have their former
// setting again. It tries all and gives the joined errors.
func (s *InterfaceSettings) PromoteSecondaries(devices []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]bool{}
	var errs []error
	for _, d := range devices {
		want[d] = true
		errs = append(errs, s.sys.set(d, fmt.Sprintf("ipv4/conf/%s/promote_secondaries", d), "1"))
	}
	for d := range s.devices {
		if !want[d] {
			errs = append(errs, s.sys.restore(d))
		}
	}
	s.devices = want
	return errors.Join(errs...)
}

// igmpOwner owns the setting of NoLocalIGMP; no interface has such a name.
const igmpOwner = "/igmp"

// NoLocalIGMP keeps the kernel from reporting memberships of 224.0.0.0/24, which
// switches forward to all ports in any case (RFC 4541 section 2.1.2).
func (s *InterfaceSettings) NoLocalIGMP(yes bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yes {
		return s.sys.set(igmpOwner, "ipv4/igmp_link_local_mcast_reports", "0")
	}
	return s.sys.restore(igmpOwner)
}

// Close puts all settings back.
func (s *InterfaceSettings) Close() error {
	return errors.Join(s.PromoteSecondaries(nil), s.NoLocalIGMP(false))
}
