package vrrp

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
)

// LinkState is what an election and the trackers need to know about an
// interface. The zero state, but for its name, is an interface that does not
// exist.
type LinkState struct {
	Name   string
	Index  int // the kernel's number; changes when the interface is made anew
	Exists bool
	// Up says that the interface is set up and has a carrier (IFF_UP and
	// IFF_RUNNING).
	Up bool
	// Primary4 is the first global IPv4 address that is not virtual; invalid
	// when there is none.
	Primary4 netip.Addr
	// LinkLocal6 is the first IPv6 link-local address that is not virtual and
	// has passed duplicate address detection; invalid when there is none.
	LinkLocal6   netip.Addr
	MTU          int // octets of an IP packet
	HardwareAddr string
	// CanARP is false for loopback and for links without ARP: they are not
	// announced on.
	CanARP bool
}

// MAC gives the hardware address, 6 octets on Ethernet, nil when there is none.
func (s LinkState) MAC() net.HardwareAddr {
	mac, err := net.ParseMAC(s.HardwareAddr)
	if err != nil {
		return nil
	}
	return mac
}

// linkTable is the kernel's links and addresses as the messages told them. It
// is a value without I/O; the LinkMonitor feeds it.
type linkTable struct {
	links   map[int]*linkEntry
	byName  map[string]int
	seq     uint64
	virtual map[netip.Addr]bool
}

type linkEntry struct {
	state LinkState // without its addresses; no name: not told of yet
	addrs map[netip.Prefix]addrEntry
}

// addrEntry is what decides whether an address can be the primary one.
type addrEntry struct {
	seq       uint64 // order of appearance
	secondary bool   // IFA_F_SECONDARY: a second address of the same IPv4 subnet
	usable    bool   // global IPv4, or link-local IPv6 after DAD
	tentative bool   // IPv6 before DAD, or DAD has failed
}

func newLinkTable() *linkTable {
	return &linkTable{links: map[int]*linkEntry{}, byName: map[string]int{}}
}

// setLink adds or changes a link and gives the names that are concerned: two
// after a change of name.
func (t *linkTable) setLink(s LinkState) []string {
	names := []string{s.Name}
	e := t.links[s.Index]
	if e == nil {
		e = &linkEntry{addrs: map[netip.Prefix]addrEntry{}}
		t.links[s.Index] = e
	} else if e.state.Name != "" && e.state.Name != s.Name {
		names = append(names, e.state.Name)
		t.forgetName(e.state.Name, s.Index)
	}
	e.state = s
	t.byName[s.Name] = s.Index
	return names
}

// deleteLink forgets a link and its addresses.
func (t *linkTable) deleteLink(index int) []string {
	e := t.links[index]
	if e == nil {
		return nil
	}
	delete(t.links, index)
	t.forgetName(e.state.Name, index)
	return e.names()
}

// forgetName drops a name unless another link has taken it.
func (t *linkTable) forgetName(name string, index int) {
	if t.byName[name] == index {
		delete(t.byName, name)
	}
}

// setAddr adds or changes an address. Links and addresses come by different
// sockets: an address may be told of before its link.
func (t *linkTable) setAddr(index int, p netip.Prefix, a addrEntry) []string {
	e := t.links[index]
	if e == nil {
		e = &linkEntry{addrs: map[netip.Prefix]addrEntry{}}
		t.links[index] = e
	}
	if old, ok := e.addrs[p]; ok {
		a.seq = old.seq
	} else {
		t.seq++
		a.seq = t.seq
	}
	e.addrs[p] = a
	return e.names()
}

// deleteAddr forgets an address.
func (t *linkTable) deleteAddr(index int, p netip.Prefix) []string {
	e := t.links[index]
	if e == nil {
		return nil
	}
	delete(e.addrs, p)
	if e.state.Name == "" && len(e.addrs) == 0 {
		delete(t.links, index)
	}
	return e.names()
}

// names is empty while the link is not told of.
func (e *linkEntry) names() []string {
	if e.state.Name == "" {
		return nil
	}
	return []string{e.state.Name}
}

// hasAddr tells whether an interface carries an address.
func (t *linkTable) hasAddr(name string, p netip.Prefix) bool {
	e := t.links[t.byName[name]]
	if e == nil {
		return false
	}
	_, ok := e.addrs[p]
	return ok
}

// hasIP tells whether an interface, or without a name any, carries an address, of
// any length, that can be sent from.
func (t *linkTable) hasIP(name string, a netip.Addr) bool {
	if name == "" {
		for name := range t.byName {
			if t.hasIP(name, a) {
				return true
			}
		}
		return false
	}
	e := t.links[t.byName[name]]
	if e == nil {
		return false
	}
	for p, entry := range e.addrs {
		if p.Addr() == a && !entry.tentative {
			return true
		}
	}
	return false
}

// state computes the state of an interface.
func (t *linkTable) state(name string) LinkState {
	index, ok := t.byName[name]
	if !ok {
		return LinkState{Name: name}
	}
	e := t.links[index]
	s := e.state
	s.Exists = true
	s.Primary4 = t.first(e, netip.Addr.Is4)
	s.LinkLocal6 = t.first(e, netip.Addr.Is6)
	return s
}

// first chooses among the usable addresses of a family: those that are not
// secondary before the others, then the one that came first.
func (t *linkTable) first(e *linkEntry, family func(netip.Addr) bool) netip.Addr {
	type candidate struct {
		addr netip.Addr
		addrEntry
	}
	var list []candidate
	for p, a := range e.addrs {
		if a.usable && family(p.Addr()) && !t.virtual[p.Addr()] {
			list = append(list, candidate{p.Addr(), a})
		}
	}
	if len(list) == 0 {
		return netip.Addr{}
	}
	return slices.MinFunc(list, func(a, b candidate) int {
		if a.secondary != b.secondary {
			if a.secondary {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.seq, b.seq)
	}).addr
}

// names gives all names, sorted.
func (t *linkTable) names() []string {
	list := make([]string, 0, len(t.byName))
	for name := range t.byName {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
