package config

import (
	"net/netip"
	"strconv"
	"strings"
)

func (b *binder) openGlobal(c *call) any {
	if b.cfg.Global.Pos.Line == 0 {
		b.cfg.Global.Pos = c.st.pos()
	}
	return &b.cfg.Global
}

func (b *binder) openXVIP(c *call) any {
	b.cfg.XVIP.Pos = c.st.pos()
	return &b.cfg.XVIP
}

func (b *binder) openSSL(c *call) any {
	b.cfg.SSL = &SSL{Pos: c.st.pos()}
	return b.cfg.SSL
}

// emailItem takes the addresses of one line. A display name makes a word of
// its own when it is quoted together with its address.
func (b *binder) emailItem(c *call) {
	for _, w := range c.st.words {
		b.cfg.Global.NotificationEmail = append(b.cfg.Global.NotificationEmail, strings.Clone(w.text))
	}
}

// nameItem takes the names of one line.
func (b *binder) nameItem(c *call) {
	list := c.field.Addr().Interface().(*[]string)
	for _, w := range c.st.words {
		*list = append(*list, strings.Clone(w.text))
	}
}

func (b *binder) smtpServer(c *call) {
	g := &b.cfg.Global
	port := 25.0
	if len(c.st.args()) > 1 {
		p, ok := b.number(c, c.st.args()[1], 1, 65535)
		if !ok {
			return
		}
		port = p
	}
	g.SMTPServer, g.SMTPServerPort = strings.Clone(c.st.arg(0)), uint16(port)
	b.surplus(c, 2)
}

// options walks the NAME VALUE pairs after the first n arguments.
func (b *binder) options(c *call, n int, take func(name word, value word) bool) bool {
	args := c.st.args()
	for i := n; i < len(args); i += 2 {
		if i+1 >= len(args) {
			b.warn(c, args[i], "%q has no value; expected %s", printable(args[i].text), c.row.usage())
			return false
		}
		if !take(args[i], args[i+1]) {
			return false
		}
	}
	return true
}

func (b *binder) syncDaemon(c *call) {
	args := c.st.args()
	d := &LVSSyncDaemon{Pos: c.st.pos(), ID: -1, Port: 8848, Group: netip.AddrFrom4([4]byte{224, 0, 0, 81})}
	if !b.interfaceName(c, args[0]) {
		return
	}
	d.Interface = strings.Clone(args[0].text)
	n := 1
	if len(args) > 1 && !isSyncOption(args[1].text) {
		d.Instance = strings.Clone(args[1].text)
		n = 2
	}
	limits := map[string][2]float64{"id": {0, 255}, "maxlen": {1, 65507}, "port": {1, 65535}, "ttl": {1, 255}}
	ok := b.options(c, n, func(name, value word) bool {
		switch name.text {
		case "inst":
			d.Instance = strings.Clone(value.text)
			return true
		case "group":
			a, ok := b.address(c, value, 0)
			if ok && !a.IsMulticast() {
				b.warn(c, value, "%s is not a multicast address", a)
				return false
			}
			d.Group = a
			return ok
		}
		lim, known := limits[name.text]
		if !known {
			b.warn(c, name, "unknown option %q; expected %s", printable(name.text), c.row.usage())
			return false
		}
		v, ok := b.number(c, value, lim[0], lim[1])
		if !ok {
			return false
		}
		switch name.text {
		case "id":
			d.ID = int(v)
		case "maxlen":
			d.MaxLen = int(v)
		case "port":
			d.Port = uint16(v)
		case "ttl":
			d.TTL = uint8(v)
		}
		return true
	})
	if ok {
		b.cfg.Global.LVSSyncDaemon = d
	}
}

func isSyncOption(s string) bool {
	switch s {
	case "inst", "id", "maxlen", "port", "ttl", "group":
		return true
	}
	return false
}

func (b *binder) lvsTimeouts(c *call) {
	t := &b.cfg.Global.LVSTimeouts
	b.options(c, 0, func(name, value word) bool {
		d, ok := b.durationIn(c, value, 0, 2678400, 1e9)
		if !ok {
			return true
		}
		switch name.text {
		case "tcp":
			t.TCP = d
		case "tcpfin":
			t.TCPFin = d
		case "udp":
			t.UDP = d
		default:
			b.warn(c, name, "unknown timeout %q; expected tcp, tcpfin or udp", printable(name.text))
		}
		return true
	})
}

func (b *binder) flushOnStop(c *call) {
	g := &b.cfg.Global
	g.LVSFlushOnStop = true
	if args := c.st.args(); len(args) > 0 {
		if g.LVSFlushOnStopVS = args[0].text == "VS"; !g.LVSFlushOnStopVS {
			b.warn(c, args[0], "unknown option %q; expected VS or nothing", printable(args[0].text))
		}
	}
}

func (b *binder) texts(c *call) []string {
	list := []string{}
	for _, a := range c.st.args() {
		list = append(list, strings.Clone(a.text))
	}
	return list
}

func (b *binder) ipTables(c *call) {
	b.cfg.Global.HasVRRPIPTables = true
	b.cfg.Global.VRRPIPTables = b.texts(c)
	b.surplus(c, 2)
}

func (b *binder) ipSets(c *call) {
	b.cfg.Global.HasVRRPIPSets = true
	b.cfg.Global.VRRPIPSets = b.texts(c)
	b.surplus(c, 5)
}

// fifo reads PATH [USER [GROUP]].
func (b *binder) fifo(c *call) {
	field := c.field.Addr().Interface().(**FIFO)
	args := c.st.args()
	f := *field
	if f == nil {
		f = &FIFO{}
	}
	var names []string
	for _, a := range args[1:] {
		names = append(names, a.text)
	}
	if len(names) > 0 {
		user, group := userGroup(names)
		uid, gid, _, ok := b.lookup(c.row.word, c.st.at(args[1]), c.st.from(), user, group)
		if !ok {
			return
		}
		f.User, f.Group, f.UID, f.GID = user, group, uid, gid
	}
	f.Pos, f.Path = c.st.pos(), strings.Clone(args[0].text)
	*field = f
	b.surplus(c, 3)
}

// fifoScript reads the reader of a FIFO, which may be named before the FIFO.
func (b *binder) fifoScript(c *call) {
	field := c.field.Addr().Interface().(**FIFO)
	s, ok := b.command(c)
	if !ok {
		return
	}
	if *field == nil {
		*field = &FIFO{Pos: c.st.pos()}
	}
	f := *field
	f.Script = s
	b.useScript(s, c.row.word, c.st.from(), func() { f.Script = nil })
}

func (b *binder) dynamicInterfaces(c *call) {
	g := &b.cfg.Global
	g.DynamicInterfaces = true
	if args := c.st.args(); len(args) > 0 {
		if g.DynamicInterfacesChanges = args[0].text == "allow_if_changes"; !g.DynamicInterfacesChanges {
			b.warn(c, args[0], "unknown option %q; expected allow_if_changes or nothing", printable(args[0].text))
		}
	}
}

func (b *binder) scriptUser(c *call) {
	g := &b.cfg.Global
	user, group := userGroup(b.texts(c))
	uid, gid, _, ok := b.lookup(c.row.word, c.st.at(c.st.args()[0]), c.st.from(), user, group)
	if !ok {
		return
	}
	g.ScriptUser, g.ScriptGroup, g.ScriptUID, g.ScriptGID = user, group, uid, gid
	b.surplus(c, 2)
}

func (b *binder) rxBufsPolicy(c *call) {
	w := c.st.args()[0]
	switch w.text {
	case "MTU", "ADVERT":
	default:
		if _, ok := b.number(c, w, 1, 1<<31-1); !ok {
			return
		}
	}
	b.cfg.Global.VRRPRXBufsPolicy = strings.Clone(w.text)
	b.surplus(c, 1)
}

// umask reads a number, or bits such as IRGRP|IWOTH.
func (b *binder) umask(c *call) {
	args := c.st.args()
	if n, err := strconv.ParseUint(args[0].text, 0, 16); err == nil && n <= 0o777 {
		b.cfg.Global.Umask = int(n)
		b.surplus(c, 1)
		return
	}
	mask := 0
	for _, a := range args {
		for _, bit := range strings.Split(a.text, "|") {
			if bit = strings.TrimSpace(bit); bit == "" {
				continue
			}
			v, ok := umaskBits[bit]
			if !ok {
				b.warn(c, a, "bad umask %q; expected a number up to 0777 or bits such as IRGRP|IWOTH", printable(bit))
				return
			}
			mask |= v
		}
	}
	b.cfg.Global.Umask = mask
}

var umaskBits = map[string]int{
	"IRUSR": 0o400, "IWUSR": 0o200, "IXUSR": 0o100, "IRWXU": 0o700,
	"IRGRP": 0o040, "IWGRP": 0o020, "IXGRP": 0o010, "IRWXG": 0o070,
	"IROTH": 0o004, "IWOTH": 0o002, "IXOTH": 0o001, "IRWXO": 0o007,
}
