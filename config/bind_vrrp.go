package config

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// unsetTime marks a time that the file does not give, until it is resolved.
const unsetTime time.Duration = -1

// name takes the name of a block that must have one and be the only one so
// called. Without a name keepalived skips the block and starts.
func (b *binder) name(c *call, exists func(string) bool) (string, bool) {
	args := c.st.args()
	if len(args) == 0 {
		sev := Error
		switch c.row.word {
		case "vrrp_instance", "vrrp_sync_group", "track_group":
			sev = Warning
		}
		b.add(c.st.pos(), c.st.from(), sev, c.row.word, "the name is missing; expected %s; the block is skipped", c.row.usage())
		return "", false
	}
	name := args[0].text
	if exists(name) {
		b.warn(c, args[0], "the name %q is taken already; the second block is skipped", printable(name))
		return "", false
	}
	b.surplus(c, 1)
	return strings.Clone(name), true
}

// once makes the test of name for objects of one kind.
func (b *binder) once(kind string) func(string) bool {
	return func(name string) bool {
		seen := b.names[kind+name]
		b.names[kind+name] = true
		return seen
	}
}

func (b *binder) openVRRPInstance(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.instances[n] != nil })
	if !ok {
		return nil
	}
	v := &VRRPInstance{Pos: c.st.pos(), Name: name, State: "BACKUP", Priority: 100, AdvertInt: time.Second,
		Preempt: true, Accept: true, UnicastTTL: 255, OldUnicastChecksum: "auto"}
	b.instances[name] = v
	b.cfg.VRRPInstances = append(b.cfg.VRRPInstances, v)
	return v
}

func (b *binder) openVRRPSyncGroup(c *call) any {
	name, ok := b.name(c, b.once("vrrp_sync_group "))
	if !ok {
		return nil
	}
	g := &VRRPSyncGroup{Pos: c.st.pos(), Name: name}
	b.cfg.VRRPSyncGroups = append(b.cfg.VRRPSyncGroups, g)
	return g
}

func (b *binder) openVRRPScript(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.defined[trackKey{"script", n}] != nil })
	if !ok {
		return nil
	}
	s := &VRRPScript{Pos: c.st.pos(), Name: name, Interval: time.Second, Timeout: unsetTime, Rise: 1, Fall: 1}
	b.defined[trackKey{"script", name}] = s
	b.cfg.VRRPScripts = append(b.cfg.VRRPScripts, s)
	return s
}

func (b *binder) openTrackProcess(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.defined[trackKey{"process", n}] != nil })
	if !ok {
		return nil
	}
	p := &TrackProcess{Pos: c.st.pos(), Name: name, ParamMatch: "exact", Quorum: 1, QuorumMax: -1}
	b.defined[trackKey{"process", name}] = p
	b.cfg.TrackProcesses = append(b.cfg.TrackProcesses, p)
	return p
}

func (b *binder) openTrackFile(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.defined[trackKey{"file", n}] != nil })
	if !ok {
		return nil
	}
	f := &TrackFile{Pos: c.st.pos(), Name: name, Weight: 1}
	b.defined[trackKey{"file", name}] = f
	b.cfg.TrackFiles = append(b.cfg.TrackFiles, f)
	return f
}

func (b *binder) openBFD(c *call) any {
	name, ok := b.name(c, func(n string) bool { return b.defined[trackKey{"bfd", n}] != nil })
	if !ok {
		return nil
	}
	d := &BFDInstance{Pos: c.st.pos(), Name: name, MinRX: 10 * time.Millisecond, MinTX: 10 * time.Millisecond,
		IdleTX: time.Second, Multiplier: 5}
	b.defined[trackKey{"bfd", name}] = d
	b.cfg.BFDInstances = append(b.cfg.BFDInstances, d)
	return d
}

func (b *binder) openTrackGroup(c *call) any {
	name, ok := b.name(c, b.once("track_group "))
	if !ok {
		return nil
	}
	g := &TrackGroup{Pos: c.st.pos(), Name: name}
	b.cfg.TrackGroups = append(b.cfg.TrackGroups, g)
	return g
}

func (b *binder) openGARPGroup(c *call) any {
	g := &GARPGroup{Pos: c.st.pos()}
	b.cfg.GARPGroups = append(b.cfg.GARPGroups, g)
	return g
}

func (b *binder) garpInterface(c *call) {
	if g := c.obj.(*GARPGroup); b.interfaceName(c, c.st.args()[0]) {
		g.Interfaces = append(g.Interfaces, strings.Clone(c.st.arg(0)))
	}
	b.surplus(c, 1)
}

func (b *binder) openAuthentication(c *call) any {
	v := c.obj.(*VRRPInstance)
	v.Authentication.Pos = c.st.pos()
	return &v.Authentication
}

func (b *binder) openAuthHMAC(c *call) any {
	v := c.obj.(*VRRPInstance)
	v.AuthHMAC = &AuthHMAC{Pos: c.st.pos(), AntiReplay: "time", Mode: "enforce", TimeWindow: unsetTime}
	return v.AuthHMAC
}

func (b *binder) state(c *call) {
	v := c.obj.(*VRRPInstance)
	switch s := c.st.arg(0); s {
	case "MASTER", "BACKUP":
		v.State = strings.Clone(s)
	default:
		v.State = "BACKUP"
		b.warn(c, c.st.args()[0], "unknown state %q; expected MASTER or BACKUP; BACKUP is used", printable(s))
	}
	b.surplus(c, 1)
}

func (b *binder) preempt(c *call) {
	c.obj.(*VRRPInstance).Preempt = c.row.word == "preempt"
	b.surplus(c, 0)
}

func (b *binder) accept(c *call) {
	c.obj.(*VRRPInstance).Accept = c.row.word == "accept"
	b.surplus(c, 0)
}

func (b *binder) nativeIPv6(c *call) { b.surplus(c, 0) }

func (b *binder) oldChecksum(c *call) {
	v := c.obj.(*VRRPInstance)
	v.OldUnicastChecksum = "always"
	if args := c.st.args(); len(args) > 0 {
		if args[0].text != "never" {
			b.warn(c, args[0], "unknown option %q; expected never or nothing", printable(args[0].text))
			return
		}
		v.OldUnicastChecksum = "never"
	}
	b.surplus(c, 1)
}

func (b *binder) notifyDeleted(c *call) {
	v := c.obj.(*VRRPInstance)
	v.NotifyDeletedState = true
	if len(c.st.args()) == 0 {
		return
	}
	if s, ok := b.command(c); ok {
		v.NotifyDeleted = s
		b.useScript(s, c.row.word, c.st.from(), func() { v.NotifyDeleted = nil })
	}
}

func (b *binder) authType(c *call) {
	a := c.obj.(*Authentication)
	switch s := c.st.arg(0); s {
	case "PASS", "AH":
		a.Type = strings.Clone(s)
	default:
		b.warn(c, c.st.args()[0], "unknown authentication type %q; expected PASS or AH", printable(s))
	}
	b.surplus(c, 1)
}

// authPass keeps the first eight bytes, which is all that the wire carries.
func (b *binder) authPass(c *call) {
	a := c.obj.(*Authentication)
	pass := c.st.arg(0)
	if len(pass) > 8 {
		b.warn(c, c.st.args()[0], "the password has %d characters and is cut to 8, as the protocol has room for no more", len(pass))
		pass = pass[:8]
	}
	a.Pass = strings.Clone(pass)
	b.surplus(c, 1)
}

func (b *binder) hmacKey(c *call) {
	h := c.obj.(*AuthHMAC)
	args := c.st.args()
	id, ok := b.number(c, args[0], 1, 255)
	if !ok {
		return
	}
	k := HMACKey{Pos: c.st.pos(), ID: uint8(id)}
	text := args[1].text
	switch {
	case strings.HasPrefix(text, "file:"):
		k.File = strings.Clone(text[5:])
	case strings.HasPrefix(text, "hex:"):
		v, err := hex.DecodeString(text[4:])
		if err != nil {
			b.warn(c, args[1], "bad hexadecimal key; expected pairs of hexadecimal digits")
			return
		}
		k.Value = v
	default:
		k.Value = []byte(text)
	}
	if n := len(k.Value); k.File == "" && (n < 32 || n > 64) {
		b.warn(c, args[1], "the key has %d octets; expected 32 to 64", n)
		return
	}
	h.Keys = append(h.Keys, k)
	b.surplus(c, 2)
}

// vmac reads use_vmac and use_ipvlan.
func (b *binder) vmac(c *call) {
	v := c.obj.(*VRRPInstance)
	m := &VMAC{Pos: c.st.pos(), IPVLAN: c.row.word == "use_ipvlan"}
	if m.IPVLAN {
		m.Mode = "bridge"
	}
	args := c.st.args()
	for i := 0; i < len(args); i++ {
		w := args[i]
		switch {
		case w.text == "name" && i+1 < len(args):
			i++
			if b.interfaceName(c, args[i]) {
				m.Name = strings.Clone(args[i].text)
			}
		case w.text == "group" && i+1 < len(args):
			i++
			if n, ok := b.number(c, args[i], 0, 1<<32-1); ok {
				m.Group, m.HasGroup = uint32(n), true
			}
		case w.text == "netlink_notify_msg" && !m.IPVLAN:
			m.NetlinkNotify = true
			b.warn(c, w, "netlink_notify_msg has no effect: the kernel tells of the interface when it is made")
		case m.IPVLAN && (w.text == "bridge" || w.text == "private" || w.text == "vepa"):
			m.Mode = strings.Clone(w.text)
		case m.IPVLAN && parsePrefix(w.text).IsValid():
			m.Address = parsePrefix(w.text)
		case !m.IPVLAN && isMAC(w.text):
			m.MAC = strings.ToLower(w.text)
		case m.Name == "":
			if b.interfaceName(c, w) {
				m.Name = strings.Clone(w.text)
			}
		default:
			b.warn(c, w, "%q is not understood; expected %s", printable(w.text), c.row.usage())
		}
	}
	v.UseVMAC = m
}

// isMAC knows addresses of six octets, and of five: the VRID is the sixth.
func isMAC(s string) bool {
	if _, err := net.ParseMAC(s); err == nil && len(s) == 17 {
		return true
	}
	_, err := net.ParseMAC(s + ":00")
	return err == nil && len(s) == 14
}

func parsePrefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.Prefix{}
}

func (b *binder) peerItem(c *call) {
	v := c.obj.(*VRRPInstance)
	w := c.st.words
	a, ok := b.address(c, w[0], 0)
	if !ok {
		return
	}
	p := UnicastPeer{Pos: c.st.pos(), Address: a, MaxTTL: 255}
	for i := 1; i < len(w); i += 2 {
		if i+1 == len(w) || w[i].text != "min_ttl" && w[i].text != "max_ttl" {
			b.warn(c, w[i], "%q is not understood; expected %s", printable(w[i].text), c.row.args.syntax)
			break
		}
		n, ok := b.number(c, w[i+1], 0, 255)
		if !ok {
			continue
		}
		p.HasTTL = true
		if w[i].text == "min_ttl" {
			p.MinTTL = uint8(n)
		} else {
			p.MaxTTL = uint8(n)
		}
	}
	v.UnicastPeer = append(v.UnicastPeer, p)
}

// process reads NAME [ARG ...], each a word or a quoted string.
func (b *binder) process(c *call) {
	p := c.obj.(*TrackProcess)
	raw, _ := c.st.raw()
	parts := tokens(raw)
	if len(parts) == 0 || parts[0] == "" {
		b.fail(c, "the name of the process is missing; expected %s", c.row.usage())
		return
	}
	p.Process, p.Params = strings.Clone(parts[0]), cloneAll(parts[1:])
}

func (b *binder) processDelay(c *call) {
	p := c.obj.(*TrackProcess)
	if d, ok := b.durationIn(c, c.st.args()[0], 0.000001, 3600, 1e9); ok {
		p.ForkDelay, p.TerminateDelay = d, d
	}
	b.surplus(c, 1)
}

func (b *binder) initFile(c *call) {
	f := c.obj.(*TrackFile)
	f.InitFile = true
	for _, a := range c.st.args() {
		if a.text == "overwrite" {
			f.Overwrite = true
			continue
		}
		n, err := strconv.ParseInt(a.text, 10, 32)
		if err != nil {
			b.warn(c, a, "%q is not understood; expected %s", printable(a.text), c.row.usage())
			continue
		}
		f.InitValue = int(n)
	}
}
