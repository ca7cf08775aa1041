package xdp

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// routedQuietly is routed on a link where nobody says anything of himself: what the
// program counts is what the test sends.
func routedQuietly(t *testing.T) {
	t.Helper()
	routed(t)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Explain tells what the program would do, and the program does it afterwards:
// nothing has rotated, been remembered or counted meanwhile.
func TestExplain(t *testing.T) {
	b := newSmallBed(t, 4096)
	e := b.e
	if _, err := e.Explain(Question{Protocol: dataplane.TCP, Client: netip.MustParseAddrPort("192.0.2.10:1"), Service: netip.MustParseAddrPort("192.0.2.100:80")}); err == nil ||
		!strings.Contains(err.Error(), "on no interface") {
		t.Errorf("without an interface: %v", err)
	}
	routedQuietly(t)
	if err := e.Attach([]string{"out0"}); err != nil {
		t.Fatal(err)
	}
	svc := web("rr", 1, 1)
	b.apply(svc)
	ask := func(sport uint16, opening bool, want ...string) Answer {
		t.Helper()
		q := Question{Protocol: dataplane.TCP, Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), sport),
			Service: netip.AddrPortFrom(svc.Address, svc.Port), Opening: opening}
		a, err := e.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(a.Steps, "\n")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("port %d: it does not say %q:\n%s", sport, w, text)
			}
		}
		return a
	}
	before, memory := b.verdicts(), b.memory()
	first := ask(1000, true, "out0", "scheduler rr, 2 real servers", "no such connection", "counted as forward")
	if again := ask(1000, true); again.Real != first.Real || !first.Real.Address.IsValid() {
		t.Errorf("asked twice, %v and %v: the rotation moved", first.Real, again.Real)
	}
	for name, n := range b.verdicts() {
		if n != before[name] && !strings.HasPrefix(name, "pass_not") { // what was under way on the link
			t.Errorf("counter %s moved", name)
		}
	}
	ask(1000, false, "none is remembered", "pass_no_connection")
	if b.memory() != memory {
		t.Error("a question has left a trace in connections, templates or loads")
	}
	b.send(frame{sport: 1000})
	known := ask(1000, false, "the table has the connection", "new")
	if known.Known == nil || known.Real != first.Real {
		t.Errorf("known %+v, real server %v, want %v as was told", known.Known, known.Real, first.Real)
	}
	if other := ask(1001, true); other.Real == first.Real {
		t.Errorf("the next connection goes to %v, too", other.Real)
	}
	b.send(frame{sport: 1000, flags: ack | rst})
	ask(1000, true, "has ended", "takes its place")
	svc.NewConnections = 1
	b.apply(svc)
	b.send(frame{sport: 2000})
	ask(2001, true, "takes no more new connections now", "drop_limit")
	svc.NewConnections = 0
	svc.Active = false
	b.apply(svc)
	ask(1002, true, "belongs to another node", "pass_inactive")
	b.apply()
	ask(1003, true, "no service on XDP")
}

// memory is what packets change, but for counters, as text.
func (b *bed) memory() string {
	b.t.Helper()
	var out strings.Builder
	var index uint32
	var conns bpfConnBucket
	for it := b.e.objs.Conns.Iterate(); it.Next(&index, &conns); {
		if conns != (bpfConnBucket{}) {
			fmt.Fprintln(&out, index, conns)
		}
	}
	var load bpfLoad
	for it := b.e.objs.Loads.Iterate(); it.Next(&index, &load); {
		if load != (bpfLoad{}) {
			fmt.Fprintln(&out, index, load)
		}
	}
	var key bpfTemplateKey
	var template bpfTemplate
	for it := b.e.objs.Templates.Iterate(); it.Next(&key, &template); {
		fmt.Fprintln(&out, key, template)
	}
	return out.String()
}

// Explain names persistence, servers that take nothing new, and the way back of
// NAT.
func TestExplainReasons(t *testing.T) {
	b := newSmallBed(t, 4096)
	routedQuietly(t)
	if err := b.e.Attach([]string{"out0"}); err != nil {
		t.Fatal(err)
	}
	svc := web("rr", 1, 1)
	svc.Persistence = time.Minute
	b.apply(svc)
	client := netip.MustParseAddr("192.0.2.10")
	ask := func(q Question, want ...string) Answer {
		t.Helper()
		q.Protocol = dataplane.TCP
		a, err := b.e.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(a.Steps, "\n")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("it does not say %q:\n%s", w, text)
			}
		}
		return a
	}
	to := func(sport uint16, opening bool) Question {
		return Question{Client: netip.AddrPortFrom(client, sport), Service: netip.AddrPortFrom(svc.Address, svc.Port), Opening: opening}
	}
	b.send(frame{sport: 1000})
	had := ask(to(1000, false)).Real
	if again := ask(to(1001, true), "within the persistence of 1m0s"); again.Real != had {
		t.Errorf("persistence: %v, then %v", had, again.Real)
	}
	for i := range svc.RealServers {
		svc.RealServers[i].Weight = 0
	}
	b.apply(svc)
	b.send(frame{sport: 1000, flags: ack})
	ask(to(1000, false), "takes nothing new any more")

	svc = web("rr", 1)
	svc.RealServers[0].Method, svc.RealServers[0].Port = dataplane.NAT, 8080
	b.apply(svc)
	b.flood(frame{sport: 3000})
	back := func(sport uint16) Question {
		return Question{Client: netip.AddrPortFrom(svc.RealServers[0].Address, 8080), Service: netip.AddrPortFrom(client, sport)}
	}
	if a := ask(back(3000), "a reply of real server", "to a client of service"); a.Known == nil || a.Service != svc.Key {
		t.Errorf("the reply: %+v", a)
	}
	ask(back(3001), "no such connection is remembered")
}

func TestPacketText(t *testing.T) {
	inner := ip(client4, vip4, 6, tcp(40000, 80, syn))
	for want, in := range map[string][]byte{
		"02:":                                   ethernet(inner),
		"tcp 192.0.2.10:40000 > 192.0.2.100:80": ethernet(inner),
		"198.51.100.1 > 198.51.100.2":           ethernet(ip("198.51.100.1", "198.51.100.2", 4, inner)),
		"around tcp 192.0.2.10:40000":           ethernet(ip("198.51.100.1", "198.51.100.2", 4, inner)),
		"GRE, around tcp":                       ethernet(ip("198.51.100.1", "198.51.100.2", 47, append([]byte{0, 0, 8, 0}, inner...))),
		"3 octets":                              {1, 2, 3},
		"protocol 1":                            ethernet(ip(client4, vip4, 1, []byte{8, 0, 0, 0})),
	} {
		if got := frameText(in); !strings.Contains(got, want) {
			t.Errorf("%x: %q, want %q in it", in, got, want)
		}
	}
	for n := range 60 { // short ones do not panic
		frameText(ethernet(ip("198.51.100.1", "198.51.100.2", 47, append([]byte{0x80, 0, 8, 0}, inner...)))[:n])
	}
}

// Where there is no room for a flow, the hash decides, and Explain says so, too.
func TestExplainOfAFullTable(t *testing.T) {
	b := newSmallBed(t, 64)
	routedQuietly(t)
	if err := b.e.Attach([]string{"out0"}); err != nil {
		t.Fatal(err)
	}
	svc := web("rr", 1, 1)
	b.apply(svc)
	for sport := uint16(1); sport <= 500; sport++ {
		b.send(frame{sport: sport})
		b.send(frame{sport: sport, flags: ack})
	}
	const first, many = 1000, 4
	var told [many]string
	for i := range told {
		q := Question{Protocol: dataplane.TCP, Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), uint16(first+i)),
			Service: netip.AddrPortFrom(svc.Address, svc.Port)}
		a, err := b.e.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		told[i] = a.Verdict
	}
	if err := b.e.Attach(nil); err != nil { // what the interface hears is counted, too
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, told := range told {
		got, _ := b.pass(frame{sport: uint16(first + i), flags: ack}.bytes())
		forwards := strings.HasPrefix(got, "forward_") // the bed's packets come in at another interface
		if forwards != strings.HasPrefix(told, "forward_") || !forwards && got != told {
			t.Errorf("port %d: explained as %s, is %s", first+i, told, got)
		}
		seen[got]++
	}
	if seen["forward_tx"] == 0 {
		t.Errorf("no flow met full buckets: %v", seen)
	}
}
