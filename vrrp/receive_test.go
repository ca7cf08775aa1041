package vrrp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// raw makes a packet to a version from octets and seals its sum.
func rawPacket(c *Config, change func(*Packet)) Packet {
	p := sentBy(c)
	p.Header, p.Payload = bytes.Clone(p.Header), bytes.Clone(p.Payload)
	change(&p)
	return p
}

func reseal(p *Packet) {
	sealChecksum(p.Payload, p.Payload[0]>>4, p.From, p.To, WithPseudoHeader)
}

// Each row is a row of the conformance list: what is sent while held.
func TestReceiveChecks(t *testing.T) {
	v2, v3, v6 := wires["v2"], wires["v3"], wires["v3 v6"]
	set := func(at int, v byte) func(*Packet) {
		return func(p *Packet) { p.Payload[at] = v; reseal(p) }
	}
	cut := func(n int) func(*Packet) { return func(p *Packet) { p.Payload = p.Payload[:n] } }
	carp := append([]byte{0x21, 51, 100, 7, 0, 1}, make([]byte, 30)...)
	for _, row := range []struct {
		id     string
		cfg    *Config
		change func(*Packet)
		want   Refusal
	}{
		{"R01 TTL 254", v2, func(p *Packet) { p.TTL = 254 }, RefusedTTL},
		{"R01 TTL 1", v3, func(p *Packet) { p.TTL = 1 }, RefusedTTL},
		{"R01 TTL 0", v3, func(p *Packet) { p.TTL = 0 }, RefusedTTL},
		{"V04 hop limit 254", v6, func(p *Packet) { p.TTL = 254 }, RefusedTTL},
		{"R02 one bit of the sum", v2, func(p *Packet) { p.Payload[7] ^= 1 }, RefusedChecksum},
		{"R03 version 3 to 2", v2, func(p *Packet) { *p = sentBy(v3) }, RefusedVersion},
		{"R03 version 2 to 3", v3, func(p *Packet) { *p = sentBy(v2) }, RefusedVersion},
		{"R04 version 0", v3, set(0, 0x01), RefusedVersion},
		{"R04 version 1", v3, set(0, 0x11), RefusedVersion},
		{"R04 version 4", v3, set(0, 0x41), RefusedVersion},
		{"R04 version 7", v3, set(0, 0x71), RefusedVersion},
		{"R04 version 15", v3, set(0, 0xf1), RefusedVersion},
		{"R05 type 0", v3, set(0, 0x30), RefusedType},
		{"R05 type 2", v2, set(0, 0x22), RefusedType},
		{"R05 type 15", v3, set(0, 0x3f), RefusedType},
		{"R06 VRID of another", v3, set(1, 52), RefusedVRID},
		{"R07 half an address", v3, cut(10), RefusedLength},
		{"R08 seven octets", v3, cut(7), RefusedLength},
		{"R08 nothing", v2, cut(0), RefusedLength},
		{"R09 count 0", v3, set(3, 0), RefusedCount},
		{"R10 count 2 of 1", v3, set(3, 2), RefusedLength},
		{"R11 count 255 of 1", v3, set(3, 255), RefusedLength},
		{"R12 another address", v3, set(11, 101), RefusedAddresses},
		{"R13 one more address", v3, func(p *Packet) {
			p.Payload = append(p.Payload, 10, 99, 0, 101)
			p.Payload[3] = 2
			reseal(p)
		}, RefusedAddresses},
		{"R14 octets after the message", v3, func(p *Packet) { p.Payload = append(p.Payload, make([]byte, 20)...) }, RefusedTrailing},
		{"R15 unicast to a multicast instance", v2, func(p *Packet) { p.To = self }, RefusedDestination},
		{"R15 multicast to a unicast instance", wires["v2 unicast"], func(p *Packet) { p.To = group4 }, RefusedDestination},
		{"R16 our own address", v2, func(p *Packet) { p.From = self }, RefusedSource},
		{"R16 the virtual address", v2, func(p *Packet) { p.From = vip4 }, RefusedSource},
		{"R17 a fragment", v2, func(p *Packet) { p.Header[6] = 0x20 }, RefusedFragment},
		{"R18 IP options", v2, func(p *Packet) { p.Header = append(p.Header, 0x94, 4, 0, 0); p.Header[0] = 0x46 }, Accepted},
		{"R19 a source off the link", v2, func(p *Packet) { p.From = netip.MustParseAddr("192.0.2.1") }, Accepted},
		{"R20 source 0.0.0.0", v2, func(p *Packet) { p.From = netip.IPv4Unspecified() }, RefusedSource},
		{"R20 source ::", v6, func(p *Packet) { p.From = netip.IPv6Unspecified() }, RefusedSource},
		{"R20 source broadcast", v2, func(p *Packet) { p.From = netip.MustParseAddr("255.255.255.255") }, RefusedSource},
		{"R21 source multicast", v2, func(p *Packet) { p.From = group4 }, RefusedSource},
		{"R22 interval 0", v3, func(p *Packet) { p.Payload[4], p.Payload[5] = 0, 0; reseal(p) }, RefusedInterval},
		{"R22 reserved bits, interval 0", v3, func(p *Packet) { p.Payload[4], p.Payload[5] = 0xf0, 0; reseal(p) }, RefusedInterval},
		{"R23 reserved bits", v3, set(4, 0xf0), Accepted},
		{"R24 interval 4095", v3, func(p *Packet) { p.Payload[4], p.Payload[5] = 0x0f, 0xff; reseal(p) }, Accepted},
		{"R25 another interval in version 2", v2, set(5, 2), RefusedInterval},
		{"R26 authentication 1", v2, set(4, 1), RefusedAuthType},
		{"R27 authentication 2", v2, set(4, 2), RefusedAuthType},
		{"R28 authentication 9", v2, set(4, 9), RefusedAuthType},
		{"R29 no authentication data", v2, func(p *Packet) { p.Payload = p.Payload[:12]; reseal(p) }, RefusedLength},
		{"U05 half a password", wires["v2 pass"], func(p *Packet) { p.Payload = p.Payload[:16]; reseal(p) }, RefusedLength},
		{"R30 interval 0 in version 2", v2, set(5, 0), RefusedInterval},
		{"R32 another interval in version 3", v3, set(5, 50), Accepted},
		{"R37 CARP", v2, func(p *Packet) { p.Payload = carp }, RefusedCARP},
		{"R04 version 2 over IPv6", v6, set(0, 0x21), RefusedVersion},
	} {
		t.Run(row.id, func(t *testing.T) {
			if got := refused(row.cfg, rawPacket(row.cfg, row.change)); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

func TestS22_UnicastPeers(t *testing.T) {
	stranger := netip.MustParseAddr("10.99.0.77")
	peers := func(check bool, p ...Peer) *Config {
		return wireConfig(2, 4, func(c *Config) { c.Peers, c.CheckUnicastSource = p, check })
	}
	for _, row := range []struct {
		name string
		cfg  *Config
		from netip.Addr
		ttl  int
		want Refusal
	}{
		{"a stranger", peers(false, Peer{Addr: high}), stranger, 64, Accepted},
		{"a stranger, checked", peers(true, Peer{Addr: high}), stranger, 64, RefusedPeer},
		{"a peer, checked", peers(true, Peer{Addr: high}), high, 64, Accepted},
		{"limits, too low", peers(false, Peer{Addr: high, MinTTL: 250, MaxTTL: 255, CheckTTL: true}), high, 249, RefusedTTL},
		{"limits, within", peers(false, Peer{Addr: high, MinTTL: 250, MaxTTL: 255, CheckTTL: true}), high, 250, Accepted},
		{"limits turn the check on", peers(false, Peer{Addr: high, MinTTL: 250, MaxTTL: 255, CheckTTL: true}), stranger, 255, RefusedPeer},
	} {
		p := arrived((&codec{cfg: wireConfig(2, 4, func(c *Config) { c.Peers = []Peer{{Addr: self}} })}).seal(epoch, 200, row.from)[0])
		p.TTL = row.ttl
		if got := refused(row.cfg, p); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestSkipCheckAdvAddrTrustsTheSameMaster(t *testing.T) {
	c := wireConfig(3, 4, func(c *Config) { c.SkipCheckAdvAddr = true })
	p := rawPacket(c, func(p *Packet) { p.Payload[11] = 101; reseal(p) })
	for master, want := range map[netip.Addr]Refusal{high: Accepted, low: RefusedAddresses, {}: RefusedAddresses} {
		if _, got := (&codec{cfg: c}).open(epoch, p, self, master); got != want {
			t.Errorf("master %v: %s, want %s", master, got, want)
		}
	}
}

func TestR34_TheLogIsLimited(t *testing.T) {
	var l logLimit
	lines := 0
	for i := range 100_000 { // 10 s of a flood from changing senders
		from := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
		if l.allow(epoch.Add(time.Duration(i)*100*time.Microsecond), "ttl", from) {
			lines++
		}
	}
	if lines > 10 || len(l.seen) > logSenders {
		t.Errorf("%d lines in 10 s, %d senders remembered", lines, len(l.seen))
	}
	if l.allow(epoch.Add(20*time.Second), "ttl", high) == false || l.allow(epoch.Add(22*time.Second), "ttl", high) {
		t.Error("a reason is told once a minute for each sender")
	}
}
