package vrrp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// Packet is one received IP packet.
type Packet struct {
	From, To netip.Addr // without zone
	TTL      int        // or hop limit
	Header   []byte     // of IPv4, with options; nil in IPv6
	Payload  []byte     // after the IP header
}

// Outgoing is one packet to send.
type Outgoing struct {
	Src, Dst netip.Addr
	TTL      uint8  // or hop limit
	Header   []byte // of IPv4, without its checksum; nil in IPv6
	Payload  []byte // after the IP header
}

// Peer is one unicast peer.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL uint8 // allowed on receipt
	CheckTTL       bool  // the limits were given
}

// OldChecksum says how version 3 unicast over IPv4 treats peers that sum the
// multicast group instead of the destination (keepalived until 1.3.6).
type OldChecksum uint8

// Settings of old_unicast_checksum.
const (
	OldChecksumAuto   OldChecksum = iota // accept both; send what was heard
	OldChecksumAlways                    // send and expect the old sum
	OldChecksumNever                     // only the right sum
)

// codec is the wire side of one virtual router: it makes packets of
// advertisements and checks packets. It has state where authentication has. It
// is for one goroutine.
type codec struct {
	cfg    *Config
	id     uint16 // of the last IPv4 packet
	ah     ahCounter
	hmac   hmacState
	oldSum bool // the peer sums the multicast group
}

// seal makes the packets of one advertisement: one to the group, or one to each
// peer.
func (c *codec) seal(now time.Time, priority uint8, src netip.Addr) []Outgoing {
	a := Advert{Version: c.cfg.Version, VRID: c.cfg.VRID, Priority: priority, Interval: c.cfg.AdvertInterval, Addresses: c.cfg.Addresses,
		AuthType: c.cfg.AuthType}
	if a.AuthType == AuthPass {
		a.AuthData = c.cfg.AuthData
	}
	var seq uint64
	var ahSeq uint32
	if h := c.cfg.HMAC; h != nil && h.Mode != HMACReceiveOnly {
		seq = c.hmac.next(h, now)
	}
	if a.Version == 2 && a.AuthType == AuthAH {
		ahSeq = c.ah.next(now)
	}
	var out []Outgoing
	for _, dst := range c.destinations() {
		out = append(out, c.packet(&a, src, dst, seq, ahSeq))
	}
	return out
}

func (c *codec) destinations() []netip.Addr {
	if len(c.cfg.Peers) == 0 {
		return []netip.Addr{c.cfg.Group}
	}
	list := make([]netip.Addr, len(c.cfg.Peers))
	for i, p := range c.cfg.Peers {
		list[i] = p.Addr
	}
	return list
}

// packet makes one packet; seq and ahSeq are 0 without that authentication.
func (c *codec) packet(a *Advert, src, dst netip.Addr, seq uint64, ahSeq uint32) Outgoing {
	o := Outgoing{Src: src, Dst: dst, TTL: advertTTL}
	unicast := len(c.cfg.Peers) > 0
	if unicast && c.cfg.UnicastTTL != 0 {
		o.TTL = c.cfg.UnicastTTL
	}
	sumDst := dst
	if unicast && c.sendsOldSum() {
		sumDst = c.cfg.Group
	}
	o.Payload = a.Marshal(src, sumDst, c.cfg.Checksum)
	if seq != 0 {
		o.Payload = c.cfg.HMAC.sign(o.Payload, src, seq)
		if src.Is6() { // the sum of IPv6 covers all that follows the IP header
			sealChecksum(o.Payload, a.Version, src, dst, WithPseudoHeader)
		}
	}
	if src.Is6() {
		return o
	}
	c.id++
	if c.id == 0 { // the kernel would choose another one
		c.id = 1
	}
	if ahSeq == 0 {
		o.Header = ipv4Header(src, dst, o.TTL, protocolNumber, c.id, len(o.Payload))
		return o
	}
	o.Header = ipv4Header(src, dst, o.TTL, ahProtocol, c.id, ahLen+len(o.Payload))
	o.Payload = appendAH(o.Header, o.Payload, c.cfg.AuthData, ahSeq, unicast)[ipv4HeaderLen:]
	return o
}

func (c *codec) sendsOldSum() bool {
	return c.cfg.Version == 3 && c.cfg.OldChecksum != OldChecksumNever && (c.oldSum || c.cfg.OldChecksum == OldChecksumAlways) && c.cfg.Group.Is4()
}

// open checks a packet in every respect and gives its advertisement. self is
// the address we send from; master the one that is heard as Master.
func (c *codec) open(now time.Time, p Packet, self, master netip.Addr) (Advert, Refusal) {
	if why := c.checkIP(&p, self); why != Accepted {
		return Advert{}, why
	}
	b, v6 := p.Payload, p.From.Is6()
	ah := c.ah
	if len(p.Header) >= ipv4HeaderLen && p.Header[9] == ahProtocol {
		if c.cfg.AuthType != AuthAH {
			return Advert{}, RefusedAuthType
		}
		var why Refusal
		if b, why = openAH(p.Header, b, c.cfg.AuthData, len(c.cfg.Peers) > 0, &ah); why != Accepted {
			return Advert{}, why
		}
	} else if c.cfg.AuthType == AuthAH && c.cfg.Version == 2 {
		return Advert{}, RefusedAuthType
	}
	a, trailer, why := ParseAdvert(b, v6)
	if why != Accepted {
		return a, why
	}
	message := b[:len(b)-len(trailer)]
	if why := c.checkSum(a.Version, b, message, p.From, p.To); why != Accepted {
		return a, why
	}
	if why := c.cfg.accepts(&a, p.From == master); why != Accepted {
		return a, why
	}
	if h := c.cfg.HMAC; h != nil {
		if why := h.verify(&c.hmac, message, trailer, p.From, now); why != Accepted {
			return a, why
		}
	} else if len(trailer) > 0 {
		return a, RefusedTrailing
	}
	c.ah = ah
	return a, Accepted
}

// checkIP looks at what the IP header says.
func (c *codec) checkIP(p *Packet, self netip.Addr) Refusal {
	if len(p.Header) >= ipv4HeaderLen && binary.BigEndian.Uint16(p.Header[6:])&0x3fff != 0 {
		return RefusedFragment
	}
	if !plausibleSource(p.From) || p.From == self || slices.Contains(c.cfg.Addresses, p.From) {
		return RefusedSource
	}
	if len(c.cfg.Peers) == 0 {
		switch {
		case p.TTL != advertTTL:
			return RefusedTTL
		case p.To != c.cfg.Group:
			return RefusedDestination
		}
		return Accepted
	}
	if p.To.IsMulticast() {
		return RefusedDestination
	}
	strict := c.cfg.CheckUnicastSource
	for _, peer := range c.cfg.Peers {
		strict = strict || peer.CheckTTL
		if peer.Addr != p.From {
			continue
		}
		if peer.CheckTTL && (p.TTL < int(peer.MinTTL) || p.TTL > int(peer.MaxTTL)) {
			return RefusedTTL
		}
		return Accepted
	}
	if strict {
		return RefusedPeer
	}
	return Accepted
}

// checkSum knows the old sum of unicast peers besides the right ones.
func (c *codec) checkSum(version uint8, whole, message []byte, src, dst netip.Addr) Refusal {
	if src.Is6() {
		message = whole
	}
	unicast4 := version == 3 && len(c.cfg.Peers) > 0 && src.Is4()
	if unicast4 && c.cfg.OldChecksum != OldChecksumNever && c.cfg.Group.Is4() && checksumHolds(version, message, src, c.cfg.Group) &&
		finish(addSum(0, message)) != 0 {
		c.oldSum = true
		return Accepted
	}
	if !checksumHolds(version, message, src, dst) {
		return RefusedChecksum
	}
	if unicast4 {
		c.oldSum = false
	}
	return Accepted
}

func plausibleSource(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
