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
	AuthAH   uint8 = 2
)

// MaxInterval is the longest interval that version 3 can tell: 12 bits of
// centiseconds. MinInterval is the shortest.
const (
	MaxInterval = 4095 * centisecond
	MinInterval = centisecond
	centisecond = 10 * time.Millisecond
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

// Checksum says what the checksum of version 3 over IPv4 covers besides the
// message. Version 2 never has a pseudo header and IPv6 always has one.
type Checksum uint8

const (
	// WithPseudoHeader is RFC 5798's reading, which keepalived and FRR send.
	WithPseudoHeader Checksum = iota
	// MessageOnly is RFC 9568 section 5.2.8 (v3_checksum_as_v2).
	MessageOnly
)

// Marshal gives the octets of the advertisement with its checksum. The
// addresses src and dst go into the pseudo header, where there is one.
func (a *Advert) Marshal(src, dst netip.Addr, sum Checksum) []byte {
	b := make([]byte, headerLen, headerLen+16*len(a.Addresses)+authLen+hmacLen)
	b[0] = a.Version<<4 | typeAdvert
	b[1], b[2], b[3] = a.VRID, a.Priority, uint8(len(a.Addresses))
	if a.Version == 2 {
		b[4], b[5] = a.AuthType, uint8(a.Interval/time.Second)
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(a.Interval/centisecond)&0x0fff)
	}
	for _, addr := range a.Addresses {
		b = append(b, addr.AsSlice()...)
	}
	if a.Version == 2 {
		b = append(b, a.AuthData[:]...)
	}
	sealChecksum(b, a.Version, src, dst, sum)
	return b
}

// sealChecksum computes the checksum of a whole message in place.
func sealChecksum(b []byte, version uint8, src, dst netip.Addr, kind Checksum) {
	b[6], b[7] = 0, 0
	var sum uint32
	if version == 3 && (src.Is6() || kind == WithPseudoHeader) {
		sum = pseudoSum(src, dst, len(b))
	}
	binary.BigEndian.PutUint16(b[6:], finish(addSum(sum, b)))
}

// checksumHolds accepts, for version 3 over IPv4, the sum over the message
// alone and the one with a pseudo header: peers of both kinds exist, and a
// checksum keeps nobody out.
func checksumHolds(version uint8, b []byte, src, dst netip.Addr) bool {
	if (version == 2 || src.Is4()) && finish(addSum(0, b)) == 0 {
		return true
	}
	return version == 3 && finish(addSum(pseudoSum(src, dst, len(b)), b)) == 0
}

// pseudoSum adds up the pseudo header of a version 3 advertisement: RFC 8200
// section 8.1 for IPv6, and its IPv4 sibling.
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
