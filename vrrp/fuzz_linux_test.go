package vrrp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FuzzReceive gives whole packets, as the kernel hands them over, to every kind
// of virtual router: twice, so that counters and learned state take part. What
// is accepted is ours in every field, and the second copy of an authenticated
// one is refused.
func FuzzReceive(f *testing.F) {
	for _, c := range wires {
		p := sentBy(c)
		if c.Family == 6 {
			f.Add(p.Payload, controlOf(255, group6), true)
			continue
		}
		f.Add(append(bytes.Clone(p.Header), p.Payload...), []byte(nil), false)
	}
	f.Add([]byte{0x4f, 0, 0, 60}, []byte(nil), false)
	f.Add(bytes.Repeat([]byte{0x45}, 2048), []byte(nil), false)
	f.Add([]byte{0x31, 51}, controlOf(255, group6)[:17], true)
	f.Fuzz(func(t *testing.T, b, oob []byte, v6 bool) {
		var p Packet
		if v6 {
			p = packet6(b, oob, peer6)
		} else {
			p = packet4(b)
		}
		for name, cfg := range wires {
			if (cfg.Family == 6) != v6 {
				continue
			}
			c := &codec{cfg: cfg}
			a, why := c.open(epoch, p, selfOf(cfg), netip.Addr{})
			if why != Accepted {
				continue
			}
			if a.VRID != cfg.VRID || a.Version != cfg.Version || a.Interval < MinInterval || a.Interval > 255*time.Second ||
				len(a.Addresses) != len(cfg.Addresses) || a.AuthType != cfg.AuthType && a.Version == 2 {
				t.Errorf("%s: accepted %+v", name, a)
			}
			_, again := c.open(epoch, p, selfOf(cfg), netip.Addr{})
			if secured := cfg.HMAC != nil || cfg.AuthType == AuthAH; secured != (again == RefusedReplay) {
				t.Errorf("%s: the second copy: %s", name, again)
			}
		}
	})
}

// controlOf builds what the kernel says of an IPv6 packet (RFC 3542).
func controlOf(hops uint32, to netip.Addr) []byte {
	info := to.As16()
	return append(control(unix.IPV6_HOPLIMIT, binary.NativeEndian.AppendUint32(nil, hops)),
		control(unix.IPV6_PKTINFO, append(info[:], 1, 0, 0, 0))...)
}

// control is one control message (struct cmsghdr), padded to eight octets.
func control(kind uint32, data []byte) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(16+len(data)))
	b = binary.NativeEndian.AppendUint32(b, unix.IPPROTO_IPV6)
	b = binary.NativeEndian.AppendUint32(b, kind)
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&7)...)
}

// The seeds of IPv6 are what they pretend to be.
func TestR36_FuzzSeedsAreAccepted(t *testing.T) {
	c := wires["v3 v6"]
	if why := refused(c, packet6(sentBy(c).Payload, controlOf(255, group6), peer6)); why != Accepted {
		t.Errorf("IPv6: %s", why)
	}
	if why := refused(c, packet6(sentBy(c).Payload, controlOf(254, group6), peer6)); why != RefusedTTL {
		t.Errorf("hop limit 254: %s", why)
	}
	p := sentBy(wires["v2 ah"])
	if why := refused(wires["v2 ah"], packet4(append(bytes.Clone(p.Header), p.Payload...))); why != Accepted {
		t.Errorf("IPv4: %s", why)
	}
}
