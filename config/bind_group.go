package config

import (
	"net/netip"
	"strconv"
	"strings"
)

func (b *binder) openGroup(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.groups[n] != nil })
	if !ok {
		return nil
	}
	g := &VirtualServerGroup{Pos: c.st.pos(), Name: name}
	b.groups[name] = g
	b.cfg.VirtualServerGroups = append(b.cfg.VirtualServerGroups, g)
	return g
}

func (b *binder) groupItem(c *call) {
	g := c.obj.(*VirtualServerGroup)
	w := c.st.words
	if w[0].text == "fwmark" {
		if len(w) < 2 {
			b.fail(c, "the mark is missing; expected fwmark N [inet|inet6]")
			return
		}
		n, ok := b.number(c, w[1], 1, 1<<32-1)
		if !ok {
			return
		}
		m := GroupFWMark{Pos: c.st.pos(), Mark: uint32(n)}
		if len(w) > 2 {
			if m.Family, ok = b.familyWord(c, w[2]); !ok {
				return
			}
		}
		g.FWMarks = append(g.FWMarks, m)
		return
	}
	r, ok := b.addressRange(c, w[0])
	if !ok {
		return
	}
	if len(w) > 1 {
		n, ok := b.number(c, w[1], 0, 65535)
		if !ok {
			return
		}
		r.Port = uint16(n)
	}
	g.Addresses = append(g.Addresses, r)
}

// addressRange reads A, A-B, A-N (the last part of A goes up to N) and A/LEN.
func (b *binder) addressRange(c *call, w word) (AddressRange, bool) {
	r := AddressRange{Pos: c.st.at(w)}
	bad := func(why string) (AddressRange, bool) {
		b.warn(c, w, "bad address range %q: %s; expected IP, IP-IP, IP-END or IP/LEN", printable(w.text), why)
		return r, false
	}
	if strings.Contains(w.text, "/") {
		p, err := netip.ParsePrefix(w.text)
		if err != nil {
			return bad("it is not a prefix")
		}
		r.First, r.Last = p.Addr(), lastOf(p)
	} else if first, last, ok := strings.Cut(w.text, "-"); ok {
		a, err := netip.ParseAddr(first)
		if err != nil {
			return bad("the first address is wrong")
		}
		z, ok := rangeEnd(a, last)
		if !ok {
			return bad("the end is wrong")
		}
		r.First, r.Last = a, z
	} else {
		a, ok := b.address(c, w, 0)
		if !ok {
			return r, false
		}
		r.First, r.Last = a, a
	}
	if r.Last.Less(r.First) || familyOf(r.First) != familyOf(r.Last) {
		return bad("the end lies before the start")
	}
	return r, true
}

func rangeEnd(a netip.Addr, last string) (netip.Addr, bool) {
	if z, err := netip.ParseAddr(last); err == nil {
		return z, true
	}
	raw := a.AsSlice()
	if a.Is4() {
		n, err := strconv.ParseUint(last, 10, 8)
		if err != nil {
			return a, false
		}
		raw[3] = byte(n)
	} else {
		n, err := strconv.ParseUint(last, 16, 16)
		if err != nil {
			return a, false
		}
		raw[14], raw[15] = byte(n>>8), byte(n)
	}
	z, _ := netip.AddrFromSlice(raw)
	return z, true
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := range raw {
		if host := (i+1)*8 - p.Bits(); host >= 8 {
			raw[i] = 0xff
		} else if host > 0 {
			raw[i] |= 1<<host - 1
		}
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
