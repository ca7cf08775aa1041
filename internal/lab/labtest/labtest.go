// Package labtest gives tests a lab that closes with them, and a way to wait
// for conditions.
package labtest

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// NeedRoot skips the test when it does not run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and raw sockets")
	}
}

// New makes a lab that is closed when the test ends. It skips the test when it
// does not run as root.
func New(t testing.TB, name string) *lab.Lab {
	t.Helper()
	NeedRoot(t)
	l, err := lab.New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	return l
}

// Host adds a host, with addresses such as 192.0.2.1/24.
func Host(t testing.TB, l *lab.Lab, name string, addrs ...string) *lab.Host {
	t.Helper()
	var prefixes []netip.Prefix
	for _, a := range addrs {
		prefixes = append(prefixes, netip.MustParsePrefix(a))
	}
	h, err := l.AddHost(name, prefixes...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Eventually waits until check returns nil, and fails the test with its last
// error when that takes longer than limit. It gives how long it took.
func Eventually(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	took, err := lab.Await(t.Context(), limit, check)
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
	return took
}
