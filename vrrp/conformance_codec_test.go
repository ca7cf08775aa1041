package vrrp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func many4(n int) []netip.Addr {
	a, list := vip4, []netip.Addr(nil)
	for range n {
		list = append(list, a)
		a = a.Next()
	}
	return list
}

func TestF10_F13_CountAndLengthOfManyAddresses(t *testing.T) {
	for _, n := range []int{1, 2, 20, 255} {
		for _, row := range []struct {
			version, family uint8
			list            []netip.Addr
			length          int
		}{{2, 4, many4(n), 16 + 4*n}, {3, 4, many4(n), 8 + 4*n}, {3, 6, many(n), 8 + 16*n}} {
			c := wireConfig(row.version, row.family, func(c *Config) { c.Addresses = row.list })
			p := sentBy(c)
			if len(p.Payload) != row.length || int(p.Payload[3]) != n {
				t.Errorf("version %d, IPv%d, %d addresses: %d octets, count %d", row.version, row.family, n, len(p.Payload), p.Payload[3])
			}
			if p.Header != nil && int(binary.BigEndian.Uint16(p.Header[2:])) != ipv4HeaderLen+row.length {
				t.Errorf("%d addresses: the IP header says %x", n, p.Header[2:4])
			}
			a, _, why := ParseAdvert(p.Payload, row.family == 6)
			if why != Accepted || !slices.Equal(a.Addresses, row.list) {
				t.Errorf("%d addresses: %s, read %v", n, why, a.Addresses)
			}
		}
	}
}

func TestF09_TheReservedBitsAreZero(t *testing.T) {
	c := wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MaxInterval })
	if b := sentBy(c).Payload; !bytes.Equal(b[4:6], []byte{0x0f, 0xff}) {
		t.Errorf("40.95 s is sent as %x", b[4:6])
	}
}

// Every octet of ten thousand advertisements is accounted for: they differ in
// the IP id alone, and unused authentication data are zero.
func TestF15_NoStaleOctets(t *testing.T) {
	for _, name := range []string{"v2", "v2 pass", "v3", "v3 v6"} {
		c := &codec{cfg: wires[name]}
		src := selfOf(c.cfg)
		first := c.seal(epoch, 100, src)[0]
		if name == "v2" && !bytes.Equal(first.Payload[len(first.Payload)-authLen:], make([]byte, authLen)) {
			t.Errorf("unused authentication data %x", first.Payload)
		}
		for range 10_000 {
			next := c.seal(epoch, 100, src)[0]
			if next.Header != nil {
				copy(next.Header[4:6], first.Header[4:6])
			}
			if !bytes.Equal(next.Payload, first.Payload) || !bytes.Equal(next.Header, first.Header) {
				t.Fatalf("%s: %x %x, first %x %x", name, next.Header, next.Payload, first.Header, first.Payload)
			}
		}
	}
}

// The sum of IPv6 computed by RFC 8200 section 8.1, octet by octet: addresses,
// a length of 32 bits, three zeros and the next header.
func TestC06_ThePseudoHeaderOfIPv6(t *testing.T) {
	for _, name := range []string{"v3 v6", "v3 v6 uni", "v3 255 VIPs"} {
		p := sentBy(wires[name])
		var b []byte
		b = append(b, p.From.AsSlice()...)
		b = append(b, p.To.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Payload)))
		b = append(b, 0, 0, 0, 112)
		b = append(b, p.Payload...)
		var sum uint32
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		if sum != 0xffff {
			t.Errorf("%s: the sum is %04x", name, sum)
		}
		message := bytes.Clone(p.Payload)
		sealChecksum(message, 2, p.From, p.To, MessageOnly) // as if it were without one
		p.Payload = message
		if why := refused(wires[name], p); why != RefusedChecksum {
			t.Errorf("%s: a sum without the pseudo header: %s", name, why)
		}
	}
}

// C09: each instance has its own kind of sum, and receives both.
func TestC09_TheKindOfSumIsOfTheInstance(t *testing.T) {
	for name, only := range map[string]bool{"v3": false, "v3 message": true} {
		p := sentBy(wires[name])
		if got := finish(addSum(0, p.Payload)) == 0; got != only {
			t.Errorf("%s: the sum covers the message alone: %v", name, got)
		}
	}
}

func TestU02_U03_PasswordsOfEveryLength(t *testing.T) {
	pass := func(s string) *Config {
		return wireConfig(2, 4, func(c *Config) { c.AuthType, c.AuthData = AuthPass, Password(s) })
	}
	const secret = "12345678"
	for n := 1; n <= len(secret); n++ {
		if why := refused(pass(secret[:n]), sentBy(pass(secret[:n]))); why != Accepted {
			t.Errorf("the right one of %d octets: %s", n, why)
		}
		if why := refused(pass(secret[:n]), sentBy(pass(secret[:n-1]+"x"))); why != RefusedAuth {
			t.Errorf("a wrong one of %d octets: %s", n, why)
		}
	}
}

// The password is in nothing that is printed of a packet or a refusal.
func TestU06_ThePasswordIsNotInWhatIsLogged(t *testing.T) {
	c := wireConfig(2, 4, func(c *Config) { c.AuthType, c.AuthData, c.Interface = AuthPass, Password("hush4242"), "eth9" })
	log, text := testLog()
	_, err := DialRaw(c) // no such interface
	log.Error("dial", "err", err)
	wrong := sentBy(c)
	wrong.Payload[len(wrong.Payload)-1] ^= 1
	reseal(&wrong)
	for _, p := range []Packet{sentBy(wires["v2"]), wrong} {
		newRunner(*c, Shell{Log: log}).check(p)
	}
	s := text.String()
	for _, want := range []string{"eth9", "reason=auth_type ", "reason=auth "} {
		if !strings.Contains(s, want) {
			t.Errorf("%s is not told: %s", want, s)
		}
	}
	if strings.Contains(s, "hush4242") || strings.Contains(s, fmt.Sprintf("%x", "hush4242")) {
		t.Errorf("log: %s", s)
	}
}
