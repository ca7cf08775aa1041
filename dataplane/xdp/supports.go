package xdp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/xvip-lb/xvip/dataplane"
)

// Supports implements dataplane.Engine.
func (e *Engine) Supports(s dataplane.VirtualService) error {
	d, known := disciplines[s.Scheduler]
	switch {
	case s.FWMark != 0:
		return errors.New("services on a fwmark need IPVS")
	case s.Protocol != dataplane.TCP && s.Protocol != dataplane.UDP && s.Protocol != dataplane.SCTP:
		return fmt.Errorf("protocol %s is not carried", s.Protocol)
	case !known:
		return fmt.Errorf("scheduler %s needs IPVS", s.Scheduler)
	case d.compares() && len(s.RealServers) > maxCompared:
		return fmt.Errorf("scheduler %s compares at most %d real servers, the service has %d", s.Scheduler, maxCompared, len(s.RealServers))
	case s.PersistenceSIP:
		return errors.New("persistence engine sip needs IPVS")
	case s.OnePacket && s.Protocol != dataplane.UDP:
		return fmt.Errorf("one-packet scheduling is for UDP, the service is %s", s.Protocol)
	}
	for _, r := range s.RealServers {
		if err := supportsReal(s, r); err != nil {
			return fmt.Errorf("real server %s: %w", r.Key(), err)
		}
	}
	return nil
}

func supportsReal(s dataplane.VirtualService, r dataplane.RealServer) error {
	if r.UpperThreshold != 0 || r.LowerThreshold != 0 {
		return errors.New("connection thresholds need IPVS")
	}
	samePort := r.Port == s.Port || r.Port == 0
	if isLocal(r.Address) {
		if !samePort {
			return errors.New("it is this host and has another port than the service")
		}
		return nil
	}
	switch r.Method {
	case dataplane.DR:
		return supportsDR(s, r, samePort)
	case dataplane.TUN:
		return supportsTUN(s, r, samePort)
	case dataplane.NAT:
		return supportsNAT(s, r)
	}
	return fmt.Errorf("forwarding method %s needs an address of this host", r.Method)
}

func supportsDR(s dataplane.VirtualService, r dataplane.RealServer, samePort bool) error {
	switch {
	case s.Address.Is4() != r.Address.Is4():
		return errors.New("direct routing cannot change the address family")
	case !samePort:
		return errors.New("direct routing cannot change the port")
	}
	return nil
}

func supportsTUN(s dataplane.VirtualService, r dataplane.RealServer, samePort bool) error {
	switch {
	case !samePort:
		return errors.New("a tunnel cannot change the port")
	case r.Tunnel.Checksum != dataplane.NoChecksum:
		return errors.New("checksums of the tunnel need IPVS")
	case r.Tunnel.Type == dataplane.GUE && r.Tunnel.Port == 0:
		return errors.New("GUE needs a port")
	}
	return nil
}

func supportsNAT(s dataplane.VirtualService, r dataplane.RealServer) error {
	switch {
	case s.Protocol == dataplane.SCTP:
		return errors.New("NAT of SCTP needs IPVS")
	case s.Address.Is4() != r.Address.Is4():
		return errors.New("NAT cannot change the address family")
	case s.OnePacket:
		return errors.New("one-packet scheduling with NAT needs IPVS")
	}
	return nil
}

// isLocal says that an address is this host's.
func isLocal(a netip.Addr) bool { return a.IsLoopback() || hostHas(a) }
