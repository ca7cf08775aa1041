package config

import (
	"net/netip"
	"strings"
	"time"
)

func (b *binder) reloadCheck(c *call) {
	b.cfg.Global.ReloadCheckConfig = true
	if args := c.st.args(); len(args) > 0 {
		b.cfg.Global.ReloadCheckLog = strings.Clone(args[0].text)
	}
	b.surplus(c, 1)
}

func (b *binder) reloadFile(c *call) {
	b.cfg.Global.HasReloadFile = true
	if args := c.st.args(); len(args) > 0 {
		b.cfg.Global.ReloadFile = strings.Clone(args[0].text)
	}
	b.surplus(c, 1)
}

func (b *binder) netNamespaceIPVS(c *call) {
	b.cfg.Global.HasNetNamespaceIPVS = true
	if args := c.st.args(); len(args) > 0 {
		b.cfg.Global.NetNamespaceIPVS = strings.Clone(args[0].text)
	}
	b.surplus(c, 1)
}

// includeCheck sets which missing includes are errors from here on.
func (b *binder) includeCheck(c *call) {
	pre := b.lex.pre
	args := c.st.args()
	if len(args) == 0 {
		pre.check = checkAll
	} else if first := args[0].text; !strings.HasPrefix(first, "+") && !strings.HasPrefix(first, "-") {
		pre.check = 0
	}
	adding := true
	for _, a := range args {
		name := a.text
		switch {
		case strings.HasPrefix(name, "+"):
			name, adding = name[1:], true
		case strings.HasPrefix(name, "-"):
			name, adding = name[1:], false
		}
		if name == "" {
			continue
		}
		bits, ok := includeChecks[name]
		switch {
		case !ok:
			b.warn(c, a, "unknown check %q; expected readable, match, wildcard_match or brace_match", printable(name))
		case adding:
			pre.check |= bits
		case name == "readable":
			pre.check = 0
		default:
			pre.check &^= bits &^ checkReadable
		}
	}
	b.cfg.Global.IncludeCheck = pre.check.names()
}

func (k includeCheck) names() []string {
	names := []string{}
	for _, n := range []string{"readable", "match", "wildcard_match", "brace_match"} {
		if bits := includeChecks[n]; k&bits == bits {
			names = append(names, n)
		}
	}
	return names
}

func (b *binder) linkbeatItem(c *call) {
	w := c.st.words
	if !b.interfaceName(c, w[0]) {
		return
	}
	l := LinkbeatInterface{Pos: c.st.pos(), Name: strings.Clone(w[0].text)}
	if len(w) > 1 {
		switch w[1].text {
		case "MII", "ETHTOOL", "IOCTL":
			l.Type = strings.Clone(w[1].text)
		default:
			b.warn(c, w[1], "unknown link test %q; expected MII, ETHTOOL or IOCTL", printable(w[1].text))
		}
	}
	b.cfg.LinkbeatInterfaces = append(b.cfg.LinkbeatInterfaces, l)
}

func (b *binder) upDownItem(c *call) {
	w := c.st.words
	if len(w) < 2 {
		b.warn(c, w[0], "the delay is missing; expected %s", c.row.args.syntax)
		return
	}
	d := InterfaceUpDownDelay{Pos: c.st.pos(), Name: strings.Clone(w[0].text)}
	var ok bool
	if d.Down, ok = b.durationIn(c, w[1], 0, 255, 1e9); !ok {
		return
	}
	d.Up = d.Down
	if len(w) > 2 {
		if d.Up, ok = b.durationIn(c, w[2], 0, 255, 1e9); !ok {
			return
		}
	}
	b.cfg.InterfaceUpDownDelays = append(b.cfg.InterfaceUpDownDelays, d)
}

// garpExtraIf reads [all] SECS, for global_defs and for an instance.
func (b *binder) garpExtraIf(c *call) {
	args := c.st.args()
	all := args[0].text == "all"
	n := 0
	if all {
		n = 1
	}
	if len(args) <= n {
		b.warnAt(c, "the time is missing; expected %s; the line is ignored", c.row.usage())
		return
	}
	d, ok := b.durationIn(c, args[n], 0, 86400, 1e9)
	if !ok {
		return
	}
	d = d.Truncate(time.Second)
	if v, inst := c.obj.(*VRRPInstance); inst {
		v.GARPExtraIf, v.GARPExtraIfAll = d, all
	} else {
		b.cfg.Global.VRRPGARPExtraIf, b.cfg.Global.VRRPGARPExtraIfAll = d, all
	}
	b.surplus(c, n+1)
}

// randomSeed makes the numbers of ${_RANDOM} the same each time, from here on.
func (b *binder) randomSeed(c *call) {
	n, ok := b.number(c, c.st.args()[0], 0, 1<<32-1)
	if !ok {
		return
	}
	b.cfg.Global.RandomSeed = int64(n)
	b.lex.pre.rand.Seed(int64(n))
	b.surplus(c, 1)
}

// newConnectionLimit reads the limit of all services, or of one.
func (b *binder) newConnectionLimit(c *call) {
	args := c.st.args()
	x := &b.cfg.XVIP
	if len(args) == 1 {
		if n, ok := b.number(c, args[0], 0, 1<<31-1); ok {
			x.NewConnectionLimit = int(n)
		}
		return
	}
	l := ServiceLimit{Pos: c.st.pos()}
	var err error
	if l.Address, err = netip.ParseAddr(args[0].text); err != nil {
		b.warn(c, args[0], "bad address %q; expected %s; the line is ignored", printable(args[0].text), c.row.usage())
		return
	}
	if len(args) < 3 {
		b.warnAt(c, "the port or the limit is missing; expected %s; the line is ignored", c.row.usage())
		return
	}
	port, ok := b.number(c, args[1], 0, 65535)
	if !ok {
		return
	}
	last := 2
	switch word := strings.ToUpper(args[2].text); word {
	case "TCP", "UDP", "SCTP":
		l.Protocol, last = strings.Clone(word), 3
	}
	if last >= len(args) {
		b.warnAt(c, "the limit is missing; expected %s; the line is ignored", c.row.usage())
		return
	}
	n, ok := b.number(c, args[last], 0, 1<<31-1)
	if !ok {
		return
	}
	l.Port, l.Limit = uint16(port), int(n)
	x.NewConnectionLimits = append(x.NewConnectionLimits, l)
	b.surplus(c, last+1)
}
