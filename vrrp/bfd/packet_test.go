package bfd

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// The octets of RFC 5880 section 4.1.
func TestAPacketOctetByOctet(t *testing.T) {
	p := Packet{Diagnostic: DetectionTimeExpired, State: Up, Poll: true, Multiplier: 5, My: 0x01020304, Your: 0x05060708,
		MinTX: time.Second, MinRX: 10 * time.Millisecond}
	want := "21e00518" + "01020304" + "05060708" + "000f4240" + "00002710" + "00000000"
	b := p.Append(nil)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if q, why := Parse(b); why != Accepted || q != p {
		t.Errorf("%s: %+v", why, q)
	}
	p.MinTX = 24 * time.Hour // more than the field holds
	if q, _ := Parse(p.Append(nil)); q.MinTX != (1<<32-1)*time.Microsecond {
		t.Errorf("%v", q.MinTX)
	}
}

// Section 6.8.6, check by check.
func TestRefusals(t *testing.T) {
	good := Packet{State: Up, Multiplier: 3, My: 1, Your: 2, MinTX: time.Second, MinRX: time.Second}
	with := func(change func(b []byte) []byte) []byte { return change(good.Append(nil)) }
	set := func(i int, v byte) []byte { return with(func(b []byte) []byte { b[i] = v; return b }) }
	for _, c := range []struct {
		what string
		b    []byte
		want Refusal
	}{
		{"good", set(2, 3), Accepted},
		{"23 octets", with(func(b []byte) []byte { return b[:23] }), RefusedShort},
		{"version 0", set(0, 0), RefusedVersion},
		{"length 23", set(3, 23), RefusedLength},
		{"longer than it is", set(3, 25), RefusedLength},
		{"authenticated without room", set(1, 0xc4), RefusedLength},
		{"multiplier 0", set(2, 0), RefusedMultiplier},
		{"multipoint", set(1, 0xc1), RefusedMultipoint},
		{"my discriminator 0", set(7, 0), RefusedDiscriminator},
		{"your discriminator 0 in Up", set(11, 0), RefusedDiscriminator},
		{"your discriminator 0 in Down", with(func(b []byte) []byte { b[1], b[11] = 0x40, 0; return b }), Accepted},
		{"authenticated", with(func(b []byte) []byte { b[1], b[3] = 0xc4, 26; return append(b, 1, 2) }), RefusedAuthenticated},
		{"longer than its length", with(func(b []byte) []byte { return append(b, 0, 0) }), Accepted},
	} {
		if _, why := Parse(c.b); why != c.want {
			t.Errorf("%s: %s, want %s", c.what, why, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	good := Packet{State: Up, Multiplier: 3, My: 1, Your: 2, MinTX: time.Second, MinRX: time.Second}
	f.Add(good.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, why := Parse(b)
		_, _ = p.State.String(), p.Diagnostic.String()
		if why != Accepted {
			return
		}
		again := p.Append(nil)
		if q, why := Parse(again); why != Accepted || q != p {
			t.Errorf("%x becomes %x: %s", b, again, why)
		}
		if !bytes.Equal(again[4:20], b[4:20]) {
			t.Errorf("%x becomes %x", b, again)
		}
	})
}
