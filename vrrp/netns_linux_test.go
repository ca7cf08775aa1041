package vrrp

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inNetns moves the test into a network namespace of its own, which vanishes
// with it, and opens netlink there. The test's goroutine stays locked to its
// thread.
func inNetns(t testing.TB) *Netlink {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	runtime.LockOSThread()
	back, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ns.Close()
		if err := netns.Set(back); err != nil {
			t.Error(err) // and the thread stays locked
			return
		}
		_ = back.Close()
		runtime.UnlockOSThread()
	})
	nl, err := OpenNetlink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nl.Close() })
	if !nl.foreign {
		t.Fatal("a new namespace is taken for the process's own")
	}
	return nl
}

// addVeth makes a pair of interfaces and sets both up.
func addVeth(t testing.TB, nl *Netlink, name, peer string) {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer}
	noError(t, nl.h.LinkAdd(link))
	setUp(t, nl, name, true)
	setUp(t, nl, peer, true)
}

func linkOf(t testing.TB, nl *Netlink, name string) netlink.Link {
	t.Helper()
	link, err := nl.h.LinkByName(name)
	noError(t, err)
	return link
}

func setUp(t testing.TB, nl *Netlink, name string, up bool) {
	t.Helper()
	if up {
		noError(t, nl.h.LinkSetUp(linkOf(t, nl, name)))
		return
	}
	noError(t, nl.h.LinkSetDown(linkOf(t, nl, name)))
}

func addrAdd(t testing.TB, nl *Netlink, device, prefix string) {
	t.Helper()
	noError(t, nl.h.AddrAdd(linkOf(t, nl, device), &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(prefix))}))
}

func addrDel(t *testing.T, nl *Netlink, device, prefix string) {
	t.Helper()
	noError(t, nl.h.AddrDel(linkOf(t, nl, device), &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(prefix))}))
}

// listAddrs gives the addresses of an interface without link-local ones.
func listAddrs(t *testing.T, nl *Netlink, device string) []netlink.Addr {
	t.Helper()
	all, err := nl.addrs()
	noError(t, err)
	index := linkOf(t, nl, device).Attrs().Index
	var list []netlink.Addr
	for _, a := range all {
		if a.LinkIndex == index && !a.IP.IsLinkLocalUnicast() {
			list = append(list, a)
		}
	}
	return list
}

func prefixes(list []netlink.Addr) []string {
	var s []string
	for _, a := range list {
		s = append(s, prefixOf(a.IPNet).String())
	}
	return s
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition that another goroutine or the kernel makes true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second) // a machine may be busy with other things
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("after 30 s: %s", what)
		}
	}
}

// runTask runs a task until the test ends, and waits for its end.
func runTask(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// logBuffer is a log that a test can read while others write to it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func testLog() (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewTextHandler(b, nil)), b
}
