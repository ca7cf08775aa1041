package vrrp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// Refusal is the reason why a received packet has no effect. Each is counted.
type Refusal uint8

// Reasons, in the order of the checks of RFC 9568 section 7.1.
const (
	Accepted Refusal = iota
	RefusedTTL
	RefusedDestination
	RefusedSource
	RefusedLength
	RefusedVersion
	RefusedType
	RefusedVRID
	RefusedCount
	RefusedChecksum
	RefusedAuthType
	RefusedAuth
	RefusedInterval
	RefusedAddresses
	refusals // how many there are
)

var refusalNames = [refusals]string{"accepted", "ttl", "destination", "source", "length", "version", "type", "vrid", "count",
	"checksum", "auth_type", "auth", "interval", "addresses"}

// String gives the word used in metrics and logs.
func (r Refusal) String() string {
	if r < refusals {
		return refusalNames[r]
	}
	return "unknown"
}

// Refusals lists every reason.
func Refusals() []Refusal {
	var all []Refusal
	for r := RefusedTTL; r < refusals; r++ {
		all = append(all, r)
	}
	return all
}

// ParseAdvert reads the octets after the IP header. Octets that follow the
// message, such as Ethernet padding, are ignored.
func ParseAdvert(b []byte, src, dst netip.Addr) (Advert, Refusal) {
	if len(b) < headerLen {
		return Advert{}, RefusedLength
	}
	a := Advert{Version: b[0] >> 4, VRID: b[1], Priority: b[2]}
	switch {
	case a.Version != 2 && a.Version != 3:
		return a, RefusedVersion
	case b[0]&0x0f != typeAdvert:
		return a, RefusedType
	case b[3] == 0:
		return a, RefusedCount
	}
	size := 4
	if src.Is6() {
		size = 16
	}
	length := headerLen + int(b[3])*size
	if a.Version == 2 {
		length += authLen
	}
	if len(b) < length {
		return a, RefusedLength
	}
	b = b[:length]
	if !checksumHolds(a.Version, b, src, dst) {
		return a, RefusedChecksum
	}
	if a.Version == 2 {
		a.AuthType, a.Interval = b[4], time.Duration(b[5])*time.Second
		copy(a.AuthData[:], b[length-authLen:])
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * 10 * time.Millisecond
	}
	if a.Interval == 0 {
		return a, RefusedInterval
	}
	for i := range int(b[3]) {
		addr, _ := netip.AddrFromSlice(b[headerLen+i*size : headerLen+(i+1)*size])
		a.Addresses = append(a.Addresses, addr)
	}
	return a, Accepted
}

// checksumHolds accepts, for version 3 over IPv4, the sum over the message
// alone (RFC 9568 section 5.2.8) and the one with a pseudo header that
// keepalived and FRR send.
func checksumHolds(version uint8, b []byte, src, dst netip.Addr) bool {
	if (version == 2 || src.Is4()) && finish(addSum(0, b)) == 0 {
		return true
	}
	return version == 3 && finish(addSum(pseudoSum(src, dst, len(b)), b)) == 0
}

// accepts compares an advertisement that is sound in itself with what this
// virtual router expects.
func (c *Config) accepts(a *Advert) Refusal {
	switch {
	case a.VRID != c.VRID:
		return RefusedVRID
	case a.Version != c.Version:
		return RefusedVersion
	case a.Version == 2 && a.AuthType != c.AuthType:
		return RefusedAuthType
	case a.Version == 2 && a.AuthType == AuthPass && a.AuthData != c.AuthData:
		return RefusedAuth
	case a.Version == 2 && a.Interval != c.AdvertInterval:
		return RefusedInterval
	case len(a.Addresses) != len(c.Addresses):
		return RefusedAddresses
	}
	for _, own := range c.Addresses {
		if !slices.Contains(a.Addresses, own) {
			return RefusedAddresses
		}
	}
	return Accepted
}
