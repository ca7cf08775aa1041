package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

var native = binary.NativeEndian

// address16 is union nf_inet_addr: an IPv4 address stands in the first four of
// sixteen octets.
func address16(a netip.Addr) []byte {
	b := make([]byte, 16)
	copy(b, a.Unmap().AsSlice())
	return b
}

func decodeAddress(b []byte, family uint16) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b[:4])), nil
	case family == unix.AF_INET6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b[:16])), nil
	}
	return netip.Addr{}, fmt.Errorf("decode address of family %d: %d octets", family, len(b))
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// encodeKey names a service, nested in attrService.
func encodeKey(ae *netlink.AttributeEncoder, k dataplane.Key) {
	family := uint16(unix.AF_INET)
	if isSix(k) {
		family = unix.AF_INET6
	}
	ae.Uint16(svcFamily, family)
	if k.FWMark != 0 {
		ae.Uint32(svcFWMark, k.FWMark)
		return
	}
	ae.Uint16(svcProtocol, uint16(k.Protocol))
	ae.Bytes(svcAddress, address16(k.Address))
	ae.Bytes(svcPort, port(k.Port))
}

// encodeService gives the attributes that make or change a service.
func encodeService(s service) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		encodeKey(ae, s.key)
		ae.String(svcSched, s.sched)
		if s.pe != "" {
			ae.String(svcPEName, s.pe)
		}
		// struct ip_vs_flags: the flags, and which of them are meant.
		ae.Bytes(svcFlags, native.AppendUint32(native.AppendUint32(nil, s.flags), ^uint32(0)))
		ae.Uint32(svcTimeout, s.timeout)
		ae.Bytes(svcNetmask, netmask(s))
		return nil
	}
}

// netmask is the client network of persistence; a single address without.
func netmask(s service) []byte {
	n := familyBits(s.key)
	if s.flags&flagPersistent != 0 && s.bits > 0 {
		n = min(int(s.bits), n)
	}
	if isSix(s.key) {
		return native.AppendUint32(nil, uint32(n))
	}
	return binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-n))
}

// decodeService reads the attributes inside attrService of a reply.
func decodeService(b []byte) (service, dataplane.Counters, error) {
	var s service
	var c dataplane.Counters
	var family, protocol uint16
	var addr, mask []byte
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return s, c, fmt.Errorf("decode service: %w", err)
	}
	for ad.Next() {
		switch ad.Type() {
		case svcFamily:
			family = ad.Uint16()
		case svcProtocol:
			protocol = ad.Uint16()
		case svcAddress:
			addr = ad.Bytes()
		case svcPort:
			s.key.Port = bigPort(ad)
		case svcFWMark:
			s.key.FWMark = ad.Uint32()
		case svcSched:
			s.sched = ad.String()
		case svcFlags:
			if f := ad.Bytes(); len(f) >= 4 {
				s.flags = native.Uint32(f) & flagsOurs
			}
		case svcTimeout:
			s.timeout = ad.Uint32()
		case svcNetmask:
			mask = ad.Bytes()
		case svcPEName:
			s.pe = ad.String()
		case svcStats64:
			ad.Nested(decodeStats(&c))
		}
	}
	if err := ad.Err(); err != nil {
		return s, c, fmt.Errorf("decode service: %w", err)
	}
	return s, c, s.finish(family, protocol, addr, mask)
}

// finish sets what depends on several attributes.
func (s *service) finish(family, protocol uint16, addr, mask []byte) error {
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return fmt.Errorf("decode service: family %d", family)
	}
	if s.key.FWMark != 0 {
		s.key = dataplane.Key{FWMark: s.key.FWMark, Family: 4}
		if family == unix.AF_INET6 {
			s.key.Family = 6
		}
	} else {
		a, err := decodeAddress(addr, family)
		if err != nil {
			return fmt.Errorf("decode service: %w", err)
		}
		s.key.Address, s.key.Protocol = a, dataplane.Protocol(protocol)
	}
	if s.flags&flagPersistent == 0 {
		s.timeout, s.pe = 0, ""
		return nil
	}
	if len(mask) != 4 {
		return errors.New("decode service: a netmask needs 4 octets")
	}
	if family == unix.AF_INET6 {
		s.bits = uint8(min(native.Uint32(mask), 128))
	} else {
		s.bits = uint8(bits.OnesCount32(binary.BigEndian.Uint32(mask)))
	}
	return nil
}

// bigPort reads a port in network order.
func bigPort(ad *netlink.AttributeDecoder) uint16 {
	b := ad.Bytes()
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// decodeStats reads 64-bit counters.
func decodeStats(c *dataplane.Counters) func(*netlink.AttributeDecoder) error {
	return func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			switch ad.Type() {
			case statsConnections:
				c.Connections = ad.Uint64()
			case statsPacketsIn:
				c.PacketsIn = ad.Uint64()
			case statsPacketsOut:
				c.PacketsOut = ad.Uint64()
			case statsBytesIn:
				c.BytesIn = ad.Uint64()
			case statsBytesOut:
				c.BytesOut = ad.Uint64()
			}
		}
		return ad.Err()
	}
}
