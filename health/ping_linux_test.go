package health

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

func TestPingLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"} {
		t.Run(addr, func(t *testing.T) {
			p := NewPing(Connect{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 80)})
			for range 3 {
				wantResult(t, check(t, p), true, "echo reply")
			}
		})
	}
}

func TestPingFrom(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:0")
	wantResult(t, check(t, NewPing(Connect{Addr: to, BindAddr: netip.MustParseAddr("127.0.0.9"), BindIf: "lo"})), true, "")
	wantResult(t, check(t, NewPing(Connect{Addr: to, BindIf: "nosuchif0"})), false, "set bind_if nosuchif0")
	wantResult(t, check(t, NewPing(Connect{Addr: to, BindAddr: netip.MustParseAddr("192.0.2.77")})), false, "bind to 192.0.2.77")
}

// On a network: a host that answers, one that is cut off, one that never was.
func TestOnANetwork(t *testing.T) {
	l := labtest.New(t, "health")
	lb := labtest.Host(t, l, "lb", "10.9.0.1/24", "fd09::1/64", "fe80::98/64")
	rs := labtest.Host(t, l, "rs", "10.9.0.2/24", "fd09::2/64")
	from := func(c Checker) Result {
		var r Result
		if err := lb.Do(func() error { r = check(t, c); return nil }); err != nil {
			t.Fatal(err)
		}
		return r
	}
	to := func(addr string, timeout time.Duration) Connect {
		return Connect{Addr: netip.MustParseAddrPort(addr), Timeout: timeout}
	}
	udp := func(c Connect) Checker {
		u, err := NewUDP(UDPConfig{Connect: c})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	const rs4, rs6, nobody = "10.9.0.2:9", "[fd09::2]:9", "10.9.0.99:9"

	// Both kinds of ICMP socket.
	for _, groups := range []string{"0 0", "1 0"} {
		if err := lb.Sysctl("net/ipv4/ping_group_range", groups); err != nil {
			t.Fatal(err)
		}
		// An IPv6 neighbour may need a moment at first.
		labtest.Eventually(t, 5*time.Second, "an echo over IPv6", func() error {
			if r := from(NewPing(to(rs6, time.Second))); !r.OK {
				return errors.New(r.Reason)
			}
			return nil
		})
		wantResult(t, from(NewPing(to(rs4, time.Second))), true, "echo reply")
	}
	wantResult(t, from(udp(to(rs4, time.Second))), false, "connection refused")
	wantResult(t, from(udp(to(rs6, time.Second))), false, "connection refused")

	// A neighbour that does not answer ARP is an error after about 3 s.
	wantResult(t, from(udp(to(nobody, 6*time.Second))), false, "no route to host")
	wantResult(t, from(NewTCP(to("10.8.0.1:80", time.Second))), false, "network is unreachable")

	// A link-local server is found by bind_if, or by the zone of its address.
	if _, err := labtest.Host(t, l, "local", "fe80::99/64").Serve("[::]:80"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Connect{
		{Addr: netip.MustParseAddrPort("[fe80::99]:80"), BindIf: "eth0"},
		{Addr: netip.MustParseAddrPort("[fe80::99%eth0]:80")},
		{Addr: netip.MustParseAddrPort("[fe80::99]:80"), BindAddr: netip.MustParseAddr("fe80::98%eth0")},
	} {
		h := newHTTP(t, HTTPConfig{Connect: c, URLs: []URL{{}}})
		wantResult(t, from(h), true, "status 200")
		wantResult(t, from(NewPing(c)), true, "echo reply")
	}

	if err := rs.Isolate(); err != nil {
		t.Fatal(err)
	}
	wantResult(t, from(NewPing(to(rs4, 300*time.Millisecond))), false, "timed out: no echo reply")
	wantResult(t, from(NewPing(to(rs6, 300*time.Millisecond))), false, "timed out: no echo reply")
	wantResult(t, from(NewTCP(to(rs4, 300*time.Millisecond))), false, "timed out")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := NewPing(to(rs4, time.Hour)).Check(ctx); r.OK {
		t.Error("a stopped ping passed")
	}
}
