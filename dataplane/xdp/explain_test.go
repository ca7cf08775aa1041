package xdp

import (
	"net/netip"
	"os"
	"strings"
	"testing"

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
	b := newBed(t)
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
	before := b.verdicts()
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
	b.send(frame{sport: 1000})
	known := ask(1000, false, "the table has the connection", "new")
	if known.Known == nil || known.Real != first.Real {
		t.Errorf("known %+v, real server %v, want %v as was told", known.Known, known.Real, first.Real)
	}
	if other := ask(1001, true); other.Real == first.Real {
		t.Errorf("the next connection goes to %v, too", other.Real)
	}
	svc.Active = false
	b.apply(svc)
	ask(1002, true, "belongs to another node", "pass_inactive")
	b.apply()
	ask(1003, true, "no service on XDP")
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
