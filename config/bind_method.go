package config

import "strings"

const methodSyntax = "NAT|DR|TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]"

func (b *binder) method(c *call) {
	if m, ok := b.parseMethod(c); ok {
		*c.field.Addr().Interface().(*LVSMethod) = m
	}
}

func (b *binder) sorryMethod(c *call) {
	if m, ok := b.parseMethod(c); ok {
		b.sorryMethods[c.obj.(*VirtualServer)] = m
	}
}

func (b *binder) parseMethod(c *call) (LVSMethod, bool) {
	args := c.st.args()
	var m LVSMethod
	switch kind := args[0].text; kind {
	case "NAT":
		m.Kind = "NAT"
	case "DR":
		m.Kind = "DR"
	case "TUN":
		m.Kind, m.TunnelType = "TUN", "ipip"
	default:
		b.warn(c, args[0], "unknown forwarding method %q; expected NAT, DR or TUN", printable(kind))
		return m, false
	}
	if m.Kind != "TUN" {
		b.surplus(c, 1)
		return m, true
	}
	for i := 1; i < len(args); i++ {
		switch w := args[i]; {
		case w.text == "type" && i+1 < len(args):
			i++
			switch t := args[i].text; t {
			case "ipip", "gue", "gre":
				m.TunnelType = strings.Clone(t)
			default:
				b.warn(c, args[i], "unknown tunnel type %q; expected ipip, gue or gre", printable(t))
				return m, false
			}
		case w.text == "port" && i+1 < len(args):
			i++
			n, ok := b.number(c, args[i], 1, 65535)
			if !ok {
				return m, false
			}
			m.TunnelPort = uint16(n)
		case w.text == "csum" || w.text == "nocsum" || w.text == "remcsum":
			m.Checksum = strings.Clone(w.text)
		default:
			b.warn(c, w, "%q is not understood; expected %s", printable(w.text), methodSyntax)
			return m, false
		}
	}
	return b.checkTunnel(c, m)
}

func (b *binder) checkTunnel(c *call, m LVSMethod) (LVSMethod, bool) {
	switch {
	case m.TunnelType == "gue" && m.TunnelPort == 0:
		b.warnAt(c, "a gue tunnel needs a port; expected %s", methodSyntax)
		return m, false
	case m.TunnelType != "gue" && m.TunnelPort != 0:
		b.warnAt(c, "only a gue tunnel has a port; it is ignored")
		m.TunnelPort = 0
	case m.TunnelType == "ipip" && m.Checksum != "", m.TunnelType == "gre" && m.Checksum == "remcsum":
		b.warnAt(c, "%s is not possible with %s; it is ignored", m.Checksum, m.TunnelType)
		m.Checksum = ""
	}
	if m.TunnelType != "ipip" && m.Checksum == "" {
		m.Checksum = "nocsum"
	}
	return m, true
}
