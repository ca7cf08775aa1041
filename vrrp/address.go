package vrrp

import (
	"net/netip"
	"strconv"
	"strings"
)

// VirtualAddress is an address that a virtual router owns while it is Master.
// It is comparable; two equal values mean the same address in the kernel.
type VirtualAddress struct {
	// Prefix is the address, host bits kept, with its length.
	Prefix netip.Prefix
	// Device is the name of the interface that carries the address.
	Device string
	// Label is the IPv4 address label, such as "eth0:1"; may be empty.
	Label string
	// Scope is one of the kernel's RT_SCOPE values: 0 global, 200 site, 253
	// link, 254 host (include/uapi/linux/rtnetlink.h).
	Scope uint8
	// Broadcast is the IPv4 broadcast address; invalid means none.
	Broadcast netip.Addr
	// Peer is the far end of a point-to-point address; invalid means none.
	Peer netip.Prefix
	// NoDAD leaves out duplicate address detection (IPv6), which would keep
	// the address unusable for a second after a takeover.
	NoDAD bool
	// HomeAddress, ManageTempAddr, NoPrefixRoute and AutoJoin are the flags
	// IFA_F_HOMEADDRESS, IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE and
	// IFA_F_MCAUTOJOIN (include/uapi/linux/if_addr.h).
	HomeAddress, ManageTempAddr, NoPrefixRoute, AutoJoin bool
	// PreferredLifetime is in seconds and counts only with HasLifetime set;
	// without it there is no end. 0 marks the address deprecated: it is
	// answered but not chosen as a source.
	PreferredLifetime uint32
	HasLifetime       bool
	// NoTrack leaves the address alone when somebody else deletes it.
	NoTrack bool
	// TrackGroup names the virtual routers that fault while the address, a
	// static one, cannot be there; empty: none.
	TrackGroup string
}

// Addr is the address without its length.
func (a VirtualAddress) Addr() netip.Addr { return a.Prefix.Addr() }

// String gives the address as ip-address(8) would take it.
func (a VirtualAddress) String() string {
	var b strings.Builder
	b.WriteString(a.Prefix.String())
	if a.Peer.IsValid() {
		b.WriteString(" peer " + a.Peer.String())
	}
	b.WriteString(" dev " + a.Device)
	if a.Label != "" {
		b.WriteString(" label " + a.Label)
	}
	if a.Scope != 0 {
		b.WriteString(" scope " + strconv.Itoa(int(a.Scope)))
	}
	return b.String()
}

// BroadcastOf computes the broadcast address of an IPv4 prefix: the address
// with its host bits set, or cleared when ones is false. It is invalid for
// IPv6 and for prefixes that have no broadcast address, /31 and /32 (RFC 3021).
func BroadcastOf(p netip.Prefix, ones bool) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	if ones {
		for i := p.Bits(); i < 32; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return netip.AddrFrom4(b)
}

// diffAddresses compares two lists: what to take away, in reverse order, and
// what to add, in order. An address with any changed attribute is in both.
func diffAddresses(old, want []VirtualAddress) (remove, add []VirtualAddress) {
	has := make(map[VirtualAddress]bool, len(want))
	for _, a := range want {
		has[a] = true
	}
	had := make(map[VirtualAddress]bool, len(old))
	for _, a := range old {
		had[a] = true
	}
	for i := len(old) - 1; i >= 0; i-- {
		if !has[old[i]] {
			remove = append(remove, old[i])
		}
	}
	for _, a := range want {
		if !had[a] {
			add = append(add, a)
		}
	}
	return remove, add
}
