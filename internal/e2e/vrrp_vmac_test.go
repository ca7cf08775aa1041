package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// virtualMAC is that of VRID 51 over IPv4 (RFC 9568 §7.3).
const virtualMAC = "00:00:5e:00:01:33"

// neighborMAC is the MAC by which a host knows an address that it has just
// asked for.
func neighborMAC(t *testing.T, h *lab.Host, addr string) string {
	t.Helper()
	out, err := h.Run(t.Context(), "ip", "neigh", "show", "to", addr, "dev", "eth0")
	if err != nil {
		t.Fatal(err, out)
	}
	words := strings.Fields(out)
	if i := slices.Index(words, "lladdr"); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// TestVirtualMACThroughFailover: the client knows the address by the virtual
// MAC, from the first master through a clean stop, a return and a pulled cable.
// Once learnt, the client keeps the MAC for good: only the same one on the next
// master answers it.
func TestVirtualMACThroughFailover(t *testing.T) {
	for _, pair := range [][2]string{{"xvip", "xvip"}, {"xvip", "keepalived"}, {"keepalived", "xvip"}} {
		t.Run(pair[0]+" before "+pair[1], func(t *testing.T) {
			t.Parallel()
			virtualMACThroughFailover(t, pair)
		})
	}
}

func virtualMACThroughFailover(t *testing.T, pair [2]string) {
	l := labtest.New(t, "vmac")
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	run := func(kind, name, addr string, priority int) *node {
		conf := fmt.Sprintf("vrrp_instance VI_1 {\n interface eth0\n use_vmac\n virtual_router_id 51\n priority %d\n advert_int 1\n"+
			" virtual_ipaddress {\n %s/32\n }\n}\n", priority, vip1)
		h := labtest.Host(t, l, name, addr)
		if kind == "keepalived" {
			return keepalivedNode(t, h, conf)
		}
		return xvipNode(t, h, "", conf+"xvip {\n metrics_listen off\n}\n")
	}
	a := run(pair[0], "a", "192.168.166.130/24", 150).start()
	b := run(pair[1], "b", "192.168.166.132/24", 100).start()
	master := func(what string, limit time.Duration, yes, no *node) {
		t.Helper()
		labtest.Eventually(t, limit, what, func() error {
			for n, want := range map[*node]bool{yes: true, no: false} {
				out, err := n.host.Run(t.Context(), "ip", "-o", "addr", "show", "to", vip1)
				if err != nil || strings.Contains(out, "vrrp.51") != want {
					return fmt.Errorf("%s has %q: %v", n.host.Name(), out, err)
				}
			}
			return nil
		})
	}
	master("election", masterDown+startUp, a, b)
	pings(t, client)
	// keepalived's parent asks for the client in the name of the address, by the
	// real MAC, so there the client may know it by that.
	if mac := neighborMAC(t, client, vip1); mac != virtualMAC && pair[0] == "xvip" {
		t.Fatalf("the client knows the address by %q, want %s", mac, virtualMAC)
	}
	if out, err := client.Run(t.Context(), "ip", "neigh", "replace", vip1, "lladdr", virtualMAC, "nud", "permanent", "dev", "eth0"); err != nil {
		t.Fatal(err, out)
	}
	p, err := client.Ping(netip.MustParseAddr(vip1), 20*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	a.stop()
	master("clean stop", masterDown+startUp, b, a)
	pings(t, client)
	if r := p.Stop(); r.LongestGap() > 3*time.Second {
		t.Errorf("after a clean stop nobody answered for %v: %v", r.LongestGap(), r.FirstError())
	} else {
		t.Logf("%d of %d pings were lost, the longest gap is %v", r.Failures(), len(r), r.LongestGap())
	}
	a.start()
	master("return", masterDown+startUp, a, b)
	pings(t, client)
	if err := a.host.Unplug(); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, masterDown+startUp, "takeover", func() error {
		_, err := client.Run(t.Context(), "ping", "-c", "1", "-W", "1", vip1)
		return err
	})
	if err := a.host.Plug(); err != nil {
		t.Fatal(err)
	}
	master("healed", masterDown+startUp, a, b)
	pings(t, client)
	a.stop()
	b.stop()
	for _, n := range []*node{a, b} {
		if out, err := n.host.Run(t.Context(), "ip", "link", "show", "vrrp.51"); err == nil {
			t.Errorf("%s: left at the end: %s", n.host.Name(), out)
		}
	}
}

// TestVirtualMACOutlivesTheDaemon: the interface of a killed daemon stays with
// its guardian and the next daemon, as it was; one that the configuration wants
// no more is removed with its address, though nobody was left to do so.
func TestVirtualMACOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "vmaclife")
	conf := func(words string, priority int) string {
		return fmt.Sprintf("vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority %d\n advert_int 1\n %s\n"+
			" virtual_ipaddress {\n %s/32\n }\n}\nxvip {\n metrics_listen off\n}\n", priority, words, vip1)
	}
	a := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", conf("use_vmac", 150)).start()
	a.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	b := xvipNode(t, labtest.Host(t, l, "b", "192.168.166.132/24"), "", conf("use_vmac", 130)).start()
	b.wantStates(startUp, map[string]string{"VI_1": "BACKUP"})
	first := waitGuardian(t, a, 0)
	before, err := a.host.Run(t.Context(), "ip", "-o", "addr", "show", "dev", "vrrp.51")
	if err != nil || !strings.Contains(before, vip1) {
		t.Fatal(err, before)
	}
	kill := func(pids ...int) {
		t.Helper()
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		<-a.proc.Done()
	}
	kill(a.proc.Pid())
	a.start()
	if st := a.wantStates(startUp, map[string]string{"VI_1": "MASTER"}); st.VirtualRouters[0].Reason != "resumed" {
		t.Errorf("it is master because %q, want resumed", st.VirtualRouters[0].Reason)
	}
	if after, err := a.host.Run(t.Context(), "ip", "-o", "addr", "show", "dev", "vrrp.51"); err != nil || after != before {
		t.Errorf("the interface was\n%sand is\n%s%v", before, after, err)
	}
	if st, err := b.status(); err != nil || st.VirtualRouters[0].Transitions != 1 {
		t.Errorf("the backup changed its role: %+v, %v", st.VirtualRouters, err)
	}
	kill(waitGuardian(t, a, first), a.proc.Pid())
	a.write(conf("", 150))
	a.start()
	labtest.Eventually(t, masterDown+startUp, "the address is on the interface itself", func() error {
		out, err := a.host.Run(t.Context(), "ip", "-o", "addr", "show", "to", vip1)
		if err != nil || strings.Contains(out, "vrrp.51") || !strings.Contains(out, "eth0") {
			return fmt.Errorf("it has %q: %v", out, err)
		}
		return nil
	})
	if out, err := a.host.Run(t.Context(), "ip", "link", "show", "vrrp.51"); err == nil {
		t.Errorf("left of an earlier life: %s", out)
	}
	a.stop()
	b.stop()
}

// pings waits until the address answers.
func pings(t *testing.T, client *lab.Host) {
	t.Helper()
	labtest.Eventually(t, startUp, "an answer", func() error {
		_, err := client.Run(t.Context(), "ping", "-c", "1", "-W", "1", vip1)
		return err
	})
}

// TestXDPBelowVirtualMAC: what is sent to the virtual MAC is forwarded by the
// program on the parent, on both directors in turn, for a client that knows no
// other MAC.
func TestXDPBelowVirtualMAC(t *testing.T) {
	labtest.NeedRoot(t)
	for _, c := range []struct {
		net    pairNet
		method string
	}{{pair4, "DR"}, {pair4, "NAT"}, {pair6, "DR"}} {
		t.Run(fmt.Sprintf("v%d-%s", c.net.family, c.method), func(t *testing.T) {
			t.Parallel()
			c.net.xdpBelowVirtualMAC(t, c.method)
		})
	}
}

func (p pairNet) xdpBelowVirtualMAC(t *testing.T, method string) {
	l := labtest.New(t, "vmac"+method)
	client := labtest.Host(t, l, "client", fmt.Sprintf("%s/%d", p.client, p.bits))
	for i, addr := range p.real {
		own := p.vip
		if method == "NAT" {
			own = addr
		}
		serveSums(t, p.realServer(t, l, fmt.Sprintf("web%d", i+1), addr, method), own)
	}
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	var nodes [2]*node
	for i, state := range []string{"MASTER", "BACKUP"} {
		text := strings.Replace(p.xdpConfig(method, state, 100-10*i), "interface eth0\n", "interface eth0\n    use_vmac\n", 1)
		nodes[i] = xvipNode(t, p.director(t, l, i), bpffs, text).start()
	}
	wantRole(t, nodes[0], "MASTER")
	wantRole(t, nodes[1], "BACKUP")
	wantUp(t, nodes[0])
	wantUp(t, nodes[1])
	url := "http://" + p.service(pagePort) + "/"
	bothServe(t, client, url)
	if mac := neighborMAC(t, client, p.vip); mac != virtualMAC {
		t.Errorf("the client knows the service by %q, want %s", mac, virtualMAC)
	}
	if out, err := client.Run(t.Context(), "ip", "neigh", "replace", p.vip, "lladdr", virtualMAC, "nud", "permanent", "dev", "eth0"); err != nil {
		t.Fatal(err, out)
	}
	p.traffic(t, client)
	p.wantXDPOnly(t, nodes[0])
	for _, n := range nodes {
		st, err := n.status()
		if err != nil {
			t.Fatal(err)
		}
		if on := st.Engine.XDP.Interfaces; len(on) != 1 || on[0].Name != "eth0" {
			t.Errorf("%s: the program is on %+v, want the parent alone", n.host.Name(), on)
		}
	}
	if err := nodes[0].host.Unplug(); err != nil {
		t.Fatal(err)
	}
	wantRole(t, nodes[1], "MASTER")
	bothServe(t, client, url)
	p.traffic(t, client)
	p.wantXDPOnly(t, nodes[1])
}
