package vrrp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"
)

// Password makes the authentication data of version 2 from a password: the
// first eight octets count, shorter ones are filled up with zeros.
func Password(s string) (data [authLen]byte) {
	copy(data[:], s)
	return data
}

// samePassword takes the same time wherever the difference is.
func samePassword(a, b [authLen]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// The authentication header of IPsec as keepalived uses it (RFC 4302 section 2,
// HMAC-MD5-96 of RFC 2403): it stands between the IP header and the message.
const (
	ahProtocol  = 51
	ahLen       = 24
	ahDigestLen = 12
	ahLenWords  = ahLen/4 - 2
)

// ahCounter is the sequence number of the authentication header: one for
// sending and receiving, so that whoever becomes Master goes on from the number
// of the last one.
type ahCounter struct{ last uint32 }

// next gives the number to send. It is never behind the clock: a router that
// starts anew would otherwise be taken for a replay of its former life.
func (c *ahCounter) next(now time.Time) uint32 {
	c.last = max(c.last+1, uint32(now.Unix()))
	return c.last
}

// accept takes a number that is larger than all before.
func (c *ahCounter) accept(seq uint32) bool {
	if seq <= c.last {
		return false
	}
	c.last = seq
	return true
}

// appendAH puts the authentication header and the message behind the IPv4
// header, whose total length is already right. The SPI is the source address.
func appendAH(ip, message []byte, key [authLen]byte, seq uint32, unicast bool) []byte {
	b := append([]byte(nil), ip...)
	b = append(b, protocolNumber, ahLenWords, 0, 0)
	b = append(b, ip[12:16]...)
	b = binary.BigEndian.AppendUint32(b, seq)
	digest := len(b)
	b = append(b, make([]byte, ahDigestLen)...)
	b = append(b, message...)
	copy(b[digest:], ahDigest(b[:len(ip)], b[len(ip):], key, unicast))
	return b
}

// openAH checks the authentication header behind an IPv4 header and gives the
// message. The counter moves only for a packet whose digest holds.
func openAH(ip, b []byte, key [authLen]byte, unicast bool, c *ahCounter) (message []byte, why Refusal) {
	switch {
	case len(b) < ahLen:
		return nil, RefusedLength
	case b[0] != protocolNumber || b[1] != ahLenWords:
		return nil, RefusedAuthType
	case subtle.ConstantTimeCompare(b[4:8], ip[12:16]) == 0:
		return nil, RefusedAuth
	}
	if !hmac.Equal(b[ahLen-ahDigestLen:ahLen], ahDigest(ip, b, key, unicast)) {
		return nil, RefusedAuth
	}
	if !c.accept(binary.BigEndian.Uint32(b[8:])) {
		return nil, RefusedReplay
	}
	return b[ahLen:], Accepted
}

// ahDigest covers the IP header without what changes on the way, the
// authentication header without its digest, and the message. The TTL counts
// only in multicast, where it has to arrive unchanged.
func ahDigest(ip, b []byte, key [authLen]byte, unicast bool) []byte {
	h := append([]byte(nil), ip...)
	h[1], h[6], h[7], h[10], h[11] = 0, 0, 0, 0, 0 // TOS, flags and offset, checksum
	if unicast {
		h[8] = 0
	}
	mac := hmac.New(md5.New, key[:])
	mac.Write(h)
	mac.Write(b[:ahLen-ahDigestLen])
	mac.Write(make([]byte, ahDigestLen))
	mac.Write(b[ahLen:])
	return mac.Sum(nil)[:ahDigestLen]
}

// ipv4Header builds the header of an advertisement (RFC 791 section 3.1). The
// kernel fills in the checksum.
func ipv4Header(src, dst netip.Addr, ttl, protocol uint8, id uint16, length int) []byte {
	b := make([]byte, ipv4HeaderLen)
	b[0], b[1] = 4<<4|ipv4HeaderLen/4, advertTOS
	binary.BigEndian.PutUint16(b[2:], uint16(ipv4HeaderLen+length))
	binary.BigEndian.PutUint16(b[4:], id)
	b[8], b[9] = ttl, protocol
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	return b
}

const ipv4HeaderLen = 20
