package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// scopes of addresses and routes (RT_SCOPE_* in linux/rtnetlink.h).
var scopes = map[string]uint8{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

// addressItem reads one line in the language of ip-address(8).
func (b *binder) addressItem(c *call) {
	w := c.st.words
	p, ok := b.prefix(c, w[0])
	if !ok {
		return
	}
	a := VirtualIPAddress{Pos: c.st.pos(), Prefix: p, PreferredLft: Forever}
	if p.Addr().Is6() && p.Bits() == 128 {
		a.PreferredLft = 0 // so that it is not chosen as a source address
	}
	_, static := c.obj.(*Config)
	for i := 1; i < len(w); {
		used, ok := b.addressOption(c, &a, w[i:], static)
		if !ok {
			return
		}
		i += used
	}
	if static {
		b.cfg.StaticAddresses = append(b.cfg.StaticAddresses, &a)
		return
	}
	list := c.field.Addr().Interface().(*[]VirtualIPAddress)
	*list = append(*list, a)
}

// prefix reads IP[/LEN]; without a length the whole address counts.
func (b *binder) prefix(c *call, w word) (netip.Prefix, bool) {
	addr, length, has := strings.Cut(w.text, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		b.warn(c, w, "bad address %q; expected IP[/LEN]%s; the line is ignored", printable(w.text), placeholder(w.text))
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	n := uint64(a.BitLen())
	if has {
		if n, err = strconv.ParseUint(length, 10, 8); err != nil || int(n) > a.BitLen() {
			b.warn(c, w, "bad prefix length in %q; expected 0 to %d; %[2]d is used", printable(w.text), a.BitLen())
			n = uint64(a.BitLen())
		}
	}
	return netip.PrefixFrom(a, int(n)), true
}

// addressOption takes one option and says how many words it used.
func (b *binder) addressOption(c *call, a *VirtualIPAddress, w []word, static bool) (int, bool) {
	flags := map[string]*bool{"use_vmac": &a.UseVMAC, "home": &a.Home, "-nodad": &a.NoDAD, "mngtmpaddr": &a.MngTmpAddr,
		"noprefixroute": &a.NoPrefixRoute, "autojoin": &a.AutoJoin, "no_track": &a.NoTrack}
	if f := flags[w[0].text]; f != nil {
		*f = true
		return 1, true
	}
	if len(w) < 2 {
		return 1, b.badOption(c, w[0])
	}
	val := w[1]
	ok := true
	switch w[0].text {
	case "dev":
		if ok = b.interfaceName(c, val); ok {
			a.Dev = strings.Clone(val.text)
			b.note(a.Pos, "dev", c.st.at(val))
		}
	case "label":
		a.Label = strings.Clone(val.text)
		if len(a.Label) > maxInterface {
			b.warn(c, val, "label %q is too long; expected at most %d characters; the address is ignored", printable(val.text), maxInterface)
			ok = false
		}
	case "scope":
		ok = b.scope(c, val, &a.Scope)
	case "brd", "broadcast":
		if val.text == "+" || val.text == "-" {
			a.BrdAuto = strings.Clone(val.text)
		} else {
			a.Brd, ok = b.address(c, val, 4)
		}
	case "peer":
		a.Peer, ok = b.prefix(c, val)
	case "preferred_lft":
		if val.text == "forever" {
			a.PreferredLft = Forever
		} else if n, good := b.number(c, val, 0, 1<<32-1); good {
			a.PreferredLft = uint32(n)
		}
	case "track_group":
		if !static {
			return 1, b.badOption(c, w[0])
		}
		a.TrackGroup = strings.Clone(val.text)
	default:
		return 1, b.badOption(c, w[0])
	}
	return 2, ok
}

// badOption reports a word of an address that is not understood. The address
// is kept, as keepalived does.
func (b *binder) badOption(c *call, w word) bool {
	hint := ""
	if _, err := netip.ParsePrefix(w.text); err == nil {
		hint = "; one address a line"
	} else if _, err := netip.ParseAddr(w.text); err == nil {
		hint = "; one address a line"
	}
	b.warn(c, w, "%q is not understood%s; expected brd, dev, use_vmac, scope, label, peer, home, -nodad, mngtmpaddr, noprefixroute, autojoin, no_track or preferred_lft", printable(w.text), hint)
	return true
}

func (b *binder) scope(c *call, w word, to *uint8) bool {
	if s, ok := scopes[w.text]; ok {
		*to = s
		return true
	}
	if n, err := strconv.ParseUint(w.text, 10, 8); err == nil {
		*to = uint8(n)
		return true
	}
	b.warn(c, w, "unknown scope %q; expected global, site, link, host, nowhere or a number up to 255", printable(w.text))
	return true
}
