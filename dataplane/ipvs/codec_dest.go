package ipvs

import (
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// encodeDest gives the attributes inside attrDest. Only the identity is needed
// to delete one.
func encodeDest(d dest, identityOnly bool) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		ae.Bytes(destAddress, address16(d.addr))
		ae.Bytes(destPort, port(d.port))
		family := uint16(unix.AF_INET)
		if d.addr.Is6() {
			family = unix.AF_INET6
		}
		ae.Uint16(destFamily, family)
		if identityOnly {
			return nil
		}
		ae.Uint32(destMethod, encodeMethod(d.method))
		ae.Uint32(destWeight, d.weight)
		ae.Uint32(destUpper, d.upper)
		ae.Uint32(destLower, d.lower)
		if d.method == dataplane.TUN {
			ae.Uint8(destTunnelType, uint8(d.tunnel.Type))
			ae.Bytes(destTunnelPort, port(d.tunnel.Port))
			ae.Uint16(destTunnelFlags, encodeChecksum(d.tunnel.Checksum))
		}
		return nil
	}
}

func encodeMethod(m dataplane.Method) uint32 {
	switch m {
	case dataplane.DR:
		return fwdRoute
	case dataplane.TUN:
		return fwdTunnel
	case dataplane.Local:
		return fwdLocal
	}
	return fwdNAT
}

func decodeMethod(flags uint32) (dataplane.Method, error) {
	switch flags & fwdMask {
	case fwdNAT:
		return dataplane.NAT, nil
	case fwdLocal:
		return dataplane.Local, nil
	case fwdTunnel:
		return dataplane.TUN, nil
	case fwdRoute:
		return dataplane.DR, nil
	}
	return 0, fmt.Errorf("decode forwarding method %d", flags&fwdMask)
}

func encodeChecksum(c dataplane.TunnelChecksum) uint16 {
	switch c {
	case dataplane.Checksum:
		return tunnelChecksum
	case dataplane.RemoteChecksum:
		return tunnelRemoteChecksum
	}
	return 0
}

func decodeChecksum(flags uint16) dataplane.TunnelChecksum {
	switch {
	case flags&tunnelRemoteChecksum != 0:
		return dataplane.RemoteChecksum
	case flags&tunnelChecksum != 0:
		return dataplane.Checksum
	}
	return dataplane.NoChecksum
}

// decodeDest reads the attributes inside attrDest of a reply. serviceFamily is
// the family where the kernel does not tell.
func decodeDest(b []byte, serviceFamily uint16) (destStatsRow, error) {
	var d destStatsRow
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return d, fmt.Errorf("decode real server: %w", err)
	}
	family, addr, method := serviceFamily, []byte(nil), uint32(0)
	for ad.Next() {
		switch ad.Type() {
		case destAddress:
			addr = ad.Bytes()
		case destPort:
			d.port = bigPort(ad)
		case destFamily:
			family = ad.Uint16()
		case destMethod:
			method = ad.Uint32()
		default:
			d.decodeRest(ad)
		}
	}
	if err := ad.Err(); err != nil {
		return d, fmt.Errorf("decode real server: %w", err)
	}
	if d.addr, err = decodeAddress(addr, family); err != nil {
		return d, fmt.Errorf("decode real server: %w", err)
	}
	if d.method, err = decodeMethod(method); err != nil {
		return d, err
	}
	if d.method != dataplane.TUN {
		d.tunnel = dataplane.Tunnel{}
	}
	return d, nil
}

// decodeRest reads the attributes that stand for themselves.
func (d *destStatsRow) decodeRest(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case destWeight:
		d.weight = ad.Uint32()
	case destUpper:
		d.upper = ad.Uint32()
	case destLower:
		d.lower = ad.Uint32()
	case destActive:
		d.Active = uint64(ad.Uint32())
	case destInactive:
		d.Inactive = uint64(ad.Uint32())
	case destStats64:
		ad.Nested(decodeStats(&d.Counters))
	case destTunnelType:
		d.tunnel.Type = dataplane.TunnelType(ad.Uint8())
	case destTunnelPort:
		d.tunnel.Port = bigPort(ad)
	case destTunnelFlags:
		d.tunnel.Checksum = decodeChecksum(ad.Uint16())
	}
}

// encodeDaemon gives the attributes inside attrDaemon.
func encodeDaemon(s SyncDaemon) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		state := stateBackup
		if s.Master {
			state = stateMaster
		}
		ae.Uint32(daemonState, state)
		ae.String(daemonInterface, s.Interface)
		ae.Uint32(daemonID, uint32(s.ID))
		if s.MaxLen != 0 {
			ae.Uint16(daemonMaxLen, s.MaxLen)
		}
		if s.Port != 0 {
			ae.Uint16(daemonPort, s.Port)
		}
		if s.TTL != 0 {
			ae.Uint8(daemonTTL, s.TTL)
		}
		switch {
		case s.Group.Is4():
			ae.Bytes(daemonGroup, s.Group.AsSlice())
		case s.Group.Is6():
			ae.Bytes(daemonGroup6, s.Group.AsSlice())
		}
		return nil
	}
}

// decodeDaemon reads the attributes inside attrDaemon of a reply.
func decodeDaemon(b []byte) (SyncDaemon, error) {
	var s SyncDaemon
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return s, fmt.Errorf("decode sync daemon: %w", err)
	}
	for ad.Next() {
		switch ad.Type() {
		case daemonState:
			s.Master = ad.Uint32() == stateMaster
		case daemonInterface:
			s.Interface = ad.String()
		case daemonID:
			s.ID = uint8(ad.Uint32())
		case daemonMaxLen:
			s.MaxLen = ad.Uint16()
		case daemonPort:
			s.Port = ad.Uint16()
		case daemonTTL:
			s.TTL = ad.Uint8()
		case daemonGroup, daemonGroup6:
			if a, ok := netip.AddrFromSlice(ad.Bytes()); ok {
				s.Group = a
			}
		}
	}
	if err := ad.Err(); err != nil {
		return s, fmt.Errorf("decode sync daemon: %w", err)
	}
	return s, nil
}
