package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// A packet is built from the inside out: transport, IP, frame. Checksums are
// right, so that a test sees when the program spoils one.

func port(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }

func tcp(sport, dport uint16, flags byte, payload ...byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[12], b[13] = 0x50, flags
	return append(b, payload...)
}

func udp(sport, dport uint16, payload ...byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

// sctp is a common header and one chunk of a type; its checksum nobody looks at.
func sctp(sport, dport uint16, chunk byte) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[12], b[15] = chunk, 4
	return b
}

// icmpError quotes a packet.
func icmpError(kind, code byte, quoted []byte) []byte {
	return append([]byte{kind, code, 0, 0, 0, 0, 5, 0x78}, quoted...)
}

// checksumAt is where a protocol has its checksum; below 0: nowhere.
func checksumAt(proto byte) int {
	switch proto {
	case 6:
		return 16
	case 17:
		return 6
	case 1, 58:
		return 2
	}
	return -1
}

// sumL4 gives the checksum of a transport header and payload, whose own field
// counts as it is.
func sumL4(src, dst netip.Addr, proto byte, l4 []byte) uint16 {
	var b []byte
	if proto != 1 {
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		b = binary.BigEndian.AppendUint16(append(b, 0, proto), uint16(len(l4)))
	}
	b = append(b, l4...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	return checksum(b)
}

// ip makes the packet of either family, with the transport's checksum filled in.
func ip(src, dst string, proto byte, l4 []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	l4 = append([]byte{}, l4...)
	if at := checksumAt(proto); at >= 0 && len(l4) > at+1 {
		binary.BigEndian.PutUint16(l4[at:], sumL4(s, d, proto, l4))
	}
	if s.Is6() {
		b := make([]byte, 40)
		b[0], b[6], b[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(l4)))
		copy(b[8:], s.AsSlice())
		copy(b[24:], d.AsSlice())
		return append(b, l4...)
	}
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
	copy(b[12:], s.AsSlice())
	copy(b[16:], d.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, l4...)
}

// fragmented sets the IPv4 fragment field; the checksum follows.
func fragmented(p []byte, id, field uint16) []byte {
	p = append([]byte{}, p...)
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], field)
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	return p
}

// extended puts extension headers between an IPv6 header and its transport: each
// is a type and the octets after the first.
func extended(p []byte, headers ...[]byte) []byte {
	out := append([]byte{}, p[:40]...)
	at := 6
	for _, h := range headers {
		out[at] = h[0]
		at = len(out)
		out = append(out, append([]byte{0}, h[1:]...)...)
	}
	out[at] = p[6]
	out = append(out, p[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

// ethernet makes a frame of a packet, with VLAN tags from the outside in.
func ethernet(p []byte, tags ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, t := range tags {
		b = append(b, 0x81, 0, byte(t>>8), byte(t))
	}
	if p[0]>>4 == 6 {
		b = append(b, 0x86, 0xdd)
	} else {
		b = append(b, 8, 0)
	}
	return append(b, p...)
}

// describe tells what is in a frame, one layer after the other, and what is wrong
// with its lengths and checksums.
func describe(frame []byte) string {
	var out []string
	out = append(out, fmt.Sprintf("to %x", frame[5]))
	at := 12
	for port(frame, at) == 0x8100 || port(frame, at) == 0x88a8 {
		out = append(out, fmt.Sprintf("vlan %d", port(frame, at+2)&0xfff))
		at += 4
	}
	return strings.Join(append(out, describeIP(port(frame, at), frame[at+2:])...), ", ")
}

func describeIP(etherType uint16, p []byte) []string {
	switch etherType {
	case 0x0800:
		return describe4(p)
	case 0x86dd:
		return describe6(p)
	}
	return []string{fmt.Sprintf("EtherType %04x", etherType)}
}

func describe4(p []byte) []string {
	h := int(p[0]&15) * 4
	src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	out := []string{fmt.Sprintf("%s > %s ttl %d", src, dst, p[8])}
	if int(port(p, 2)) != len(p) {
		out = append(out, fmt.Sprintf("WRONG LENGTH %d of %d", port(p, 2), len(p)))
	}
	if checksum(p[:h]) != 0 {
		out = append(out, "WRONG HEADER CHECKSUM")
	}
	if field := port(p, 6); field&0x1fff != 0 {
		return append(out, "later fragment")
	} else if field&0x2000 != 0 {
		return append(out, "first fragment", fmt.Sprintf("%d > %d", port(p, h), port(p, h+2)))
	}
	return append(out, describeL4(src, dst, p[9], p[h:])...)
}

func describe6(p []byte) []string {
	src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	out := []string{fmt.Sprintf("%s > %s hops %d", src, dst, p[7])}
	if int(port(p, 4)) != len(p)-40 {
		out = append(out, fmt.Sprintf("WRONG LENGTH %d of %d", port(p, 4), len(p)-40))
	}
	return append(out, describeL4(src, dst, p[6], p[40:])...)
}

func describeL4(src, dst netip.Addr, proto byte, l4 []byte) []string {
	var out []string
	if at := checksumAt(proto); at >= 0 && (proto != 17 || port(l4, 6) != 0) && sumL4(src, dst, proto, l4) != 0 {
		out = append(out, "WRONG CHECKSUM")
	}
	switch proto {
	case 4:
		return append(append(out, "IPIP"), describe4(l4)...)
	case 41:
		return append(append(out, "IPIP"), describe6(l4)...)
	case 47:
		return append(append(out, "GRE"), describeIP(port(l4, 2), l4[4:])...)
	case 1, 58:
		return append(out, fmt.Sprintf("ICMP %d/%d", l4[0], l4[1]))
	case 6:
		return append(out, fmt.Sprintf("TCP %d > %d", port(l4, 0), port(l4, 2)))
	case 132:
		return append(out, fmt.Sprintf("SCTP %d > %d", port(l4, 0), port(l4, 2)))
	case 17:
		if port(l4, 2) == gueTestPort {
			return append(append(out, "GUE"), describeL4(src, dst, l4[9], l4[12:])...)
		}
		return append(out, fmt.Sprintf("UDP %d > %d", port(l4, 0), port(l4, 2)))
	}
	return append(out, fmt.Sprintf("protocol %d", proto))
}

// gueTestPort marks GUE in what the tests describe.
const gueTestPort = 6080

func netip4(s string) netip.Addr { return netip.MustParseAddr(s) }
