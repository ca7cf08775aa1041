package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serve runs handle for every connection to a new listener on 127.0.0.1, and
// closes the connection after it.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return addrOf(l)
}

func addrOf(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// closedPort is an address that refuses.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return addrOf(l)
}

// blackHole is an address that answers nothing: a listener whose queue of one
// is full.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue of the listener never fills")
	return addr
}

// reset makes closing c send RST.
func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// check runs one probe under its limit, as a monitor does, and fails the test
// when it takes longer.
func check(t *testing.T, c Checker) Result {
	t.Helper()
	limit := c.(Limiter).Limit()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	r := c.Check(ctx)
	if d := time.Since(start); d > limit+time.Second {
		t.Errorf("%s took %v, its limit is %v", c, d, limit)
	}
	if !r.OK && r.Reason == "" {
		t.Errorf("%s failed without a reason", c)
	}
	return r
}

// wantResult checks the verdict and that the reason says certain words.
func wantResult(t *testing.T, r Result, ok bool, words string) {
	t.Helper()
	if r.OK != ok || !strings.Contains(r.Reason, words) {
		t.Errorf("got ok=%v %q, want ok=%v %q", r.OK, r.Reason, ok, words)
	}
}

func TestTCP(t *testing.T) {
	for _, test := range []struct {
		name  string
		addr  netip.AddrPort
		ok    bool
		words string
	}{
		{"accept", serve(t, func(net.Conn) {}), true, "connected"},
		{"refuse", closedPort(t), false, "connection refused"},
		{"black hole", blackHole(t), false, "timed out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewTCP(Connect{Addr: test.addr, Timeout: 200 * time.Millisecond})
			wantResult(t, check(t, c), test.ok, test.words)
		})
	}
}

func TestConnectFrom(t *testing.T) {
	from := make(chan netip.AddrPort, 1)
	addr := serve(t, func(c net.Conn) { from <- c.RemoteAddr().(*net.TCPAddr).AddrPort() })
	port := closedPort(t).Port() // free a moment ago
	for _, test := range []struct {
		name    string
		connect Connect
		want    func(netip.AddrPort) bool
	}{
		{"bindto", Connect{BindAddr: netip.MustParseAddr("127.0.0.9")},
			func(a netip.AddrPort) bool { return a.Addr() == netip.MustParseAddr("127.0.0.9") }},
		{"bind_port", Connect{BindPort: port}, func(a netip.AddrPort) bool { return a.Port() == port }},
		{"both", Connect{BindAddr: netip.MustParseAddr("127.0.0.9"), BindPort: port},
			func(a netip.AddrPort) bool { return a == netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), port) }},
		{"bind_if", Connect{BindIf: "lo"}, func(a netip.AddrPort) bool { return a.Addr() == netip.MustParseAddr("127.0.0.1") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.connect.Addr = addr
			wantResult(t, check(t, NewTCP(test.connect)), true, "")
			if got := <-from; !test.want(got) {
				t.Errorf("connected from %v", got)
			}
		})
	}
}

func TestConnectOptionsThatCannotBeSet(t *testing.T) {
	addr := serve(t, func(net.Conn) {})
	r := check(t, NewTCP(Connect{Addr: addr, BindIf: "nosuchif0"}))
	wantResult(t, r, false, "set bind_if nosuchif0: no such device")
	r = check(t, NewTCP(Connect{Addr: addr, BindAddr: netip.MustParseAddr("192.0.2.77")}))
	wantResult(t, r, false, "cannot assign requested address")
	if r.Inconclusive {
		t.Error("a source address that is not there fails the probe, as in keepalived")
	}
}

func TestConnectMark(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := (Connect{Mark: 0xfedcba98}).setOptions(fd); errors.Is(err, unix.EPERM) {
		t.Skip("setting a mark needs CAP_NET_ADMIN")
	} else if err != nil {
		t.Fatal(err)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK)
	if err != nil || uint32(got) != 0xfedcba98 {
		t.Errorf("mark %#x, %v", uint32(got), err)
	}
}

// A host out of file descriptors says nothing about the server.
func TestNoDescriptorsIsNoVerdict(t *testing.T) {
	addr := serve(t, func(net.Conn) {})
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	r := check(t, NewTCP(Connect{Addr: addr}))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, false, "cannot probe: ")
	if !r.Inconclusive {
		t.Error("want no verdict")
	}
}
