package health

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// network is a balancer and a real server with a web server on a switch.
type network struct {
	lb, rs *lab.Host
}

const (
	rs4    = "10.9.0.2:80"
	rs6    = "[fd09::2]:80"
	nobody = "10.9.0.99:80"
)

func newNetwork(t *testing.T) *network {
	l := labtest.New(t, "health")
	n := &network{
		lb: labtest.Host(t, l, "lb", "10.9.0.1/24", "fd09::1/64", "fe80::1:1/64"),
		rs: labtest.Host(t, l, "rs", "10.9.0.2/24", "fd09::2/64", "fe80::1:2/64"),
	}
	if _, err := n.rs.Serve(":80"); err != nil {
		t.Fatal(err)
	}
	// An IPv6 neighbour may need a moment at first.
	labtest.Eventually(t, 5*time.Second, "an echo over IPv6", func() error {
		if r := n.check(t, NewPing(to(rs6, time.Second))); !r.OK {
			return errors.New(r.Reason)
		}
		return nil
	})
	return n
}

func to(addr string, timeout time.Duration) Connect {
	return Connect{Addr: netip.MustParseAddrPort(addr), Timeout: timeout}
}

// check probes from the balancer.
func (n *network) check(t *testing.T, c Checker) (r Result) {
	t.Helper()
	if err := n.lb.Do(func() error { r = check(t, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOnANetwork(t *testing.T) {
	n := newNetwork(t)
	udp := func(c Connect) Checker {
		u, err := NewUDP(UDPConfig{Connect: c})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	get := func(c Connect) Checker { return newHTTP(t, HTTPConfig{Connect: c, URLs: []URL{{}}}) }

	t.Run("both kinds of ICMP socket", func(t *testing.T) {
		for _, groups := range []string{"0 0", "1 0"} {
			if err := n.lb.Sysctl("net/ipv4/ping_group_range", groups); err != nil {
				t.Fatal(err)
			}
			wantResult(t, n.check(t, NewPing(to(rs4, time.Second))), true, "echo reply")
			wantResult(t, n.check(t, NewPing(to(rs6, time.Second))), true, "echo reply")
		}
	})
	t.Run("ICMP errors", func(t *testing.T) {
		wantResult(t, n.check(t, udp(to("10.9.0.2:9", time.Second))), false, "connection refused")
		wantResult(t, n.check(t, udp(to("[fd09::2]:9", time.Second))), false, "connection refused")
		// A neighbour that does not answer ARP is an error after about 3 s.
		wantResult(t, n.check(t, udp(to(nobody, 6*time.Second))), false, "no route to host")
		wantResult(t, n.check(t, NewTCP(to("10.8.0.1:80", time.Second))), false, "network is unreachable")
	})
	t.Run("link-local addresses", func(t *testing.T) {
		for _, c := range []Connect{
			{Addr: netip.MustParseAddrPort("[fe80::1:2]:80"), BindIf: "eth0"},
			{Addr: netip.MustParseAddrPort("[fe80::1:2%eth0]:80")},
			{Addr: netip.MustParseAddrPort("[fe80::1:2]:80"), BindAddr: netip.MustParseAddr("fe80::1:1%eth0")},
		} {
			wantResult(t, n.check(t, get(c)), true, "status 200")
			wantResult(t, n.check(t, NewPing(c)), true, "echo reply")
		}
	})
	t.Run("a fixed source port is free again for the next probe", func(t *testing.T) {
		c := to(rs4, time.Second)
		c.BindPort = 7777
		for range 3 {
			wantResult(t, n.check(t, NewTCP(c)), true, "connected")
			wantResult(t, n.check(t, get(c)), true, "status 200")
		}
	})
	t.Run("cut off", func(t *testing.T) {
		if err := n.rs.Isolate(); err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{rs4, rs6} {
			wantResult(t, n.check(t, NewPing(to(addr, 300*time.Millisecond))), false, "timed out: no echo reply")
			wantResult(t, n.check(t, NewTCP(to(addr, 300*time.Millisecond))), false, "timed out")
		}
	})
}
