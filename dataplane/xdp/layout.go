package xdp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// The maps hold addresses and ports as they are in packets, and this machine
// reads them as words of its own order.

// addrWords gives an address; IPv4 is the IPv4-mapped one.
func addrWords(a netip.Addr) (w [4]uint32) {
	b := a.As16()
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

func wordsAddr(w [4]uint32) netip.Addr {
	return netip.AddrFrom16(wordsBytes(w)).Unmap()
}

func wordsBytes(w [4]uint32) (b [16]byte) {
	for i := range w {
		binary.NativeEndian.PutUint32(b[4*i:], w[i])
	}
	return b
}

// maskWords gives the mask of a prefix, as IPv6 has addresses.
func maskWords(p netip.Prefix) [4]uint32 {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return addrWords(netip.AddrFrom16([16]byte(net.CIDRMask(bits, 128))))
}

// swap16 gives a port in the other order.
func swap16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func mapKey(k dataplane.Key) bpfServiceKey {
	return bpfServiceKey{Addr: addrWords(k.Address), Port: swap16(k.Port), Proto: uint8(k.Protocol)}
}

func unmapKey(k bpfServiceKey) dataplane.Key {
	return dataplane.Key{Address: wordsAddr(k.Addr), Port: swap16(k.Port), Protocol: dataplane.Protocol(k.Proto)}
}

func realKey(r bpfReal) dataplane.RealKey {
	return dataplane.RealKey{Address: wordsAddr(r.Addr), Port: swap16(r.Port)}
}

func unmapReal(r bpfReal) dataplane.RealServer {
	rs := dataplane.RealServer{Address: wordsAddr(r.Addr), Port: swap16(r.Port), Method: dataplane.Method(r.Method), Weight: r.Weight}
	if rs.Method == dataplane.TUN {
		rs.Tunnel = dataplane.Tunnel{Type: dataplane.TunnelType(r.Tunnel), Port: swap16(r.TunnelPort)}
	}
	return rs
}

// stateless says that the program needs no connection: the packet alone says
// which server. Replies of NAT are known by their connection.
func stateless(s dataplane.VirtualService) bool {
	if !disciplines[s.Scheduler].hashed || s.Persistence != 0 {
		return false
	}
	for _, r := range s.RealServers {
		if r.Method == dataplane.NAT && !r.Address.IsLoopback() {
			return false
		}
	}
	return true
}

// prefix gives the length of the client networks that persistence puts together.
func prefix(s dataplane.VirtualService) uint8 {
	if s.PersistenceBits != 0 {
		return s.PersistenceBits
	}
	return uint8(s.Address.BitLen())
}

// networkMask gives the mask of the network of a client, as IPv6 has addresses.
func networkMask(s dataplane.VirtualService) [4]uint32 {
	return maskWords(netip.PrefixFrom(s.Address, min(int(prefix(s)), s.Address.BitLen())))
}

// mapService gives the entry of a service but for its number and ring.
func (t *tables) mapService(s dataplane.VirtualService) bpfService {
	v := bpfService{Schedule: uint8(disciplines[s.Scheduler].schedule), IpvsFlags: uint8(s.Flags), Prefix: prefix(s), Mask: networkMask(s), Limit: s.NewConnections}
	for flag, on := range map[bpfServiceFlags]bool{
		bpfServiceFlagsSERVICE_ACTIVE:     s.Active,
		bpfServiceFlagsSERVICE_STATELESS:  stateless(s),
		bpfServiceFlagsSERVICE_ONE_PACKET: s.OnePacket,
		bpfServiceFlagsSERVICE_PORT_HASH:  s.Flags&dataplane.SchedFlag2 != 0,
	} {
		if on {
			v.Flags |= uint32(flag)
		}
	}
	if s.Persistence > 0 {
		v.Persistence = t.clock.ticks(s.Persistence)
		v.PersistenceSeconds = seconds(s.Persistence)
	}
	copy(v.Scheduler[:], s.Scheduler)
	return v
}

func unmapService(k dataplane.Key, v bpfService) dataplane.VirtualService {
	return dataplane.VirtualService{Key: k,
		Active: v.Flags&uint32(bpfServiceFlagsSERVICE_ACTIVE) != 0, OnePacket: v.Flags&uint32(bpfServiceFlagsSERVICE_ONE_PACKET) != 0,
		Scheduler: dataplane.Scheduler(strings.TrimRight(string(v.Scheduler[:]), "\x00")), Flags: dataplane.SchedulerFlags(v.IpvsFlags),
		Persistence: time.Duration(v.PersistenceSeconds) * time.Second, PersistenceBits: v.Prefix,
		NewConnections: v.Limit}
}

// outerSum gives what the outer IPv4 header of a tunnel always sums to: version,
// don't fragment, and the addresses (RFC 791 section 3.1).
func outerSum(r bpfReal) uint16 {
	src, dst := r.TunnelSource[3], r.Addr[3]
	return onesSum(swap16(0x4500), swap16(0x4000), uint16(src), uint16(src>>16), uint16(dst), uint16(dst>>16))
}

// onesSum gives the one's complement sum of 16-bit words as they are in the
// packet.
func onesSum(words ...uint16) uint16 {
	var sum uint32
	for _, w := range words {
		sum += uint32(w)
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// difference gives what a checksum changes by when from becomes to: the sum of
// ~from and to (RFC 1624 equation 3).
func difference(from, to [4]uint32) uint16 {
	var words []uint16
	for i := range from {
		words = append(words, uint16(^from[i]), uint16(^from[i]>>16), uint16(to[i]), uint16(to[i]>>16))
	}
	return onesSum(words...)
}
