package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// ipvsSlack is how long something may take where a kernel runs emulated.
const ipvsSlack = 2 * time.Minute

// needIPVS skips where the kernel has no IPVS: there TestVM runs the same test
// on kernels that have it.
func needIPVS(t *testing.T) {
	t.Helper()
	labtest.NeedRoot(t)
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		t.Skip("this kernel has no IPVS; the test runs in the virtual machines")
	}
}

// fullKeepalived is a node with Debian's keepalived, checkers and all.
func fullKeepalived(t *testing.T, h *lab.Host, text string, flags ...string) *node {
	t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		t.Fatalf("Debian's keepalived is needed (make deps installs it): %v", err)
	}
	n := newNode(t, h, text)
	n.argv = append(n.argv, path, "-n", "-l", "-D", "-f", n.conf,
		"-p", filepath.Join(n.dir, "keepalived.pid"), "-r", filepath.Join(n.dir, "vrrp.pid"), "-c", filepath.Join(n.dir, "checkers.pid"))
	n.argv = append(n.argv, flags...)
	return n
}

// ipvsNode is a node with xvip on IPVS alone.
func ipvsNode(t *testing.T, h *lab.Host, text string, flags ...string) *node {
	t.Helper()
	n := xvipNode(t, h, "", text)
	n.argv = append(append(n.argv, "--dataplane", "ipvs", "--metrics-listen", "off"), flags...)
	return n
}

// tables is what ipvsadm shows of a node: rules, thresholds, timeouts and sync daemons.
func (n *node) tables() (string, error) {
	out, err := n.host.Run(n.t.Context(), "sh", "-c", "ipvsadm -Sn && ipvsadm -ln --thresholds && ipvsadm -ln --timeout && ipvsadm -ln --daemon")
	if err != nil {
		return "", fmt.Errorf("ipvsadm: %w: %s", err, out)
	}
	return strings.TrimSpace(out), nil
}

// eventually is labtest.Eventually at a slower pace: where every program runs
// emulated, asking must not be the load.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ipvsSlack)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, ipvsSlack, err)
		}
	}
}

// ask reads the status from the control socket, without a program in between.
func (n *node) ask() (*status, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.socket())
	}}, Timeout: ipvsSlack}
	r, err := c.Get("http://xvip/status")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	var st status
	return &st, json.NewDecoder(r.Body).Decode(&st)
}

func (n *node) mustTables() string {
	n.t.Helper()
	out, err := n.tables()
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *node) ipvsadm(args ...string) {
	n.t.Helper()
	if out, err := n.host.Run(n.t.Context(), append([]string{"ipvsadm"}, args...)...); err != nil {
		n.t.Fatalf("ipvsadm %v: %v: %s", args, err, out)
	}
}

// rough is what the kernel itself shows of a node's rules, in no order: enough
// to see that nothing changed, and much cheaper than a program.
func (n *node) rough() (string, error) {
	b := make([]byte, 1<<16) // read at once: in pieces, the kernel loses lines in between
	err := n.host.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/ip_vs")
		if err != nil {
			return err
		}
		defer f.Close()
		k, err := f.Read(b)
		b = b[:k]
		return err
	})
	lines := strings.Split(string(b), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

// equalRough tells by rough whether both nodes hold the same, as an error.
func equalRough(a, b *node) error {
	x, err := a.rough()
	if err != nil {
		return err
	}
	y, err := b.rough()
	if err == nil && x != y {
		err = fmt.Errorf("%s:\n%s\n%s:\n%s", a.host.Name(), x, b.host.Name(), y)
	}
	return err
}

// wantEqualTables waits until both nodes hold the same.
func wantEqualTables(t *testing.T, when string, ours, theirs *node) string {
	t.Helper()
	var a, b string
	eventually(t, when+": ipvsadm shows the same after xvip and after keepalived", func() (err error) {
		if err := equalRough(ours, theirs); err != nil {
			return err
		}
		if a, err = ours.tables(); err != nil {
			return err
		}
		if b, err = theirs.tables(); err != nil {
			return err
		}
		if a != b {
			return fmt.Errorf("xvip:\n%s\nkeepalived:\n%s", a, b)
		}
		return nil
	})
	return a
}

// farm is the real servers of a configuration: listeners on addresses of the
// node itself, each of which can die and return.
type farm struct {
	t     *testing.T
	hosts []*lab.Host
	addrs []string
	up    map[string][]listener
}

// listener accepts until it is closed; ended says that its port is free again.
type listener struct {
	net.Listener
	ended chan struct{}
}

var (
	realServer  = regexp.MustCompile(`(?m)^\s*real_server (\S+)(?: (\d+))? \{`)
	connectPort = regexp.MustCompile(`(?m)^\s*connect_port (\d+)`)
)

// farmHost is a host on which every address of the two networks of the test
// files is local, and which hears no other.
func farmHost(t *testing.T, l *lab.Lab, name, addr string) *lab.Host {
	t.Helper()
	h := labtest.Host(t, l, name, addr)
	if err := h.Isolate(); err != nil {
		t.Fatal(err)
	}
	if err := h.Sysctl("net/ipv6/ip_nonlocal_bind", "1"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-4", "10.2.0.0/16"}, {"-6", "fd00:2::/64"}} {
		if out, err := h.Run(t.Context(), "ip", args[0], "route", "add", "local", args[1], "dev", "lo"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return h
}

// newFarm starts the real servers of the texts.
func newFarm(t *testing.T, texts []string, hosts ...*lab.Host) *farm {
	t.Helper()
	f := &farm{t: t, hosts: hosts, up: map[string][]listener{}}
	for _, text := range texts {
		for _, m := range realServer.FindAllStringSubmatch(text, -1) {
			port := m[2]
			if port == "" {
				port = connectPort.FindStringSubmatch(text)[1]
			}
			if a := net.JoinHostPort(m[1], port); !slices.Contains(f.addrs, a) {
				f.addrs = append(f.addrs, a)
			}
		}
	}
	for _, a := range f.addrs {
		f.rise(a)
	}
	t.Cleanup(func() {
		for _, a := range f.addrs {
			f.die(a)
		}
	})
	return f
}

func (f *farm) rise(addr string) {
	f.t.Helper()
	for _, h := range f.hosts {
		l, err := h.Listen("tcp", addr)
		if err != nil {
			f.t.Fatalf("real server %s on %s: %v", addr, h.Name(), err)
		}
		in := listener{l, make(chan struct{})}
		f.up[addr] = append(f.up[addr], in)
		go in.accept()
	}
}

// accept takes connections and ends them at once, as a checker needs.
func (l listener) accept() {
	defer close(l.ended)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func (f *farm) die(addr string) {
	for _, l := range f.up[addr] {
		l.Close()
		<-l.ended
	}
	delete(f.up, addr)
}

// seen waits until the node's status says of every real server with a checker
// what the farm did. Servers of suspended services are left out.
func (f *farm) seen(n *node) {
	f.t.Helper()
	eventually(f.t, "xvip sees which real servers are up", func() error {
		st, err := n.ask()
		if err != nil {
			return err
		}
		if len(st.VirtualServers) == 0 {
			return fmt.Errorf("there are no services yet")
		}
		for _, v := range st.VirtualServers {
			for _, r := range v.RealServers {
				if r.Sorry {
					continue
				}
				if up := f.upAt(r.Address); r.Up != up {
					return fmt.Errorf("%s of %s:%d is up: %v, want %v", r.Address, v.Address, v.Port, r.Up, up)
				}
			}
		}
		return nil
	})
}

// upAt tells whether the servers at an address are up; they share their fate.
func (f *farm) upAt(addr string) bool {
	for a := range f.up {
		if ap, err := netip.ParseAddrPort(a); err == nil && ap.Addr().String() == addr {
			return true
		}
	}
	return false
}
