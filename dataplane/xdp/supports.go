package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

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
	local := e.host.addresses()
	for _, r := range s.RealServers {
		if err := supportsReal(s, r, r.Address.IsLoopback() || local[r.Address]); err != nil {
			return fmt.Errorf("real server %s: %w", r.Key(), err)
		}
	}
	return nil
}

func supportsReal(s dataplane.VirtualService, r dataplane.RealServer, local bool) error {
	if r.UpperThreshold != 0 || r.LowerThreshold != 0 {
		return errors.New("connection thresholds need IPVS")
	}
	samePort := r.Port == s.Port || r.Port == 0
	if local {
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

// hostAddresses are those of this host, read anew when they are a second old: a
// large configuration asks for them a hundred thousand times.
type hostAddresses struct {
	mu    sync.Mutex
	read  time.Time
	known map[netip.Addr]bool
}

func (h *hostAddresses) addresses() map[netip.Addr]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.read) < time.Second {
		return h.known
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return h.known // the kernel may answer the next time
	}
	h.read, h.known = time.Now(), map[netip.Addr]bool{}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				h.known[a.Unmap()] = true
			}
		}
	}
	return h.known
}
