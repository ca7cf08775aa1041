package vrrp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// The trailer of keepalived 2.4's auth_hmac: scheme, key id, two zeros, eight
// octets of sequence, and an HMAC-SHA256 cut to 16 octets.
const (
	hmacLen       = 28
	hmacDigestLen = 16
	hmacScheme    = 1
	hmacSequence  = 4  // offset
	hmacDigest    = 12 // offset
	hmacSources   = 4  // senders remembered in multicast
)

// HMACMode says what is sent and what is asked for.
type HMACMode uint8

// Modes of auth_hmac.
const (
	HMACEnforce     HMACMode = iota // signs; refuses what is not signed
	HMACPermissive                  // signs; accepts both
	HMACReceiveOnly                 // does not sign; checks a trailer that is there
)

// HMAC is an auth_hmac block. It is not changed after it is given to a Config.
type HMAC struct {
	Keys      map[uint8][]byte // by key id, 32 to 64 octets each
	ActiveKey uint8            // the one that signs
	Window    time.Duration    // how far a sender's clock may be from ours
	Monotonic bool             // sequences only have to grow; clocks are not compared
	Mode      HMACMode
}

// hmacState is what a router remembers of sequences: its own and those heard.
type hmacState struct {
	sent  uint64
	heard []hmacMark // the least recently heard first
}

type hmacMark struct {
	from netip.Addr
	seq  uint64
}

// clockSequence is a time as sequence: 32 bits of seconds since the Unix epoch,
// 16 bits of binary fraction, 16 bits of counter.
func clockSequence(now time.Time) uint64 {
	fraction := uint64(now.Nanosecond()) << 16 / uint64(time.Second)
	return uint64(uint32(now.Unix()))<<32 | fraction<<16
}

// after compares sequences by serial number arithmetic (RFC 1982 section 3.2).
func after(a, b uint64) bool { return int64(a-b) > 0 }

// windowed tells whether a sequence is within the window around a time.
func (h *HMAC) windowed(seq uint64, now time.Time) bool {
	d := int64(int32(uint32(seq>>32) - uint32(now.Unix())))
	return max(d, -d) <= int64(h.Window/time.Second)
}

// next gives the sequence of one advertisement.
func (s *hmacState) next(h *HMAC, now time.Time) uint64 {
	clock := clockSequence(now)
	last := s.sent
	switch {
	case last == 0, after(clock, last):
		s.sent = clock
	case !h.Monotonic && !h.windowed(last, now): // the clock was set back
		s.sent = clock
	default:
		s.sent = last + 1
	}
	return s.sent
}

// digest covers a pseudo header, the message with a zero checksum, and the
// trailer up to the digest.
func (h *HMAC) digest(key, message, trailer []byte, src netip.Addr) []byte {
	var pseudo [20]byte
	pseudo[0] = 4
	if src.Is6() {
		pseudo[0] = 6
	}
	pseudo[1], pseudo[2] = message[0]>>4, message[1]
	copy(pseudo[4:], src.AsSlice())
	mac := hmac.New(sha256.New, key)
	mac.Write(pseudo[:])
	mac.Write(message[:6])
	mac.Write([]byte{0, 0})
	mac.Write(message[headerLen:])
	mac.Write(trailer[:hmacDigest])
	mac.Write(make([]byte, hmacDigestLen))
	return mac.Sum(nil)[:hmacDigestLen]
}

// sign appends the trailer to a message.
func (h *HMAC) sign(message []byte, src netip.Addr, seq uint64) []byte {
	t := make([]byte, hmacLen)
	t[0], t[1] = hmacScheme, h.ActiveKey
	binary.BigEndian.PutUint64(t[hmacSequence:], seq)
	copy(t[hmacDigest:], h.digest(h.Keys[h.ActiveKey], message, t, src))
	return append(message, t...)
}

// verify checks the octets after a message. What costs a digest comes last, and
// nothing is remembered of a packet whose digest does not hold.
func (h *HMAC) verify(s *hmacState, message, trailer []byte, src netip.Addr, now time.Time) Refusal {
	switch {
	case len(trailer) == 0 && h.Mode != HMACEnforce:
		return Accepted
	case len(trailer) == 0:
		return RefusedAuthType
	case len(trailer) != hmacLen:
		return RefusedTrailing
	case trailer[0] != hmacScheme || trailer[2] != 0 || trailer[3] != 0:
		return RefusedAuthType
	}
	seq := binary.BigEndian.Uint64(trailer[hmacSequence:])
	if !h.Monotonic && !h.windowed(seq, now) {
		return RefusedStale
	}
	key, ok := h.Keys[trailer[1]]
	if !ok || !hmac.Equal(trailer[hmacDigest:], h.digest(key, message, trailer, src)) {
		return RefusedAuth
	}
	return s.mark(h, src, seq, now)
}

// mark remembers the sequence of a sender, unless it is not a new one.
func (s *hmacState) mark(h *HMAC, from netip.Addr, seq uint64, now time.Time) Refusal {
	at := -1
	for i, m := range s.heard {
		if m.from == from {
			at = i
		}
	}
	if at >= 0 {
		old := s.heard[at].seq
		if !after(seq, old) && (h.Monotonic || h.windowed(old, now)) {
			return RefusedReplay
		}
		s.heard = append(s.heard[:at], s.heard[at+1:]...)
	} else if len(s.heard) == hmacSources {
		s.heard = s.heard[1:]
	}
	s.heard = append(s.heard, hmacMark{from, seq})
	return Accepted
}
