package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// DefaultAcceptTable is the name of the nftables table when none is given.
const DefaultAcceptTable = "xvip"

// AcceptTable names the nftables table, which has to be nobody else's, and the
// priority of its chain. No name is the default one.
type AcceptTable struct {
	Name     string
	Priority int32
}

// orDefault fills the default in.
func (t AcceptTable) orDefault() AcceptTable {
	if t.Name == "" {
		t.Name = DefaultAcceptTable
	}
	return t
}

// ICMPv6 types that always pass: without neighbour discovery the address would
// not even be found (RFC 9568 §6.1, Accept_Mode; RFC 4861 §4.3, §4.4).
const (
	icmp6NeighborSolicitation  = 135
	icmp6NeighborAdvertisement = 136
)

// AcceptFilter drops packets to virtual addresses whose Master is not to accept
// them (no_accept), by one nftables table for all virtual routers. Forwarding by
// XDP comes before it, IPVS comes after it.
type AcceptFilter struct {
	nl *Netlink

	mu    sync.Mutex
	table AcceptTable
	count map[netip.Addr]int // how many virtual routers deny an address
	made  bool               // the table is, or may be, in the kernel
}

// NewAcceptFilter prepares the filter and removes a table of that name: an
// earlier life has left it.
func NewAcceptFilter(nl *Netlink, table AcceptTable) (*AcceptFilter, error) {
	f := &AcceptFilter{nl: nl, table: table.orDefault(), count: map[netip.Addr]int{}}
	tables, err := f.list()
	if err != nil {
		return nil, err
	}
	f.made = tables
	return f, f.apply()
}

// list tells whether the table is there.
func (f *AcceptFilter) list() (there bool, err error) {
	err = f.nl.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
		for _, t := range tables {
			there = there || t.Name == f.table.Name
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	return there, nil
}

// Move gives the table another name and priority. What is denied stays so
// meanwhile.
func (f *AcceptFilter) Move(to AcceptTable) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	to = to.orDefault()
	if to == f.table {
		return nil
	}
	old := f.table
	f.table = to
	if !f.made {
		return nil
	}
	if err := f.apply(); err != nil || old.Name == to.Name {
		return err
	}
	err := f.nl.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(&nftables.Table{Name: old.Name, Family: nftables.TableFamilyINet})
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("remove nftables table %q: %w", old.Name, err)
	}
	return nil
}

// Deny drops packets to the addresses from now on; one with a zone on that
// interface alone. Addresses that several virtual routers deny are counted.
func (f *AcceptFilter) Deny(addrs []netip.Addr) error { return f.change(addrs, 1) }

// Allow takes Deny back, once.
func (f *AcceptFilter) Allow(addrs []netip.Addr) error { return f.change(addrs, -1) }

// Close allows everything and removes the table.
func (f *AcceptFilter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.count)
	return f.apply()
}

func (f *AcceptFilter) change(addrs []netip.Addr, by int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	differs := false
	for _, a := range addrs {
		before := f.count[a]
		after := max(0, before+by)
		f.count[a] = after
		if after == 0 {
			delete(f.count, a)
		}
		differs = differs || (before == 0) != (after == 0)
	}
	if !differs {
		return nil
	}
	return f.apply()
}

// apply makes the kernel's table anew in one transaction, so that no packet
// sees it half made. The lock is held, or nobody knows f yet.
func (f *AcceptFilter) apply() error {
	if len(f.count) == 0 && !f.made {
		return nil
	}
	err := f.nl.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := &nftables.Table{Name: f.table.Name, Family: nftables.TableFamilyINet}
		c.AddTable(t) // deleting what is not there would fail
		c.DelTable(t)
		if len(f.count) > 0 {
			if err := f.fill(c, c.AddTable(t)); err != nil {
				return err
			}
		}
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("set nftables table %q: %w", f.table.Name, err)
	}
	f.made = len(f.count) > 0
	return nil
}

// fill adds the sets, the chain and its rules.
func (f *AcceptFilter) fill(c *nftables.Conn, t *nftables.Table) error {
	set4 := &nftables.Set{Table: t, Name: "no_accept4", KeyType: nftables.TypeIPAddr}
	set6 := &nftables.Set{Table: t, Name: "no_accept6", KeyType: nftables.TypeIP6Addr}
	var elements4, elements6 []nftables.SetElement
	var zoned []netip.Addr
	for a := range f.count {
		e := nftables.SetElement{Key: a.AsSlice()}
		switch {
		case a.Is4():
			elements4 = append(elements4, e)
		case a.Zone() != "":
			zoned = append(zoned, a)
		default:
			elements6 = append(elements6, e)
		}
	}
	if err := errors.Join(c.AddSet(set4, elements4), c.AddSet(set6, elements6)); err != nil {
		return err
	}
	chain := c.AddChain(&nftables.Chain{Name: "in", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(nftables.ChainPriority(f.table.Priority))})
	for _, icmpType := range []byte{icmp6NeighborSolicitation, icmp6NeighborAdvertisement} {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: acceptICMP6(icmpType)})
	}
	// The destination is at octet 16 of the IPv4 and at 24 of the IPv6 header.
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: dropTo(set4, unix.NFPROTO_IPV4, 16, 4)})
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: dropTo(set6, unix.NFPROTO_IPV6, 24, 16)})
	for _, a := range zoned {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: dropOn(a)})
	}
	return nil
}

// acceptICMP6 ends the chain for an ICMPv6 type.
func acceptICMP6(icmpType byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV6}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{icmpType}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// dropTo drops packets of a family whose destination is in a set.
func dropTo(set *nftables.Set, family byte, offset, length uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// dropOn drops packets to a link-local address on the interface of its zone.
func dropOn(a netip.Addr) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, a.Zone())
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV6}},
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}
