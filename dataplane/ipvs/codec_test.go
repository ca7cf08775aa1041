package ipvs

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"

	"github.com/xvip-lb/xvip/dataplane"
)

// attr lays out one attribute as struct nlattr (include/uapi/linux/netlink.h).
func attr(typ uint16, data ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// The expected octets are written from include/uapi/linux/ip_vs.h and the
// parsing in net/netfilter/ipvs/ip_vs_ctl.c, not from the encoder.
func TestServiceOnTheWire(t *testing.T) {
	for name, tc := range map[string]struct {
		svc  service
		want []byte
	}{
		"v4": {
			service{key: dataplane.Key{Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Protocol: dataplane.TCP},
				sched: "sh", flags: 0x1 | 0x8 | 0x10, timeout: 360, bits: 24, pe: "sip"},
			join(attr(1, u16(2)...), attr(2, u16(6)...), attr(3, append([]byte{192, 0, 2, 1}, make([]byte, 12)...)...), attr(4, 0, 80),
				attr(6, 's', 'h', 0), attr(11, 's', 'i', 'p', 0), attr(7, join(u32(0x19), u32(0xffffffff))...), attr(8, u32(360)...), attr(9, 255, 255, 255, 0)),
		},
		"v6": {
			service{key: dataplane.Key{Address: netip.MustParseAddr("2001:db8::1"), Port: 53, Protocol: dataplane.UDP}, sched: "wlc", flags: 4},
			join(attr(1, u16(10)...), attr(2, u16(17)...), attr(3, netip.MustParseAddr("2001:db8::1").AsSlice()...), attr(4, 0, 53),
				attr(6, 'w', 'l', 'c', 0), attr(7, join(u32(4), u32(0xffffffff))...), attr(8, u32(0)...), attr(9, u32(128)...)),
		},
		"fwmark": {
			service{key: dataplane.Key{FWMark: 7, Family: 4}, sched: "rr"},
			join(attr(1, u16(2)...), attr(5, u32(7)...), attr(6, 'r', 'r', 0), attr(7, join(u32(0), u32(0xffffffff))...), attr(8, u32(0)...), attr(9, 255, 255, 255, 255)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := encode(func(ae *netlink.AttributeEncoder) {
				if err := encodeService(tc.svc)(ae); err != nil {
					t.Fatal(err)
				}
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			back, _, err := decodeService(got)
			if err != nil || back != tc.svc {
				t.Errorf("read back %+v, %v; want %+v", back, err, tc.svc)
			}
		})
	}
}

func TestRealServerOnTheWire(t *testing.T) {
	d := dest{addr: netip.MustParseAddr("2001:db8::9"), port: 8080, method: dataplane.TUN, weight: 5, upper: 100, lower: 10,
		tunnel: dataplane.Tunnel{Type: dataplane.GUE, Port: 6080, Checksum: dataplane.RemoteChecksum}}
	want := join(attr(1, d.addr.AsSlice()...), attr(2, 0x1f, 0x90), attr(11, u16(10)...), attr(3, u32(2)...), attr(4, u32(5)...),
		attr(5, u32(100)...), attr(6, u32(10)...), attr(13, 1), attr(14, big16(6080)...), attr(15, u16(2)...))
	got := encode(func(ae *netlink.AttributeEncoder) { _ = encodeDest(d, false)(ae) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	back, err := decodeDest(got, 0)
	if err != nil || back.dest != d {
		t.Errorf("read back %+v, %v", back.dest, err)
	}
	for method, number := range map[dataplane.Method]uint32{dataplane.NAT: 0, dataplane.Local: 1, dataplane.TUN: 2, dataplane.DR: 3} {
		if got := encodeMethod(method); got != number {
			t.Errorf("method %s is %d, want %d", method, got, number)
		}
	}
}

func TestStatsAre64Bit(t *testing.T) {
	u64 := func(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }
	const many = 1 << 40
	b := join(attr(1, u16(2)...), attr(2, u16(6)...), attr(3, make([]byte, 16)...), attr(4, 0, 80),
		attr(10, join(attr(1, u32(1)...), attr(2, u32(1)...))...), // the 32-bit ones do not count
		attr(12, join(attr(1, u64(many)...), attr(2, u64(many+1)...), attr(3, u64(many+2)...), attr(4, u64(many+3)...), attr(5, u64(many+4)...))...))
	_, c, err := decodeService(b)
	want := dataplane.Counters{Connections: many, PacketsIn: many + 1, PacketsOut: many + 2, BytesIn: many + 3, BytesOut: many + 4}
	if err != nil || c != want {
		t.Errorf("got %+v, %v; want %+v", c, err, want)
	}
}

func TestDaemonOnTheWire(t *testing.T) {
	d := SyncDaemon{Master: true, Interface: "eth0", ID: 51, MaxLen: 1400, Port: 8850, TTL: 3, Group: netip.MustParseAddr("224.0.0.90")}
	want := join(attr(1, u32(1)...), attr(2, 'e', 't', 'h', '0', 0), attr(3, u32(51)...), attr(4, u16(1400)...),
		attr(7, u16(8850)...), attr(8, 3), attr(5, 224, 0, 0, 90))
	got := encode(func(ae *netlink.AttributeEncoder) { _ = encodeDaemon(d)(ae) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if back, err := decodeDaemon(got); err != nil || back != d {
		t.Errorf("read back %+v, %v", back, err)
	}
}

// What a kernel never sends may not bring the daemon down, and what is decoded
// must encode to something that decodes to the same.
func FuzzDecodeService(f *testing.F) {
	f.Add(encode(func(ae *netlink.AttributeEncoder) {
		_ = encodeService(service{key: dataplane.Key{FWMark: 7, Family: 6}, sched: "rr", flags: 1, bits: 64, timeout: 9})(ae)
	}))
	f.Add(encode(func(ae *netlink.AttributeEncoder) {
		_ = encodeService(service{key: dataplane.Key{Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Protocol: 6}, sched: "mh", flags: 0x19, bits: 8})(ae)
	}))
	f.Add([]byte{4, 0, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := decodeService(b)
		if err != nil || s.flags&flagPersistent != 0 && s.bits == 0 {
			return
		}
		again, _, err := decodeService(encode(func(ae *netlink.AttributeEncoder) { _ = encodeService(s)(ae) }))
		if err != nil || again != s {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzDecodeDest(f *testing.F) {
	f.Add(encode(func(ae *netlink.AttributeEncoder) {
		_ = encodeDest(dest{addr: netip.MustParseAddr("192.0.2.9"), port: 80, method: dataplane.TUN, weight: 1, tunnel: dataplane.Tunnel{Type: dataplane.GRE, Checksum: dataplane.Checksum}}, false)(ae)
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDest(b, 2)
		if err != nil {
			return
		}
		again, err := decodeDest(encode(func(ae *netlink.AttributeEncoder) { _ = encodeDest(d.dest, false)(ae) }), 2)
		if err != nil || again.dest != d.dest {
			t.Errorf("%+v became %+v, %v", d.dest, again.dest, err)
		}
	})
}

func FuzzDecodeDaemon(f *testing.F) {
	f.Add(encode(func(ae *netlink.AttributeEncoder) { _ = encodeDaemon(SyncDaemon{Interface: "lo", ID: 1})(ae) }))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDaemon(b)
		if err != nil {
			return
		}
		again, err := decodeDaemon(encode(func(ae *netlink.AttributeEncoder) { _ = encodeDaemon(d)(ae) }))
		if err != nil || again != d {
			t.Errorf("%+v became %+v, %v", d, again, err)
		}
	})
}
