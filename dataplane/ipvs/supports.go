package ipvs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// schedulers are those of the kernel's tree (net/netfilter/ipvs/ip_vs_*.c). A
// kernel may be built without some: that shows when one is first used.
var schedulers = []dataplane.Scheduler{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos"}

// Supports implements dataplane.Engine.
func (e *Engine) Supports(s dataplane.VirtualService) error { return supports(s) }

// supports says what the kernel would refuse (net/netfilter/ipvs/ip_vs_ctl.c),
// or take and never serve.
func supports(s dataplane.VirtualService) error {
	switch {
	case !slices.Contains(schedulers, s.Scheduler):
		return fmt.Errorf("IPVS has no scheduler %q", s.Scheduler)
	case s.Persistence < 0 || s.Persistence > math.MaxInt32*time.Second:
		return fmt.Errorf("persistence of %v is out of range", s.Persistence)
	case s.FWMark != 0 && s.Family != 0 && s.Family != 4 && s.Family != 6:
		return fmt.Errorf("family %d is neither 4 nor 6", s.Family)
	}
	if s.FWMark == 0 {
		switch {
		case !s.Address.IsValid():
			return errors.New("the service has neither an address nor a fwmark")
		case s.Protocol != dataplane.TCP && s.Protocol != dataplane.UDP && s.Protocol != dataplane.SCTP:
			return fmt.Errorf("IPVS does not balance protocol %s", s.Protocol)
		case s.Port == 0 && s.Persistence == 0:
			return errors.New("a service on all ports needs persistence in IPVS")
		}
	}
	for _, r := range s.RealServers {
		if err := supportsReal(s.Key, r); err != nil {
			return fmt.Errorf("real server %s: %w", r.Key(), err)
		}
	}
	return nil
}

func supportsReal(k dataplane.Key, r dataplane.RealServer) error {
	switch {
	case !r.Address.IsValid():
		return errors.New("it has no address")
	case r.Address.Unmap().Is6() != isSix(k) && r.Method != dataplane.TUN:
		return fmt.Errorf("with method %s it must have the address family of the service", r.Method)
	case r.Weight > math.MaxInt32:
		return fmt.Errorf("weight %d is out of range", r.Weight)
	case r.LowerThreshold > r.UpperThreshold:
		return fmt.Errorf("lower threshold %d is above the upper %d", r.LowerThreshold, r.UpperThreshold)
	case r.Method == dataplane.TUN && r.Tunnel.Type == dataplane.GUE && r.Tunnel.Port == 0:
		return errors.New("a GUE tunnel needs a port")
	case r.Method > dataplane.Local:
		return fmt.Errorf("IPVS has no forwarding method %s", r.Method)
	}
	return nil
}
