package vrrp

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const frrDir = "/usr/lib/frr"

// frrLink is the macvlan with the virtual MAC that FRR wants to find, with the
// virtual address on it. FRR takes its carrier away while it is not master.
const frrLink = "vrrp"

// frr runs FRR's zebra and vrrpd on a node, in the foreground, without what the
// package's own service may run elsewhere.
func (n *node) frr(v variant, priority int) {
	n.t.Helper()
	owner, err := user.Lookup("frr")
	if _, statErr := os.Stat(filepath.Join(frrDir, "vrrpd")); err != nil || statErr != nil {
		n.t.Skip("frr is not installed")
	}
	c := v.config
	dir := frrDirectory(n.t, owner)
	n.frrInterface(c)
	word := map[uint8]string{4: "ip", 6: "ipv6"}[c.Family]
	conf := fmt.Sprintf("log stdout\ninterface eth0\n vrrp 51 version %d\n vrrp 51 priority %d\n vrrp 51 advertisement-interval %d\n vrrp 51 %s %s\n",
		c.Version, priority, c.AdvertInterval.Milliseconds(), word, c.Addresses[0])
	for name, text := range map[string]string{"vrrpd.conf": conf, "zebra.conf": "log stdout\n"} {
		noError(n.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)) // they are read as another user
	}
	n.has = func(netip.Addr) bool { return n.linkRuns(frrLink) }
	var running []func()
	n.stop = sync.OnceFunc(func() { // also when the test ends before both run
		for _, stop := range slices.Backward(running) {
			stop()
		}
		n.has = func(netip.Addr) bool { return false } // zebra gives the carrier back as it ends
		defer func() { _ = os.RemoveAll(dir) }()
		if n.t.Failed() {
			for _, name := range []string{"zebra", "vrrpd"} {
				text, _ := os.ReadFile(filepath.Join(dir, name+".log"))
				n.t.Logf("%s:\n%s", name, text)
			}
		}
	})
	running = append(running, n.frrDaemon(dir, "zebra"))
	eventually(n.t, "zebra listens", func() bool { _, err := os.Stat(filepath.Join(dir, "zserv.api")); return err == nil })
	running = append(running, n.frrDaemon(dir, "vrrpd"))
}

// frrDirectory makes a directory for sockets and files, short as socket names
// have to be, of the user that FRR becomes.
func frrDirectory(t *testing.T, owner *user.User) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "frr")
	noError(t, err)
	uid, err := strconv.Atoi(owner.Uid)
	noError(t, err)
	noError(t, os.Chown(dir, uid, -1))
	noError(t, os.Chmod(dir, 0o755))
	return dir
}

func (n *node) frrInterface(c *Config) {
	n.t.Helper()
	if _, err := n.nl.h.LinkByName(frrLink); err == nil {
		return
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = frrLink, linkOf(n.t, n.nl, "eth0").Attrs().Index, VirtualMAC(51, c.Family)
	noError(n.t, n.nl.h.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}))
	setUp(n.t, n.nl, frrLink, true)
	link := linkOf(n.t, n.nl, frrLink)
	if c.Family == 4 {
		addrAdd(n.t, n.nl, frrLink, netip.PrefixFrom(c.Addresses[0], 24).String())
		return
	}
	// FRR speaks from the link-local address that the kernel lists first, the
	// youngest: it must not be the virtual one.
	for _, addr := range []netip.Addr{c.Addresses[0], netip.MustParseAddr("fe80::aa")} {
		noError(n.t, n.nl.h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, 64)), Flags: unix.IFA_F_NODAD}))
	}
}

// frrDaemon starts one of them; stop ends it cleanly, and by force when it does
// not end.
func (n *node) frrDaemon(dir, name string) (stop func()) {
	n.t.Helper()
	out, err := os.Create(filepath.Join(dir, name+".log"))
	noError(n.t, err)
	cmd := exec.Command(filepath.Join(frrDir, name), "-f", filepath.Join(dir, name+".conf"), "-z", filepath.Join(dir, "zserv.api"),
		"-i", filepath.Join(dir, name+".pid"), "--vty_socket", dir, "-P", "0", "-u", "frr", "-g", "frr")
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	noError(n.t, within(n.ns, cmd.Start))
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its status tells nothing
		close(ended)
	}()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = out.Close()
	})
	return stop
}

func (n *node) linkRuns(name string) bool {
	link, err := n.nl.h.LinkByName(name)
	return err == nil && link.Attrs().RawFlags&unix.IFF_RUNNING != 0
}

// TestX05_FRR elects between ours and FRR's vrrpd both ways round: election,
// cut-off and its end, clean stop, return with preemption.
func TestX05_FRR(t *testing.T) {
	for _, v := range variants() {
		if v.name != "v2" && v.name != "v3" && v.name != "v3 IPv6" {
			continue
		}
		for _, pair := range [][2]string{{"xvip", "frr"}, {"frr", "xvip"}} {
			t.Run(v.name+"/"+strings.Join(pair[:], " before "), func(t *testing.T) {
				t.Parallel()
				electWithFRR(t, v, pair)
			})
		}
	}
}

func electWithFRR(t *testing.T, v variant, pair [2]string) {
	m := newMatch(t, v, pair)
	m.start(m.a, true)
	m.start(m.b, true)
	m.settled("election", m.a, m.b)
	m.cutAndHeal()
	m.a.stop()
	m.settled("clean stop", m.b, m.a)
	m.start(m.a, true)
	m.settled("return", m.a, m.b)
	m.noneRefused()
}
