package xdp

import (
	"encoding/binary"
	"net/netip"
)

// XDP's answers (include/uapi/linux/bpf.h).
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// frame builds an Ethernet frame with an IPv4 packet. The zero value of each
// field is something plain.
type frame struct {
	src, dst     string // default 192.0.2.10, 192.0.2.100
	sport, dport uint16 // default 40000, 80
	udp          bool
	flags        byte   // TCP; default SYN
	fragment     uint16 // flags and offset as on the wire
	options      int    // octets of IP options
	etherType    uint16 // default IPv4
	protocol     byte   // default by udp
	payload      int
	totalLength  int // default what it is
	cut          int // octets taken off the end of the frame
	ihl          byte
}

const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (f frame) bytes() []byte {
	l4 := 20
	proto := byte(6)
	if f.udp {
		l4, proto = 8, 17
	}
	ip := make([]byte, 20+f.options, 128+f.payload)
	ip[0] = 0x40 | or(f.ihl, byte(5+f.options/4))
	binary.BigEndian.PutUint16(ip[2:], uint16(or(f.totalLength, len(ip)+l4+f.payload)))
	binary.BigEndian.PutUint16(ip[6:], f.fragment)
	ip[8], ip[9] = 64, or(f.protocol, proto)
	copy(ip[12:], netip.MustParseAddr(or(f.src, "192.0.2.10")).AsSlice())
	copy(ip[16:], netip.MustParseAddr(or(f.dst, "192.0.2.100")).AsSlice())
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	t := make([]byte, l4)
	binary.BigEndian.PutUint16(t, or(f.sport, 40000))
	binary.BigEndian.PutUint16(t[2:], or(f.dport, 80))
	if f.udp {
		binary.BigEndian.PutUint16(t[4:], uint16(l4+f.payload))
	} else {
		t[12], t[13] = 0x50, or(f.flags, syn)
	}
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0, 0}
	binary.BigEndian.PutUint16(b[12:], or(f.etherType, 0x0800))
	b = append(append(append(b, ip...), t...), make([]byte, f.payload)...)
	return b[:len(b)-f.cut]
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
