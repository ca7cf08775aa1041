package vrrp

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// node is a network namespace with one end of a veth pair, in which a Set or a
// keepalived runs.
type node struct {
	t    *testing.T
	ns   netns.NsHandle
	addr netip.Addr // what its advertisements come from
	nl   *Netlink
	set  *Set
	log  *logBuffer
	has  func(vip netip.Addr) bool // nil: by the addresses of all interfaces
	stop func()
}

// within runs fn in the namespace of a node, on a thread of its own.
func within(ns netns.NsHandle, fn func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			failed <- err
			return
		}
		failed <- fn()
	}()
	return <-failed
}

// twoNodes makes two namespaces on one link: 10.99.0.5, fe80::5 and 10.99.0.10,
// fe80::10.
func twoNodes(t *testing.T) (a, b *node) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	var nodes []*node
	for range 2 {
		made := make(chan netns.NsHandle, 1)
		go func() {
			runtime.LockOSThread()
			ns, err := netns.New()
			if err != nil {
				t.Error(err)
			}
			made <- ns
		}()
		n := &node{t: t, ns: <-made, stop: func() {}}
		noError(t, within(n.ns, func() (err error) { n.nl, err = OpenNetlink(); return err }))
		t.Cleanup(func() {
			n.stop()
			_ = n.nl.Close()
			_ = n.ns.Close()
		})
		nodes = append(nodes, n)
	}
	a, b = nodes[0], nodes[1]
	noError(t, within(a.ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.ns)})
	}))
	for _, n := range nodes {
		noError(t, within(n.ns, func() error {
			return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_dad", []byte("0"), 0)
		}))
		setUp(t, n.nl, "eth0", true)
	}
	for i, n := range nodes {
		host := []string{"5", "10"}[i]
		addrAdd(t, n.nl, "eth0", "10.99.0."+host+"/24")
		link := linkOf(t, n.nl, "eth0")
		ll := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("fe80::" + host + "/64")), Flags: syscall.IFA_F_NODAD}
		eventually(t, "the link is up", func() bool { return linkOf(t, n.nl, "eth0").Attrs().OperState == netlink.OperUp })
		if all, err := n.nl.h.AddrList(link, netlink.FAMILY_V6); err == nil {
			for _, x := range all {
				_ = n.nl.h.AddrDel(link, &x)
			}
		}
		noError(t, n.nl.h.AddrAdd(link, ll))
	}
	return a, b
}

// run starts a Set with one virtual router on a node.
func (n *node) run(spec RouterSpec) {
	n.t.Helper()
	n.runAll(Wanted{Routers: []RouterSpec{spec}})
}

// runAll starts a Set.
func (n *node) runAll(w Wanted) {
	n.t.Helper()
	log, text := testLog()
	n.log = text
	noError(n.t, within(n.ns, func() (err error) {
		n.set, err = NewSet(log, nil, nil)
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	set := n.set
	set.Update(w)
	wg.Go(func() {
		if err := set.Run(ctx); err != nil {
			n.t.Error(err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		set.Stop(false)
		cancel()
		wg.Wait()
		if n.t.Failed() {
			n.t.Logf("log:\n%s", text)
		}
	})
}

// keepalived runs Debian's keepalived on a node.
func (n *node) keepalived(conf string) {
	n.t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		n.t.Skip("keepalived is not installed")
	}
	dir := n.t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	noError(n.t, os.WriteFile(file, []byte(conf), 0o600))
	var out bytes.Buffer
	cmd := exec.Command(path, "-n", "-l", "-D", "-P", "-f", file, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	cmd.Stdout, cmd.Stderr = &out, &out
	noError(n.t, within(n.ns, cmd.Start))
	n.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // its status tells nothing
		if n.t.Failed() {
			n.t.Logf("keepalived:\n%s", out.String())
		}
	})
}

// start runs a program on a node, its output in a file, until the test ends or
// stop is called.
func (n *node) start(t *testing.T, output, name string, args ...string) (stop func()) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := os.Create(output)
	noError(t, err)
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	noError(t, within(n.ns, cmd.Start))
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // its status tells nothing
		_ = out.Close()
	})
	t.Cleanup(stop)
	return stop
}

// owns tells whether a node carries the virtual address.
func (n *node) owns(vip netip.Addr) bool {
	if n.has != nil {
		return n.has(vip)
	}
	all, err := n.nl.addrs()
	noError(n.t, err)
	return slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.Equal(vip.AsSlice()) })
}

// cut drops all that arrives at a node, or ends that.
func (n *node) cut(on bool) {
	n.t.Helper()
	rules := "table inet cut { chain in { type filter hook input priority -300; policy drop; }; }"
	if !on {
		rules = "delete table inet cut"
	}
	path, err := exec.LookPath("nft")
	if err != nil {
		n.t.Skip("nft is not installed")
	}
	cmd := exec.Command(path, "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	noError(n.t, within(n.ns, cmd.Run))
}
