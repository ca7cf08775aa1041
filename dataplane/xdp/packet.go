package xdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// questionSegment is the transport part of a made packet.
func questionSegment(q Question) ([]byte, error) {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, q.Client.Port())
	b = binary.BigEndian.AppendUint16(b, q.Service.Port())
	switch q.Protocol {
	case dataplane.TCP:
		flags := byte(tcpACK)
		if q.Opening {
			flags = tcpSYN
		}
		return append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0), nil
	case dataplane.UDP:
		return append(b, 0, 8, 0, 0), nil
	case dataplane.SCTP:
		chunk := byte(3) // SACK
		if q.Opening {
			chunk = 1 // INIT
		}
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0, chunk, 0, 0, 4), nil
	}
	return nil, fmt.Errorf("explain a packet: protocol %s is none of tcp, udp and sctp", q.Protocol)
}

func frameHeader(to, from net.HardwareAddr, v4 bool) []byte {
	b := append(append([]byte{}, to...), from...)
	if v4 {
		return append(b, 8, 0)
	}
	return append(b, 0x86, 0xdd)
}

// ipPacket puts an IP header before a segment and fills its checksum in.
func ipPacket(src, dst netip.Addr, proto uint8, l4 []byte) []byte {
	if at := map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6}[proto]; at > 0 {
		pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, proto)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(l4)))
		binary.BigEndian.PutUint16(l4[at:], internetSum(append(pseudo, l4...)))
	}
	var h []byte
	if src.Is4() {
		h = []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0}
		h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
		binary.BigEndian.PutUint16(h[10:], internetSum(h))
	} else {
		h = []byte{0x60, 0, 0, 0, 0, 0, proto, 64}
		h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
	}
	return append(h, l4...)
}

// internetSum is RFC 1071's.
func internetSum(b []byte) uint16 {
	var sum uint32
	for i := range b {
		sum += uint32(b[i]) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// frameText says what an Ethernet frame holds, tunnels included.
func frameText(b []byte) string {
	if len(b) < 14 {
		return fmt.Sprintf("%d octets", len(b))
	}
	text := fmt.Sprintf("%s > %s", net.HardwareAddr(b[6:12]), net.HardwareAddr(b[:6]))
	kind, rest := binary.BigEndian.Uint16(b[12:]), b[14:]
	for kind == unix.ETH_P_8021Q || kind == unix.ETH_P_8021AD {
		if len(rest) < 4 {
			return text
		}
		text += fmt.Sprintf(", VLAN %d", binary.BigEndian.Uint16(rest)&0xfff)
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	return text + ", " + packetText(rest)
}

// packetText says what an IP packet holds.
func packetText(b []byte) string {
	var src, dst netip.Addr
	var proto, hops uint8
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && len(b) >= int(b[0]&15)*4:
		src, _ = netip.AddrFromSlice(b[12:16])
		dst, _ = netip.AddrFromSlice(b[16:20])
		proto, hops, b = b[9], b[8], b[int(b[0]&15)*4:]
	case len(b) >= 40 && b[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(b[8:24])
		dst, _ = netip.AddrFromSlice(b[24:40])
		proto, hops, b = b[6], b[7], b[40:]
	default:
		return fmt.Sprintf("%d octets", len(b))
	}
	port := func(a netip.Addr, at int) string {
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[at:])).String()
	}
	outer := fmt.Sprintf("%s > %s, TTL %d", src, dst, hops)
	switch {
	case proto == unix.IPPROTO_IPIP || proto == unix.IPPROTO_IPV6:
		return outer + ", around " + packetText(b)
	case proto == unix.IPPROTO_GRE && len(b) >= 4:
		return outer + ", GRE, around " + packetText(b[min(len(b), 4+int(b[0]>>7)*4):])
	case len(b) >= 4 && (proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP || proto == unix.IPPROTO_SCTP):
		return fmt.Sprintf("%s %s > %s, TTL %d", dataplane.Protocol(proto), port(src, 0), port(dst, 2), hops)
	}
	return fmt.Sprintf("%s, protocol %d", outer, proto)
}
