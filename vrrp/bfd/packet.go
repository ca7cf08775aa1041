package bfd

import (
	"encoding/binary"
	"time"
)

// State is the state of a session as a packet tells it (RFC 5880 section 4.1).
type State uint8

// States.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String gives the word for logs and status.
func (s State) String() string {
	return [...]string{"AdminDown", "Down", "Init", "Up"}[s&3]
}

// Diagnostic is why a session left Up (RFC 5880 section 4.1).
type Diagnostic uint8

// Diagnostics that this side gives.
const (
	NoDiagnostic            Diagnostic = 0
	DetectionTimeExpired    Diagnostic = 1
	NeighborSignaledDown    Diagnostic = 3
	AdministrativelyDown    Diagnostic = 7
	highestKnownDiagnostics            = 8
)

// String describes a diagnostic, also one that only others give.
func (d Diagnostic) String() string {
	if d > highestKnownDiagnostics {
		return "unknown diagnostic"
	}
	return [...]string{"no diagnostic", "control detection time expired", "echo function failed", "neighbor signaled session down",
		"forwarding plane reset", "path down", "concatenated path down", "administratively down", "reverse concatenated path down"}[d]
}

// packetLen is the length of a control packet without authentication, in octets.
const packetLen = 24

// Packet is one control packet (RFC 5880 section 4.1). Times have a resolution
// of one microsecond.
type Packet struct {
	Diagnostic Diagnostic
	State      State
	Poll       bool
	Final      bool
	Demand     bool
	Multiplier uint8
	// My is the discriminator of the sender, Your that of the receiver or 0.
	My, Your uint32
	// MinTX is the interval the sender wishes to send with, MinRX the shortest
	// at which it can receive; 0: it wants no packets.
	MinTX, MinRX time.Duration
}

// Flags in the second octet.
const (
	flagPoll       = 0x20
	flagFinal      = 0x10
	flagAuth       = 0x04
	flagDemand     = 0x02
	flagMultipoint = 0x01
)

// Append adds the octets of the packet to b.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State) << 6
	for _, f := range []struct {
		on  bool
		bit byte
	}{{p.Poll, flagPoll}, {p.Final, flagFinal}, {p.Demand, flagDemand}} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, 1<<5|byte(p.Diagnostic)&0x1f, flags, p.Multiplier, packetLen)
	for _, v := range []uint32{p.My, p.Your, micros(p.MinTX), micros(p.MinRX), 0} { // no echo function
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func micros(d time.Duration) uint32 { return uint32(min(d/time.Microsecond, 1<<32-1)) }

// Refusal is why a received packet has no effect.
type Refusal uint8

// Reasons for a refusal, in the order of the checks of RFC 5880 section 6.8.6.
const (
	Accepted Refusal = iota
	RefusedTTL
	RefusedShort
	RefusedVersion
	RefusedLength
	RefusedMultiplier
	RefusedMultipoint
	RefusedDiscriminator // mine is 0, or yours is where the state does not allow it
	RefusedUnknown       // no session
	RefusedAuthenticated // no session of ours has authentication
	refusals
)

// String gives the word for metrics and logs.
func (r Refusal) String() string {
	return [...]string{"accepted", "ttl", "short", "version", "length", "multiplier", "multipoint", "discriminator", "unknown_session",
		"authenticated"}[r]
}

// Parse reads a control packet and makes the checks that need no session.
func Parse(b []byte) (p Packet, why Refusal) {
	switch {
	case len(b) < packetLen:
		return p, RefusedShort
	case b[0]>>5 != 1:
		return p, RefusedVersion
	case int(b[3]) < packetLen, b[1]&flagAuth != 0 && b[3] < packetLen+2, int(b[3]) > len(b):
		return p, RefusedLength
	case b[2] == 0:
		return p, RefusedMultiplier
	case b[1]&flagMultipoint != 0:
		return p, RefusedMultipoint
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4+4*i:]) }
	interval := func(i int) time.Duration { return time.Duration(word(i)) * time.Microsecond }
	p = Packet{Diagnostic: Diagnostic(b[0] & 0x1f), State: State(b[1] >> 6), Poll: b[1]&flagPoll != 0, Final: b[1]&flagFinal != 0,
		Demand: b[1]&flagDemand != 0, Multiplier: b[2], My: word(0), Your: word(1), MinTX: interval(2), MinRX: interval(3)}
	switch {
	case p.My == 0, p.Your == 0 && p.State != Down && p.State != AdminDown:
		return p, RefusedDiscriminator
	case b[1]&flagAuth != 0:
		return p, RefusedAuthenticated
	}
	return p, Accepted
}
