package vrrp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// variant is one way to speak VRRP: the configuration here and there.
type variant struct {
	name   string
	config *Config
	words  string // of keepalived
}

func variants() []variant {
	uni4 := func(c *Config) { c.Peers = []Peer{{Addr: self}, {Addr: high}} }
	fast := func(c *Config) { c.AdvertInterval = 200 * time.Millisecond }
	pass := func(kind uint8) func(*Config) {
		return func(c *Config) { c.AuthType, c.AuthData = kind, Password("secret") }
	}
	both := func(f ...func(*Config)) func(*Config) {
		return func(c *Config) {
			for _, g := range f {
				g(c)
			}
		}
	}
	return []variant{
		{"v2", wireConfig(2, 4, nil), "version 2\nadvert_int 1"},
		{"v2 PASS", wireConfig(2, 4, pass(AuthPass)), "version 2\nadvert_int 1\nauthentication {\nauth_type PASS\nauth_pass secret\n}"},
		{"v2 AH", wireConfig(2, 4, pass(AuthAH)), "version 2\nadvert_int 1\nauthentication {\nauth_type AH\nauth_pass secret\n}"},
		{"v2 unicast", wireConfig(2, 4, uni4), "version 2\nadvert_int 1\nUNICAST"},
		{"v3", wireConfig(3, 4, fast), "version 3\nadvert_int 0.2"},
		{"v3 10ms", wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MinInterval }), "version 3\nadvert_int 0.01"},
		{"v3 unicast", wireConfig(3, 4, both(fast, uni4)), "version 3\nadvert_int 0.2\nUNICAST"},
		{"v3 IPv6", wireConfig(3, 6, fast), "version 3\nadvert_int 0.2"},
		{"v3 IPv6 unicast", wireConfig(3, 6, both(fast, func(c *Config) { c.Peers = []Peer{{Addr: self6}, {Addr: peer6}} })), "version 3\nadvert_int 0.2\nUNICAST"},
		{"v3 VMAC", wireConfig(3, 4, fast), "version 3\nadvert_int 0.2\nuse_vmac"},
		{"v3 VMAC by the base", wireConfig(3, 4, fast), "version 3\nadvert_int 0.2\nuse_vmac\nvmac_xmit_base"},
		{"v3 VMAC unicast", wireConfig(3, 4, both(fast, uni4)), "version 3\nadvert_int 0.2\nuse_vmac\nUNICAST"},
		{"v3 IPv6 VMAC", wireConfig(3, 6, fast), "version 3\nadvert_int 0.2\nuse_vmac"},
		{"v3 hmac", wireConfig(3, 4, both(fast, func(c *Config) { c.HMAC = testHMAC() })), ""},
		{"v3 IPv6 hmac", wireConfig(3, 6, both(fast, func(c *Config) { c.HMAC = testHMAC() })), ""},
	}
}

// spec is the variant for our side; peer is the other one's address.
func (v variant) spec(priority uint8, own, peer netip.Addr) RouterSpec {
	c := *v.config
	c.Name, c.Interface, c.Priority, c.DownTimerAdverts, c.Preempt = "VI_1", "eth0", priority, 3, true
	c.Announce = Announcing{MasterRepeat: 1}
	bits := 24
	if c.Family == 6 {
		bits = 64
	}
	spec := RouterSpec{TrackPrimary: true, Owned: []VirtualAddress{{Prefix: netip.PrefixFrom(c.Addresses[0], bits), Device: "eth0", NoDAD: c.Family == 6}}}
	if len(c.Peers) > 0 {
		c.Peers, spec.Source = []Peer{{Addr: peer}}, own
	}
	spec.Config = c
	if strings.Contains(v.words, "use_vmac") {
		name := map[uint8]string{4: "vrrp.51", 6: "vrrp6.51"}[c.Family]
		spec.Virtual = &VirtualLink{Name: name, Parent: "eth0", MAC: VirtualMAC(51, c.Family).String(), IPv4: c.Family == 4}
		spec.OnBase = strings.Contains(v.words, "vmac_xmit_base") || len(c.Peers) > 0
		spec.Owned[0].Device = name
	}
	return spec
}

func (v variant) conf(priority uint8, own, peer netip.Addr) string {
	words := v.words
	if i := bytes.Index([]byte(words), []byte("UNICAST")); i >= 0 {
		words = words[:i] + fmt.Sprintf("unicast_src_ip %s\nunicast_peer {\n%s\n}", own, peer)
	}
	bits := map[uint8]int{4: 24, 6: 64}[v.config.Family]
	return fmt.Sprintf("vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\npriority %d\n%s\nvirtual_ipaddress {\n%s/%d\n}\n}\n",
		priority, words, v.config.Addresses[0], bits)
}

// TestX01_X04_Elections has each variant elect between two of ours, and with
// Debian's keepalived both ways round: election, cut-off and its end, clean
// stop, return with preemption and without.
func TestX01_X04_Elections(t *testing.T) {
	for _, v := range variants() {
		for _, pair := range [][2]string{{"xvip", "xvip"}, {"xvip", "keepalived"}, {"keepalived", "xvip"}} {
			if !v.between(pair) {
				continue
			}
			t.Run(v.name+"/"+pair[0]+" before "+pair[1], func(t *testing.T) {
				t.Parallel()
				elect(t, v, pair)
			})
		}
	}
}

// between tells whether a pair can speak that way.
func (v variant) between(pair [2]string) bool {
	return pair[0] == pair[1] || v.words != "" // Debian's keepalived is older than auth_hmac
}

// match is two nodes of which the first has the higher priority.
type match struct {
	t    *testing.T
	v    variant
	pair [2]string
	a, b *node
	vip  netip.Addr
}

// start starts one side; it preempts unless told otherwise.
func (m *match) start(n *node, preempt bool) {
	m.t.Helper()
	kind, priority, peer := m.pair[0], uint8(150), m.b
	if n == m.b {
		kind, priority, peer = m.pair[1], 100, m.a
	}
	switch kind {
	case "frr":
		n.frr(m.v, int(priority))
		return
	case "keepalived":
		conf := m.v.conf(priority, n.addr, peer.addr)
		if !preempt {
			conf = strings.Replace(conf, "interface eth0\n", "interface eth0\nnopreempt\n", 1)
		}
		n.keepalived(conf)
		return
	}
	spec := m.v.spec(priority, n.addr, peer.addr)
	spec.Config.Preempt = preempt
	n.run(spec)
}

func (m *match) settled(what string, master, backup *node) {
	m.t.Helper()
	eventually(m.t, what+": exactly the right one owns the address", func() bool { return master.owns(m.vip) && !backup.owns(m.vip) })
}

// adverts counts what has gone from b to a, as the side of ours tells.
func (m *match) adverts() uint64 {
	if m.pair[1] == "xvip" {
		return m.b.status().AdvertsSent
	}
	return m.a.status().AdvertsReceived
}

func newMatch(t *testing.T, v variant, pair [2]string) *match {
	t.Helper()
	a, b := twoNodes(t)
	a.addr, b.addr = self, high
	if v.config.Family == 6 {
		a.addr, b.addr = self6, peer6
	}
	return &match{t, v, pair, a, b, v.config.Addresses[0]}
}

// cutAndHeal parts the two until both are masters.
func (m *match) cutAndHeal() {
	m.t.Helper()
	for _, n := range []*node{m.a, m.b} {
		n.cut(true)
	}
	eventually(m.t, "cut off: both own the address", func() bool { return m.a.owns(m.vip) && m.b.owns(m.vip) })
	for _, n := range []*node{m.a, m.b} {
		n.cut(false)
	}
	m.settled("healed", m.a, m.b)
}

func elect(t *testing.T, v variant, pair [2]string) {
	m := newMatch(t, v, pair)
	a, b := m.a, m.b
	m.start(a, true)
	m.start(b, true)
	m.settled("election", a, b)
	m.cutAndHeal()
	a.stop()
	m.settled("clean stop", b, a)
	m.start(a, true)
	m.settled("return", a, b)
	m.noneRefused()
	if v.config.AdvertInterval >= 100*time.Millisecond { // or a machine that is slow for a moment is silence
		a.stop()
		m.settled("second stop", b, a)
		m.returnWithoutPreemption()
	}
}

// returnWithoutPreemption: the better one comes back and lets the other be,
// until that one stops.
func (m *match) returnWithoutPreemption() {
	m.t.Helper()
	for range 3 { // a pause of the machine looks like silence: once more
		m.start(m.a, false)
		before, ousted := m.adverts(), false
		if m.pair[1] == "keepalived" {
			before = 0 // a counts from its start
		}
		eventually(m.t, "five advertisements of the other", func() bool {
			ousted = m.a.owns(m.vip)
			return ousted || m.adverts() >= before+5
		})
		if !ousted {
			m.b.stop()
			m.settled("stop of the other", m.a, m.b)
			return
		}
		m.a.stop()
		m.settled("the other is master again", m.b, m.a)
	}
	m.t.Error("who must not preempt takes over from a master that speaks")
}

// noneRefused: neither side of ours has refused anything. After a cut the
// numbers of AH are behind those of the other half, once.
func (m *match) noneRefused() {
	m.t.Helper()
	for _, n := range []*node{m.a, m.b} {
		if n.set == nil {
			continue
		}
		for why, count := range n.status().AdvertsRefused {
			if count > 0 && (why != RefusedReplay || m.v.config.AuthType != AuthAH) {
				m.t.Errorf("%d refused: %s", count, why)
			}
		}
	}
}
