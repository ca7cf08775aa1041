package vrrp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

var (
	group4 = netip.MustParseAddr("224.0.0.18")
	group6 = netip.MustParseAddr("ff02::12")
	vip4   = netip.MustParseAddr("10.99.0.100")
	vip6   = netip.MustParseAddr("fe80::100")
	self6  = netip.MustParseAddr("fe80::5")
	peer6  = netip.MustParseAddr("fe80::10")
)

// wireConfig is a virtual router of a version and family, with changes.
func wireConfig(version, family uint8, change func(*Config)) *Config {
	c := &Config{VRID: 51, Version: version, Family: family, Priority: 100, AdvertInterval: time.Second, Addresses: []netip.Addr{vip4}, Group: group4}
	if family == 6 {
		c.Addresses, c.Group = []netip.Addr{vip6}, group6
	}
	if change != nil {
		change(c)
	}
	return c
}

// arrived is what the peer sees of a packet.
func arrived(o Outgoing) Packet {
	return Packet{From: o.Src, To: o.Dst, TTL: int(o.TTL), Header: o.Header, Payload: o.Payload}
}

// sentBy gives the first packet that a peer with this configuration sends.
func sentBy(c *Config) Packet {
	src := high
	if c.Family == 6 {
		src = peer6
	}
	sender := &codec{cfg: c}
	return arrived(sender.seal(epoch, 200, src)[0])
}

func selfOf(c *Config) netip.Addr {
	if c.Family == 6 {
		return self6
	}
	return self
}

// refused opens a packet as the router of a configuration would.
func refused(c *Config, p Packet) Refusal {
	_, why := (&codec{cfg: c}).open(epoch, p, selfOf(c), netip.Addr{})
	return why
}

func testHMAC() *HMAC {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	return &HMAC{Keys: map[uint8][]byte{1: key}, ActiveKey: 1, Window: 5 * time.Second}
}

var wires = map[string]*Config{
	"v2":          wireConfig(2, 4, nil),
	"v2 pass":     wireConfig(2, 4, func(c *Config) { c.AuthType, c.AuthData = AuthPass, Password("secret") }),
	"v2 ah":       wireConfig(2, 4, func(c *Config) { c.AuthType, c.AuthData = AuthAH, Password("secret") }),
	"v2 hmac":     wireConfig(2, 4, func(c *Config) { c.HMAC = testHMAC() }),
	"v2 unicast":  wireConfig(2, 4, func(c *Config) { c.Peers = []Peer{{Addr: self}, {Addr: high}} }),
	"v2 ah uni":   wireConfig(2, 4, func(c *Config) { c.AuthType, c.Peers = AuthAH, []Peer{{Addr: self}, {Addr: high}} }),
	"v3":          wireConfig(3, 4, nil),
	"v3 10ms":     wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MinInterval }),
	"v3 message":  wireConfig(3, 4, func(c *Config) { c.Checksum = MessageOnly }),
	"v3 hmac":     wireConfig(3, 4, func(c *Config) { c.HMAC = testHMAC() }),
	"v3 unicast":  wireConfig(3, 4, func(c *Config) { c.Peers = []Peer{{Addr: self}, {Addr: high}} }),
	"v3 v6":       wireConfig(3, 6, nil),
	"v3 v6 hmac":  wireConfig(3, 6, func(c *Config) { c.HMAC = testHMAC() }),
	"v3 v6 uni":   wireConfig(3, 6, func(c *Config) { c.Peers = []Peer{{Addr: self6}, {Addr: peer6}} }),
	"v3 255 VIPs": wireConfig(3, 6, func(c *Config) { c.Addresses = many(255) }),
}

func many(n int) []netip.Addr {
	a, list := vip6, []netip.Addr(nil)
	for range n {
		list = append(list, a)
		a = a.Next()
	}
	return list
}

func TestF06_F10_F11_WhatIsSentIsReadAsItWasMeant(t *testing.T) {
	for name, c := range wires {
		p := sentBy(c)
		a, why := (&codec{cfg: c}).open(epoch, p, selfOf(c), netip.Addr{})
		if why != Accepted {
			t.Errorf("%s: refused: %s", name, why)
			continue
		}
		want := Advert{Version: c.Version, VRID: 51, Priority: 200, Interval: c.AdvertInterval, Addresses: c.Addresses, AuthType: c.AuthType}
		if c.AuthType == AuthPass {
			want.AuthData = c.AuthData
		}
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%s: read %+v, want %+v", name, a, want)
		}
	}
}

// Every octet of a version 2 message, RFC 3768 section 5.1.
func TestF13_F15_AMessageOctetByOctet(t *testing.T) {
	for name, want := range map[string]string{
		"v2":         "213364010001" + "b4fd" + "0a630064" + "0000000000000000",
		"v2 pass":    "213364010101" + "deb5" + "0a630064" + "7365637265740000",
		"v3 message": "313364010064" + "a59a" + "0a630064",
	} {
		a := (&codec{cfg: wires[name]}).seal(epoch, 100, self)[0].Payload
		// The checksum is proved by summing, C01.
		if got := hex.EncodeToString(a); got[:12]+got[16:] != want[:12]+want[16:] {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if finish(addSum(0, a)) != 0 {
			t.Errorf("C01: %s: the sum over the message is not zero", name)
		}
	}
}

func TestF03_F14_TheIPHeader(t *testing.T) {
	c := &codec{cfg: wires["v2"]}
	h := c.seal(epoch, 100, self)[0].Header
	want := "45c000280001" + "0000" + "ff70" + "0000" + "0a630005" + "e0000012"
	if got := hex.EncodeToString(h); got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	if next := c.seal(epoch, 100, self)[0].Header; bytes.Equal(next[4:6], h[4:6]) {
		t.Error("two packets have one IP id")
	}
}

// The vectors of auth-hmac.md: key 00..1f, id 1, priority 200, version 3.
func TestU11_HMACVectors(t *testing.T) {
	// The vectors' sequence is a time with its fraction at one half.
	now := time.Unix(0x68000000, int64(time.Second/2))
	for _, v := range []struct {
		family        uint8
		src, dst, vip string
		checksum      Checksum
		want          string
	}{
		{4, "198.51.100.10", "224.0.0.18", "192.0.2.100", MessageOnly,
			"3133c80100644402c0000264" + "010100006800000080000000" + "1b84bc4e8e43892dc6d98448f8ee2265"},
		{6, "fe80::10", "fe80::20", "fe80::100", WithPseudoHeader,
			"3133c8010064a2e9fe800000000000000000000000000100" + "010100006800000080000000" + "c8c56146ebfd66ee10ec4d8186461b78"},
	} {
		c := wireConfig(3, v.family, func(c *Config) {
			c.HMAC, c.Checksum, c.Addresses = testHMAC(), v.checksum, []netip.Addr{netip.MustParseAddr(v.vip)}
			c.Group = netip.MustParseAddr(v.dst)
		})
		p := arrived((&codec{cfg: c}).seal(now, 200, netip.MustParseAddr(v.src))[0])
		if got := hex.EncodeToString(p.Payload); got != v.want {
			t.Errorf("IPv%d:\n got %s\nwant %s", v.family, got, v.want)
		}
		if _, why := (&codec{cfg: c}).open(now, p, self, netip.Addr{}); why != Accepted {
			t.Errorf("IPv%d: refused: %s", v.family, why)
		}
	}
}

func TestU11_HMACRefusals(t *testing.T) {
	c := wires["v3 hmac"]
	h := func(change func(*HMAC)) *Config {
		return wireConfig(3, 4, func(c *Config) { c.HMAC = testHMAC(); change(c.HMAC) })
	}
	p := sentBy(c)
	flip := func(at int) Packet { // at from the trailer's start
		q := p
		q.Payload = bytes.Clone(p.Payload)
		q.Payload[len(q.Payload)-hmacLen+at] ^= 1
		return q
	}
	plain := sentBy(wires["v3"])
	for _, v := range []struct {
		name string
		cfg  *Config
		p    Packet
		want Refusal
	}{
		{"scheme", c, flip(0), RefusedAuthType},
		{"unknown key", c, flip(1), RefusedAuth},
		{"reserved", c, flip(2), RefusedAuthType},
		{"seconds", c, flip(7), RefusedAuth},
		{"far future", c, flip(4), RefusedStale},
		{"digest", c, flip(27), RefusedAuth},
		{"no trailer, enforce", c, plain, RefusedAuthType},
		{"no trailer, permissive", h(func(h *HMAC) { h.Mode = HMACPermissive }), plain, Accepted},
		{"no trailer, receive only", h(func(h *HMAC) { h.Mode = HMACReceiveOnly }), plain, Accepted},
		{"bad trailer, permissive", h(func(h *HMAC) { h.Mode = HMACPermissive }), flip(27), RefusedAuth},
		{"surplus octets for a peer without", wires["v3"], p, RefusedTrailing},
	} {
		if got := refused(v.cfg, v.p); got != v.want {
			t.Errorf("%s: %s, want %s", v.name, got, v.want)
		}
	}
}

func TestU08_U11_ASequenceIsAcceptedOnce(t *testing.T) {
	for _, name := range []string{"v2 ah", "v2 hmac", "v3 v6 hmac"} {
		c := wires[name]
		sender, receiver := &codec{cfg: c}, &codec{cfg: c}
		src := high
		if c.Family == 6 {
			src = peer6
		}
		first := arrived(sender.seal(epoch, 200, src)[0])
		second := arrived(sender.seal(epoch, 200, src)[0]) // the clock stands: the sequence grows
		for i, want := range []struct {
			p    Packet
			want Refusal
		}{{first, Accepted}, {first, RefusedReplay}, {second, Accepted}, {first, RefusedReplay}, {second, RefusedReplay}} {
			if _, got := receiver.open(epoch, want.p, selfOf(c), netip.Addr{}); got != want.want {
				t.Errorf("%s, packet %d: %s, want %s", name, i, got, want.want)
			}
		}
	}
}

func TestU07_ABackupGoesOnFromTheMastersAHNumber(t *testing.T) {
	c := wires["v2 ah"]
	master, backup := &codec{cfg: c}, &codec{cfg: c}
	master.ah.last = uint32(epoch.Unix()) + 1000
	if _, why := backup.open(epoch, arrived(master.seal(epoch, 200, high)[0]), self, netip.Addr{}); why != Accepted {
		t.Fatal(why)
	}
	if _, why := master.open(epoch, arrived(backup.seal(epoch, 100, self)[0]), high, netip.Addr{}); why != Accepted {
		t.Errorf("the old master refuses its heir: %s", why)
	}
}

func TestU07_U09_AHCoversEveryOctet(t *testing.T) {
	c := wires["v2 ah"]
	p := sentBy(c)
	for i := range p.Payload {
		q := p
		q.Payload = bytes.Clone(p.Payload)
		q.Payload[i] ^= 0x10
		if why := refused(c, q); why == Accepted {
			t.Errorf("octet %d is not covered", i)
		}
	}
	for i := range p.Header {
		q := p
		q.Header = bytes.Clone(p.Header)
		q.Header[i] ^= 0x10
		mutable := i == 1 || i == 6 || i == 7 || i == 10 || i == 11
		if why := refused(c, q); (why == Accepted) != mutable && why != RefusedFragment {
			t.Errorf("header octet %d: %s", i, why)
		}
	}
	if why := refused(wires["v2 pass"], p); why != RefusedAuthType {
		t.Errorf("U09: AH to a PASS instance: %s", why)
	}
	if why := refused(c, sentBy(wires["v2 pass"])); why != RefusedAuthType {
		t.Errorf("U09: PASS to an AH instance: %s", why)
	}
}

func TestU01_U04_Passwords(t *testing.T) {
	pass := func(s string) *Config {
		return wireConfig(2, 4, func(c *Config) { c.AuthType, c.AuthData = AuthPass, Password(s) })
	}
	for sent, want := range map[string]Refusal{"secret": Accepted, "Secret": RefusedAuth, "secre": RefusedAuth, "secret\x00x": RefusedAuth} {
		if got := refused(pass("secret"), sentBy(pass(sent))); got != want {
			t.Errorf("%q: %s, want %s", sent, got, want)
		}
	}
	if got := refused(pass("12345678abc"), sentBy(pass("12345678"))); got != Accepted {
		t.Errorf("U01: the ninth octet counts: %s", got)
	}
	if got := refused(pass("secret"), sentBy(wires["v2"])); got != RefusedAuthType {
		t.Errorf("U04: %s", got)
	}
}

func TestC03_C04_C05_BothSumsOfVersion3AreAccepted(t *testing.T) {
	for _, sender := range []string{"v3", "v3 message"} {
		for _, receiver := range []string{"v3", "v3 message"} {
			if why := refused(wires[receiver], sentBy(wires[sender])); why != Accepted {
				t.Errorf("%s to %s: %s", sender, receiver, why)
			}
		}
	}
	p := sentBy(wires["v3"])
	if finish(addSum(0, p.Payload)) == 0 {
		t.Error("C03: the default sum has no pseudo header")
	}
}

func TestC02_C10_V05_ABadSumIsRefused(t *testing.T) {
	for name, c := range wires {
		if c.AuthType == AuthAH || c.HMAC != nil {
			continue
		}
		p := sentBy(c)
		p.Payload = bytes.Clone(p.Payload)
		p.Payload[6] ^= 0x80
		if why := refused(c, p); why != RefusedChecksum {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestC07_OldUnicastSum(t *testing.T) {
	uni := func(o OldChecksum) *Config {
		return wireConfig(3, 4, func(c *Config) { c.Peers, c.OldChecksum = []Peer{{Addr: self}}, o })
	}
	old := sentBy(uni(OldChecksumAlways))
	if why := refused(uni(OldChecksumNever), old); why != RefusedChecksum {
		t.Errorf("never: %s", why)
	}
	c := &codec{cfg: uni(OldChecksumAuto)}
	for _, p := range []Packet{old, sentBy(uni(OldChecksumNever)), old} {
		if _, why := c.open(epoch, p, self, netip.Addr{}); why != Accepted {
			t.Errorf("auto: %s", why)
		}
	}
	if !c.sendsOldSum() {
		t.Error("auto: does not answer an old peer in its way")
	}
}

// C08: a message whose sum is already zero.
func TestC08_AZeroSum(t *testing.T) {
	for i := range 1 << 16 {
		a := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
		c := wireConfig(2, 4, func(c *Config) { c.Addresses = []netip.Addr{a} })
		m := (&codec{cfg: c}).seal(epoch, 200, high)[0]
		if m.Payload[6] == 0 && m.Payload[7] == 0 {
			if why := refused(c, arrived(m)); why != Accepted {
				t.Errorf("sum 0: %s", why)
			}
			return
		}
	}
	t.Fatal("no address gives the sum 0")
}

func FuzzOpen(f *testing.F) {
	for _, c := range wires {
		p := sentBy(c)
		f.Add(p.Header, p.Payload, c.Family == 6)
	}
	f.Add([]byte(nil), []byte{0x21}, false)
	f.Fuzz(func(t *testing.T, header, payload []byte, v6 bool) {
		for name, c := range wires {
			if (c.Family == 6) != v6 {
				continue
			}
			p := Packet{From: high, To: c.Group, TTL: 255, Header: header, Payload: payload}
			if v6 {
				p.From, p.Header = peer6, nil
			}
			a, why := (&codec{cfg: c}).open(epoch, p, selfOf(c), netip.Addr{})
			if why == Accepted && (a.VRID != 51 || a.Interval < MinInterval || len(a.Addresses) != len(c.Addresses)) {
				t.Errorf("%s: accepted %+v", name, a)
			}
		}
	})
}

// FuzzRoundTrip reads octets and writes them again: nothing is lost but the
// checksum and the reserved bits.
func FuzzRoundTrip(f *testing.F) {
	for _, c := range wires {
		f.Add(sentBy(c).Payload, c.Family == 6)
	}
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		a, rest, why := ParseAdvert(b, v6)
		if why != Accepted {
			return
		}
		src, dst := high, group4
		if v6 {
			src, dst = peer6, group6
		}
		again, rest2, why := ParseAdvert(append(a.Marshal(src, dst, WithPseudoHeader), rest...), v6)
		if why != Accepted || !reflect.DeepEqual(a, again) || !bytes.Equal(rest, rest2) {
			t.Errorf("%+v became %+v (%s)", a, again, why)
		}
	})
}
