package bfd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

const patience = 20 * time.Second

// start runs a Set with sessions on a host.
func start(t *testing.T, h *lab.Host, cfgs ...Config) *Set {
	t.Helper()
	var out strings.Builder
	var mu sync.Mutex
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, nil))
	s := NewSet(log.With("host", h.Name()), h.Do)
	s.Update(cfgs)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Logf("log of %s:\n%s", h.Name(), out.String())
		}
	})
	labtest.Eventually(t, patience, "the sessions are made", func() error {
		if n := len(s.Status()); n != len(cfgs) {
			return fmt.Errorf("%d of %d", n, len(cfgs))
		}
		return nil
	})
	return s
}

type lockedWriter struct {
	mu *sync.Mutex
	to *strings.Builder
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// become waits for the state of a session.
func become(t *testing.T, s *Set, name string, up bool) {
	t.Helper()
	labtest.Eventually(t, patience, fmt.Sprintf("session %s: up is %v", name, up), func() error {
		if got, _ := s.Known(name); got != up {
			return fmt.Errorf("%+v, refused %v", s.Status(), s.Refused())
		}
		return nil
	})
}

func to(name, neighbor string, change func(*Config)) Config {
	return testConfig(func(c *Config) {
		c.Multiplier = 20 // a busy machine may keep a test from running for a while
		c.Name, c.Neighbor = name, netip.MustParseAddr(neighbor)
		if change != nil {
			change(c)
		}
	})
}

// Two sets, both families, single hop and multihop: up, cut off, up again, told
// of a stop.
func TestTwoSets(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bfd2")
	a, b := labtest.Host(t, l, "a", "10.77.0.1/24", "2001:db8:77::1/64"), labtest.Host(t, l, "b", "10.77.0.2/24", "2001:db8:77::2/64")
	multi := func(c *Config) { c.Multihop, c.MinTTL = true, 0 }
	names := []string{"four", "six", "far"}
	sa := start(t, a, to("four", "10.77.0.2", nil), to("six", "2001:db8:77::2", nil), to("far", "10.77.0.2", multi))
	sb := start(t, b, to("four", "10.77.0.1", func(c *Config) { c.Source = netip.MustParseAddr("10.77.0.2") }), to("six", "2001:db8:77::1", nil),
		to("far", "10.77.0.1", multi))
	all := func(up bool) {
		t.Helper()
		for _, name := range names {
			become(t, sa, name, up)
			become(t, sb, name, up)
		}
	}
	var mu sync.Mutex
	heard := []bool{}
	stop := sa.Watch("four", func(up bool) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, up)
	})
	defer stop()
	all(true)
	if err := a.Isolate(); err != nil {
		t.Fatal(err)
	}
	all(false)
	if err := a.Join(); err != nil {
		t.Fatal(err)
	}
	all(true)
	before := sa.Status()[1].Transitions
	sb.Update([]Config{to("six", "2001:db8:77::1", nil)}) // the others are gone
	become(t, sa, "four", false)
	become(t, sa, "far", false)
	st := sa.Status()
	if st[0].Diagnostic != NeighborSignaledDown || st[0].RemoteState != AdminDown {
		t.Errorf("the stop came as %+v", st[0])
	}
	if st[1].State != Up || st[1].Transitions != before {
		t.Errorf("a session that stayed was disturbed: %+v", st[1])
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(heard[len(heard)-2:]) != "[true false]" {
		t.Errorf("heard %v", heard)
	}
}

// A packet that came over a router is refused on a single hop (RFC 5881 section
// 5), one of another neighbor belongs to no session.
func TestStrangePacketsAreCounted(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bfdttl")
	a, b := labtest.Host(t, l, "a", "10.77.0.1/24"), labtest.Host(t, l, "b", "10.77.0.2/24", "10.77.0.3/24")
	sa := start(t, a, to("x", "10.77.0.2", nil))
	start(t, b, to("x", "10.77.0.1", func(c *Config) { c.TTL, c.Source = 254, netip.MustParseAddr("10.77.0.2") }),
		to("y", "10.77.0.1", func(c *Config) { c.Source = netip.MustParseAddr("10.77.0.3") }))
	labtest.Eventually(t, patience, "both are counted", func() error {
		if n, m := sa.Status()[0].Refused["ttl"], sa.Refused()["unknown_session"]; n == 0 || m == 0 {
			return fmt.Errorf("ttl %d, unknown %d", n, m)
		}
		return nil
	})
	if st := sa.Status()[0]; st.State != Down || st.Received != 0 {
		t.Errorf("%+v", st)
	}
}

// A source address that comes later is used then.
func TestASourceThatComesLater(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bfdlate")
	a, b := labtest.Host(t, l, "a", "10.77.0.1/24"), labtest.Host(t, l, "b", "10.77.0.2/24")
	sa := start(t, a, to("x", "10.77.0.2", func(c *Config) { c.Source = netip.MustParseAddr("10.77.0.9") }))
	start(t, b, to("x", "10.77.0.9", nil))
	if _, known := sa.Known("x"); known {
		t.Error("a session that has just begun says something")
	}
	if err := a.AddAddress("eth0", netip.MustParsePrefix("10.77.0.9/24")); err != nil {
		t.Fatal(err)
	}
	become(t, sa, "x", true)
}

const frrDir = "/usr/lib/frr"

// FRR's bfdd: single hop in both families, and multihop.
func TestWithFRR(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(frrDir, "bfdd")); err != nil {
		t.Skip("FRR is not installed")
	}
	l := labtest.New(t, "bfdfrr")
	a, b := labtest.Host(t, l, "a", "10.77.0.1/24", "2001:db8:77::1/64"), labtest.Host(t, l, "b", "10.77.0.2/24", "2001:db8:77::2/64")
	dir, err := os.MkdirTemp("", "bfdfrr") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	timers := "  detect-multiplier 3\n  receive-interval 50\n  transmit-interval 50\n"
	conf := "bfd\n peer 10.77.0.1\n" + timers + " !\n peer 2001:db8:77::1 local-address 2001:db8:77::2\n" + timers +
		" !\n peer 10.77.0.1 multihop local-address 10.77.0.2\n" + timers + " !\n!\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "bfdd.conf"), []byte(conf), 0o644), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	frr(t, b, dir, "zebra")
	labtest.Eventually(t, patience, "zebra listens", func() error { _, err := os.Stat(filepath.Join(dir, "zserv.api")); return err })
	frr(t, b, dir, "bfdd")
	names := []string{"four", "six", "far"}
	s := start(t, a, to("four", "10.77.0.2", nil), to("six", "2001:db8:77::2", nil),
		to("far", "10.77.0.2", func(c *Config) { c.Multihop, c.MinTTL, c.Source = true, 0, netip.MustParseAddr("10.77.0.1") }))
	for _, up := range []bool{true, false, true} {
		for _, name := range names {
			become(t, s, name, up)
		}
		change := b.Isolate
		if !up {
			change = b.Join
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
}

func frr(t *testing.T, h *lab.Host, dir, name string) {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{filepath.Join(frrDir, name), "-f", filepath.Join(dir, name+".conf"), "-z", filepath.Join(dir, "zserv.api"), "-i", filepath.Join(dir, name+".pid"),
		"--vty_socket", dir, "-P", "0", "-u", "frr", "-g", "frr", "--log", "stdout"}
	if name == "bfdd" {
		argv = append(argv, "--bfdctl", filepath.Join(dir, "bfdd.sock"))
	} else if err := os.WriteFile(filepath.Join(dir, "zebra.conf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := h.Start(lab.Command{Argv: argv, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		_ = out.Close()
		if b, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", name, b)
		}
	})
}

// Debian's keepalived, in both families.
func TestWithKeepalived(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bfdka")
	a, b := labtest.Host(t, l, "a", "10.77.0.1/24", "2001:db8:77::1/64"), labtest.Host(t, l, "b", "10.77.0.2/24", "2001:db8:77::2/64")
	dir := t.TempDir()
	conf := "bfd_instance four {\n neighbor_ip 10.77.0.1\n min_rx 50\n min_tx 50\n multiplier 3\n}\n" +
		"bfd_instance six {\n neighbor_ip 2001:db8:77::1\n min_rx 50\n min_tx 50\n multiplier 3\n}\n" +
		"vrrp_instance V {\n interface eth0\n virtual_router_id 1\n priority 100\n virtual_ipaddress {\n  10.77.0.100\n }\n track_bfd {\n  four\n  six\n }\n}\n"
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Start(lab.Command{Argv: []string{"keepalived", "-n", "-l", "-D", "-f", file, "-p", filepath.Join(dir, "k.pid"), "-r", filepath.Join(dir, "v.pid"),
		"-b", filepath.Join(dir, "b.pid"), "-c", filepath.Join(dir, "c.pid")}, Out: out})
	if err != nil {
		t.Skip("keepalived is not installed: ", err)
	}
	t.Cleanup(func() {
		_ = p.Stop(context.WithoutCancel(t.Context()))
		if b, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
			t.Logf("keepalived:\n%s", b)
		}
	})
	s := start(t, a, to("four", "10.77.0.2", nil), to("six", "2001:db8:77::2", func(c *Config) { c.MinTTL = 64 }))
	for _, up := range []bool{true, false, true} {
		become(t, s, "four", up)
		become(t, s, "six", up)
		change := b.Isolate
		if !up {
			change = b.Join
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
}
