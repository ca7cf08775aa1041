package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Types of MLD messages of a host (RFC 2710 §3, RFC 3810 §5).
const (
	mldReport1 = 131
	mldDone    = 132
	mldReport2 = 143
)

// quietTable names the nftables table of an interface of a virtual MAC.
func quietTable(device string) string { return "xvip_" + device }

// quiet drops what the kernel says of multicast groups by the interface of a
// virtual MAC: a Backup that joins, or a former Master that leaves, would have
// switches believe that the virtual MAC is behind its port, until the Master's
// next advertisement. The table is made anew in one transaction.
func (v *VirtualLinks) quiet(device string) error {
	return v.changeQuiet(device, func(c *nftables.Conn, t *nftables.Table) {
		c.AddTable(t)
		chain := c.AddChain(&nftables.Chain{Name: "out", Table: t, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: dropSaid(device, unix.IPPROTO_IGMP)})
		for _, kind := range []byte{mldReport1, mldDone, mldReport2} {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: dropSaid(device, unix.IPPROTO_ICMPV6,
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind}})})
		}
	})
}

// unquiet takes quiet back.
func (v *VirtualLinks) unquiet(device string) error {
	return v.changeQuiet(device, func(*nftables.Conn, *nftables.Table) {})
}

func (v *VirtualLinks) changeQuiet(device string, fill func(*nftables.Conn, *nftables.Table)) error {
	err := v.nl.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := &nftables.Table{Name: quietTable(device), Family: nftables.TableFamilyINet}
		c.AddTable(t) // deleting what is not there would fail
		c.DelTable(t)
		fill(c, t)
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("set nftables table %q: %w", quietTable(device), err)
	}
	return nil
}

// dropSaid drops packets of a protocol that leave by a device, if what more says
// is so too.
func dropSaid(device string, protocol byte, more ...expr.Any) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, device)
	return slices.Concat([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}, more, []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}})
}

// membership is a multicast group that the parent of a virtual MAC joins in its
// place: switches that watch groups hear of it by the parent's MAC.
type membership struct {
	index int
	group netip.Addr
}

// memberships holds a socket for each group that is joined.
type memberships struct {
	nl     *Netlink
	joined map[membership]int
}

// set joins and leaves until want is what is joined. What cannot be joined is in
// the error, and tried again the next time.
func (m *memberships) set(want []membership) error {
	var errs []error
	for have, fd := range m.joined {
		if !slices.Contains(want, have) {
			errs = append(errs, unix.Close(fd))
			delete(m.joined, have)
		}
	}
	for _, w := range want {
		if _, ok := m.joined[w]; ok {
			continue
		}
		fd, err := m.join(w)
		if err != nil {
			errs = append(errs, fmt.Errorf("join %s on interface %d: %w", w.group, w.index, err))
			continue
		}
		m.joined[w] = fd
	}
	return errors.Join(errs...)
}

func (m *memberships) join(w membership) (fd int, err error) {
	family := unix.AF_INET
	if w.group.Is6() {
		family = unix.AF_INET6
	}
	err = m.nl.Do(func() error {
		if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		if w.group.Is4() {
			err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: w.group.As4(), Ifindex: int32(w.index)})
		} else {
			err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: w.group.As16(), Interface: uint32(w.index)})
		}
		if err != nil {
			return errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
		}
		return nil
	})
	return fd, err
}

// solicitedNode gives the group by which neighbours ask for an IPv6 address
// (RFC 4291 §2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}
