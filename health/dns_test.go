package health

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// udpServer answers each datagram with what answer returns, nil for nothing.
func udpServer(t *testing.T, answer func(request []byte) [][]byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, reply := range answer(buffer[:n]) {
				c.WriteTo(reply, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func closedUDPPort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func newDNS(t *testing.T, c DNSConfig) *DNS {
	t.Helper()
	d, err := NewDNS(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A real name server, which knows example. and nothing else.
func TestDNSAgainstAServer(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan dns.Msg, 1)
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		asked <- *m
		r := new(dns.Msg).SetReply(m)
		if !dns.IsSubDomain("example.", m.Question[0].Name) {
			r.Rcode = dns.RcodeRefused
		} else if rr, err := dns.NewRR("www.example. 60 IN A 192.0.2.1"); err == nil {
			r.Answer = append(r.Answer, rr)
		}
		w.WriteMsg(r)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()

	wantResult(t, check(t, newDNS(t, DNSConfig{Connect: Connect{Addr: addr}, Name: "www.example", Type: "A"})), true, "answered")
	if q := <-asked; q.Question[0] != (dns.Question{Name: "www.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}) || !q.RecursionDesired {
		t.Errorf("asked %v", q)
	}
	wantResult(t, check(t, newDNS(t, DNSConfig{Connect: Connect{Addr: addr}})), false, "REFUSED")
	if q := <-asked; q.Question[0] != (dns.Question{Name: ".", Qtype: dns.TypeSOA, Qclass: dns.ClassINET}) {
		t.Errorf("asked %v by default", q)
	}
}

func TestDNSFaults(t *testing.T) {
	// edit makes an answer out of the query.
	edit := func(change func(b []byte) []byte) func([]byte) [][]byte {
		return func(q []byte) [][]byte {
			b := append([]byte(nil), q...)
			b[2] |= 0x80
			return [][]byte{change(b)}
		}
	}
	same := func(b []byte) []byte { return b }
	for _, test := range []struct {
		name  string
		addr  netip.AddrPort
		ok    bool
		words string
	}{
		{"answer", udpServer(t, edit(same)), true, "answered"},
		{"cut short (TC)", udpServer(t, edit(func(b []byte) []byte { b[2] |= 2; return b })), true, "answered"},
		{"a header and nothing else", udpServer(t, edit(func(b []byte) []byte { return b[:12] })), true, "answered"},
		{"garbage after the header", udpServer(t, edit(func(b []byte) []byte { return append(b, 0xff, 0xff) })), true, "answered"},
		{"SERVFAIL", udpServer(t, edit(func(b []byte) []byte { b[3] |= 2; return b })), false, "SERVFAIL"},
		{"NXDOMAIN", udpServer(t, edit(func(b []byte) []byte { b[3] |= 3; return b })), false, "NXDOMAIN"},
		{"an echo of the query", udpServer(t, func(q []byte) [][]byte { return [][]byte{q} }), false, "not an answer"},
		{"of another query", udpServer(t, edit(func(b []byte) []byte { b[0]++; return b })), false, "timed out"},
		{"less than a header", udpServer(t, edit(func(b []byte) []byte { return b[:11] })), false, "timed out"},
		{"forged answers first", udpServer(t, func(q []byte) [][]byte {
			good := append([]byte(nil), q...)
			good[2] |= 0x80
			bad := append([]byte(nil), good...)
			bad[1]++
			bad[3] |= 3
			return [][]byte{bad, nil, {0}, good}
		}), true, "answered"},
		{"silence", udpServer(t, func([]byte) [][]byte { return nil }), false, "timed out"},
		{"nobody there", closedUDPPort(t), false, "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDNS(t, DNSConfig{Connect: Connect{Addr: test.addr, Timeout: 200 * time.Millisecond}})
			wantResult(t, check(t, d), test.ok, test.words)
		})
	}
}

func TestNewDNSRefuses(t *testing.T) {
	for _, test := range []struct {
		config DNSConfig
		words  string
	}{
		{DNSConfig{Type: "LETTER"}, `type "LETTER" is not known`},
		{DNSConfig{Name: strings.Repeat("a", 64)}, "is not a domain name"},
	} {
		if _, err := NewDNS(test.config); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%v, want %q", err, test.words)
		}
	}
}
