package config

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// schedulers are the names that IPVS knows.
var schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"}

func (b *binder) openVirtualServer(c *call) any {
	args := c.st.args()
	if len(args) == 0 {
		b.fail(c, "the service is missing; expected %s", c.row.usage())
		return nil
	}
	vs := &VirtualServer{Pos: c.st.pos(), Retry: -1, DelayBeforeRetry: unsetTime, Warmup: unsetTime,
		DelayLoop: time.Minute, ConnectTimeout: 5 * time.Second, Weight: 1, Quorum: 1}
	switch args[0].text {
	case "fwmark", "group":
		if len(args) < 2 {
			b.fail(c, "the value after %s is missing; expected %s", args[0].text, c.row.usage())
			return nil
		}
		if args[0].text == "group" {
			vs.Group = strings.Clone(args[1].text)
			break
		}
		n, ok := b.number(c, args[1], 1, 1<<32-1)
		if !ok {
			return nil
		}
		vs.FWMark = uint32(n)
	default:
		a, port, ok := b.endpoint(c, args)
		if !ok {
			return nil
		}
		vs.Address, vs.Port = a, port
	}
	b.surplus(c, 2)
	b.cfg.VirtualServers = append(b.cfg.VirtualServers, vs)
	return vs
}

// endpoint reads IP [PORT]; the port is 0 when it is not given.
func (b *binder) endpoint(c *call, args []word) (netip.Addr, uint16, bool) {
	a, ok := b.address(c, args[0], 0)
	if !ok || len(args) < 2 {
		return a, 0, ok
	}
	n, ok := b.number(c, args[1], 0, 65535)
	return a, uint16(n), ok
}

func (b *binder) openRealServer(c *call) any {
	args := c.st.args()
	if len(args) == 0 {
		b.fail(c, "the address is missing; expected %s", c.row.usage())
		return nil
	}
	a, port, ok := b.endpoint(c, args)
	if !ok {
		return nil
	}
	b.surplus(c, 2)
	vs := c.obj.(*VirtualServer)
	if len(args) < 2 {
		port = vs.Port
	}
	rs := take(&b.slabRS)
	rs.Pos, rs.Address, rs.Port, rs.Weight, rs.Retry = c.st.pos(), a, port, -1, -1
	rs.DelayBeforeRetry, rs.Warmup, rs.ConnectTimeout, rs.DelayLoop = unsetTime, unsetTime, unsetTime, unsetTime
	if vs.RealServers == nil {
		vs.RealServers = make([]*RealServer, 0, 4)
	}
	vs.RealServers = append(vs.RealServers, rs)
	return rs
}

// take gives the next object of a slab, so that a hundred thousand of them do
// not cost as many allocations.
func take[T any](slab *[]T) *T {
	if len(*slab) == 0 {
		*slab = make([]T, 32)
	}
	o := &(*slab)[0]
	*slab = (*slab)[1:]
	return o
}

func (b *binder) openChecker(c *call) any {
	rs := c.obj.(*RealServer)
	k := take(&b.slabChecker)
	k.Pos, k.Type, k.Retry = c.st.pos(), c.row.word, -1
	k.DelayBeforeRetry, k.Warmup, k.DelayLoop, k.ConnectTimeout = unsetTime, unsetTime, unsetTime, unsetTime
	switch k.Type {
	case HTTPGet, SSLGet:
		k.HTTP = &HTTPGetOptions{HTTPProtocol: "1.0"}
	case SMTPCheck:
		k.SMTP = &SMTPOptions{HeloName: "smtpchecker.keepalived.org"}
	case DNSCheck:
		k.DNS = &DNSOptions{Type: "SOA", Name: "."}
	case MiscCheck:
		k.Misc = &MiscOptions{Timeout: unsetTime}
	case UDPCheck:
		k.UDP = &UDPOptions{MaxReplyLength: 255}
	case FileCheck:
		k.File = &Track{Pos: k.Pos}
	}
	if rs.Checkers == nil { // most have one
		if len(b.slabList) == 0 {
			b.slabList = make([]*Checker, 512)
		}
		rs.Checkers, b.slabList = b.slabList[:0:1], b.slabList[1:]
	}
	rs.Checkers = append(rs.Checkers, k)
	return k
}

func (b *binder) openURL(c *call) any {
	h := c.obj.(*Checker).HTTP
	h.URLs = append(h.URLs, URL{Pos: c.st.pos(), Path: "/"})
	return &h.URLs[len(h.URLs)-1]
}

// openHost reads into a place of its own; the list is made when defaults are
// resolved.
func (b *binder) openHost(c *call) any {
	k := c.obj.(*Checker)
	h := &smtpHost{Checker: k}
	h.ConnectTimeout = unsetTime
	b.hosts[k] = append(b.hosts[k], h)
	return h
}

func (b *binder) sched(c *call) {
	vs := c.obj.(*VirtualServer)
	for _, s := range schedulers {
		if s == c.st.arg(0) {
			vs.LVSSched = s
			b.surplus(c, 1)
			return
		}
	}
	b.warn(c, c.st.args()[0], "unknown scheduler %q; expected %s", printable(c.st.arg(0)), either(schedulers))
}

// schedFlag reads sh-port, sh-fallback, mh-port and mh-fallback, which count
// only when that scheduler was named before them.
func (b *binder) schedFlag(c *call) {
	vs := c.obj.(*VirtualServer)
	sched, _, _ := strings.Cut(c.row.word, "-")
	if vs.LVSSched != sched {
		b.warnAt(c, "the flag counts only after lvs_sched %s in the same block; it is ignored", sched)
		return
	}
	c.field.SetBool(true)
	b.surplus(c, 0)
}

func (b *binder) protocol(c *call) {
	vs := c.obj.(*VirtualServer)
	switch p := strings.ToUpper(c.st.arg(0)); p {
	case "TCP", "UDP", "SCTP":
		vs.Protocol = p
		b.surplus(c, 1)
	default:
		b.warn(c, c.st.args()[0], "unknown protocol %q; expected TCP, UDP or SCTP", printable(c.st.arg(0)))
	}
}

func (b *binder) persistence(c *call) {
	vs := c.obj.(*VirtualServer)
	if len(c.st.args()) == 0 {
		vs.PersistenceTimeout = 360 * time.Second
		return
	}
	if n, ok := b.number(c, c.st.args()[0], 1, 2678400); ok {
		vs.PersistenceTimeout = time.Duration(n) * time.Second
	}
	b.surplus(c, 1)
}

// granularity reads a netmask or a prefix length.
func (b *binder) granularity(c *call) {
	vs := c.obj.(*VirtualServer)
	w := c.st.args()[0]
	if a, err := netip.ParseAddr(w.text); err == nil && a.Is4() {
		raw := a.As4()
		mask := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
		if n := bits.LeadingZeros32(^mask); n > 0 && mask<<n == 0 {
			vs.PersistenceGranularity = uint8(n)
			return
		}
	} else if n, err := strconv.ParseUint(w.text, 10, 8); err == nil && n >= 1 && n <= 128 {
		vs.PersistenceGranularity = uint8(n)
		return
	}
	b.warn(c, w, "bad granularity %q; expected a netmask, or a prefix length from 1 to 128", printable(w.text))
}

func (b *binder) family(c *call) {
	if f, ok := b.familyWord(c, c.st.args()[0]); ok {
		c.obj.(*VirtualServer).Family = f
	}
	b.surplus(c, 1)
}

func (b *binder) familyWord(c *call, w word) (int, bool) {
	switch w.text {
	case "inet":
		return 4, true
	case "inet6":
		return 6, true
	}
	b.warn(c, w, "unknown family %q; expected inet or inet6", printable(w.text))
	return 0, false
}

func (b *binder) sorry(c *call) {
	vs := c.obj.(*VirtualServer)
	a, port, ok := b.endpoint(c, c.st.args())
	if !ok {
		return
	}
	if len(c.st.args()) < 2 {
		port = vs.Port
	}
	vs.SorryServer = &SorryServer{Pos: c.st.pos(), Address: a, Port: port}
	b.surplus(c, 2)
}
