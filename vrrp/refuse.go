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
	RefusedFragment    // a piece of a packet
	RefusedDestination // unicast where multicast is configured, or the reverse
	RefusedSource      // our own address, or one that nobody can have
	RefusedPeer        // not a configured unicast peer
	RefusedLength
	RefusedTrailing // octets after the message
	RefusedCARP     // OpenBSD's protocol of the same number
	RefusedVersion
	RefusedType
	RefusedVRID
	RefusedCount
	RefusedChecksum
	RefusedAuthType
	RefusedAuth
	RefusedReplay // a sequence number heard before
	RefusedStale  // a time stamp outside the window
	RefusedInterval
	RefusedAddresses
	refusals // how many there are
)

var refusalNames = [refusals]string{"accepted", "ttl", "fragment", "destination", "source", "peer", "length", "trailing", "carp",
	"version", "type", "vrid", "count", "checksum", "auth_type", "auth", "replay", "stale", "interval", "addresses"}

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

// carpLen is the length of a CARP packet. Its first octet is that of a version
// 2 advertisement and the fourth, a length in words, is always 7.
const carpLen = 36

// ParseAdvert reads the octets after the IP header, without its padding. What
// follows the message is given back: a trailer, or octets that are too many.
// The checksum is not looked at.
func ParseAdvert(b []byte, v6 bool) (a Advert, rest []byte, why Refusal) {
	if len(b) < headerLen {
		return Advert{}, nil, RefusedLength
	}
	a = Advert{Version: b[0] >> 4, VRID: b[1], Priority: b[2]}
	switch {
	case len(b) == carpLen && b[0] == 2<<4|typeAdvert && b[3] == 7:
		return a, nil, RefusedCARP
	case a.Version != 2 && a.Version != 3, a.Version == 2 && v6:
		return a, nil, RefusedVersion
	case b[0]&0x0f != typeAdvert:
		return a, nil, RefusedType
	case b[3] == 0:
		return a, nil, RefusedCount
	}
	length := messageLen(b, v6)
	if len(b) < length {
		return a, nil, RefusedLength
	}
	size := addressLen(v6)
	for i := range int(b[3]) {
		addr, _ := netip.AddrFromSlice(b[headerLen+i*size : headerLen+(i+1)*size])
		a.Addresses = append(a.Addresses, addr)
	}
	if a.Version == 2 {
		a.AuthType, a.Interval = b[4], time.Duration(b[5])*time.Second
		copy(a.AuthData[:], b[length-authLen:])
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * centisecond
	}
	if a.Interval == 0 {
		return a, nil, RefusedInterval // believing it means taking over at once
	}
	return a, b[length:], Accepted
}

func addressLen(v6 bool) int {
	if v6 {
		return 16
	}
	return 4
}

// messageLen is the length that the header of a message promises.
func messageLen(b []byte, v6 bool) int {
	n := headerLen + int(b[3])*addressLen(v6)
	if b[0]>>4 == 2 {
		n += authLen
	}
	return n
}

// accepts compares an advertisement that is sound in itself with what this
// virtual router expects. sameMaster says that it comes from the master that
// was heard before.
func (c *Config) accepts(a *Advert, sameMaster bool) Refusal {
	switch {
	case a.VRID != c.VRID:
		return RefusedVRID
	case a.Version != c.Version:
		return RefusedVersion
	case a.Version == 2 && a.AuthType != c.AuthType:
		return RefusedAuthType
	case a.Version == 2 && a.AuthType == AuthPass && !samePassword(a.AuthData, c.AuthData):
		return RefusedAuth
	case a.Version == 2 && a.Interval != c.AdvertInterval:
		return RefusedInterval
	case c.SkipCheckAdvAddr && sameMaster:
		return Accepted
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
