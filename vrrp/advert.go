package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Octets of the wire format (RFC 3768 section 5.1, RFC 9568 section 5.1).
const (
	protocolNumber = 112 // IANA, VRRP
	headerLen      = 8
	authLen        = 8 // authentication data of version 2
	typeAdvert     = 1
	advertTTL      = 255 // RFC 9568 section 5.1.1.3
	advertTOS      = 0xc0
)

// Authentication types of version 2 (RFC 2338 section 5.3.6).
const (
	AuthNone uint8 = 0
	AuthPass uint8 = 1
)

// Advert is one advertisement.
type Advert struct {
	Version   uint8 // 2 or 3
	VRID      uint8
	Priority  uint8
	Interval  time.Duration // version 2: whole seconds; version 3: centiseconds
	Addresses []netip.Addr
	AuthType  uint8         // version 2
	AuthData  [authLen]byte // version 2
}

// Marshal gives the octets of the advertisement with its checksum. The
// addresses src and dst go into the pseudo header of version 3; in version 2
// they do not matter.
func (a *Advert) Marshal(src, dst netip.Addr) []byte {
	b := make([]byte, headerLen, headerLen+16*len(a.Addresses)+authLen)
	b[0] = a.Version<<4 | typeAdvert
	b[1], b[2], b[3] = a.VRID, a.Priority, uint8(len(a.Addresses))
	if a.Version == 2 {
		b[4], b[5] = a.AuthType, uint8(a.Interval/time.Second)
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(a.Interval/(10*time.Millisecond))&0x0fff)
	}
	for _, addr := range a.Addresses {
		b = append(b, addr.AsSlice()...)
	}
	var sum uint32
	if a.Version == 2 {
		b = append(b, a.AuthData[:]...)
	} else {
		sum = pseudoSum(src, dst, len(b))
	}
	binary.BigEndian.PutUint16(b[6:], finish(addSum(sum, b)))
	return b
}

// pseudoSum adds up the pseudo header of a version 3 advertisement: RFC 8200
// section 8.1 for IPv6, and its IPv4 sibling, which keepalived and FRR include.
func pseudoSum(src, dst netip.Addr, length int) uint32 {
	sum := addSum(addSum(0, src.AsSlice()), dst.AsSlice())
	return sum + uint32(length) + protocolNumber
}

func addSum(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// finish folds a sum and complements it (RFC 1071).
func finish(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
