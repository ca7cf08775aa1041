package health

import (
	"context"
	"net/netip"
	"testing"
	"time"
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

func TestPingThatIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := NewPing(Connect{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Timeout: time.Hour})
	if r := p.Check(ctx); r.OK {
		t.Error("passed")
	}
}
