package e2e

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// pairNet is the addresses of a pair of directors in one family. The client is
// in a network of its own, so that the answers of NAT go back through the
// director, which is the real servers' gateway at inside.
type pairNet struct {
	family          int
	client          string
	outside, inside [2]string // addresses of the directors
	vip, gateway    string
	bits, hostBits  int
	real            [2]string
	clientNet       string
}

var (
	pair4 = pairNet{family: 4, client: "10.9.0.10", outside: [2]string{"10.9.0.1", "10.9.0.2"}, inside: [2]string{"192.168.166.130", "192.168.166.132"},
		vip: "10.9.0.100", gateway: "192.168.166.200", bits: 24, hostBits: 32, real: [2]string{"192.168.166.129", "192.168.166.131"}, clientNet: "10.9.0.0/24"}
	pair6 = pairNet{family: 6, client: "fd00:9::10", outside: [2]string{"fd00:9::1", "fd00:9::2"}, inside: [2]string{"fd00:166::130", "fd00:166::132"},
		vip: "fd00:9::100", gateway: "fd00:166::200", bits: 64, hostBits: 128, real: [2]string{"fd00:166::129", "fd00:166::131"}, clientNet: "fd00:9::/64"}
)

// config is the file of one director. The election is over IPv4 in both cases.
func (p pairNet) config(method, state string, priority int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n    lvs_sync_daemon eth0 VI_1\n}\nvrrp_instance VI_1 {\n    state %s\n    interface eth0\n    virtual_router_id 51\n    priority %d\n"+
		"    virtual_ipaddress {\n        192.168.166.99/32\n    }\n    virtual_ipaddress_excluded {\n        %s/%d\n        %s/%d\n    }\n}\n",
		state, priority, p.vip, p.hostBits, p.gateway, p.hostBits)
	fmt.Fprintf(&b, "virtual_server %s 80 {\n    delay_loop 1\n    lvs_sched rr\n    lvs_method %s\n    protocol TCP\n", p.vip, method)
	for _, r := range p.real {
		fmt.Fprintf(&b, "    real_server %s 80 {\n        TCP_CHECK {\n            connect_timeout 5\n        }\n    }\n", r)
	}
	b.WriteString("}\n")
	return b.String()
}

// TestIPVSPairs: two directors on IPVS, each method, both families: the service
// is served by both real servers, also by the second director after the first
// one's cable was pulled, and an open connection goes on there: the sync
// daemons follow the election.
func TestIPVSPairs(t *testing.T) {
	needIPVS(t)
	for _, p := range []pairNet{pair4, pair6} {
		for _, method := range []string{"DR", "NAT", "TUN"} {
			t.Run(fmt.Sprintf("v%d-%s", p.family, method), func(t *testing.T) { p.test(t, method) })
		}
	}
}

func (p pairNet) test(t *testing.T, method string) {
	l := labtest.New(t, "pair")
	client := labtest.Host(t, l, "client", fmt.Sprintf("%s/%d", p.client, p.bits))
	for i, addr := range p.real {
		p.realServer(t, l, fmt.Sprintf("web%d", i+1), addr, method)
	}
	var nodes [2]*node
	for i, state := range []string{"MASTER", "BACKUP"} {
		h := p.director(t, l, i)
		nodes[i] = ipvsNode(t, h, p.config(method, state, 100-10*i))
		nodes[i].start()
	}
	url := "http://" + netip.AddrPortFrom(netip.MustParseAddr(p.vip), 80).String() + "/"
	wantRole(t, nodes[0], "MASTER")
	wantRole(t, nodes[1], "BACKUP")
	wantUp(t, nodes[0])
	wantUp(t, nodes[1])
	bothServe(t, client, url)
	s := openTo(t, client, netip.AddrPortFrom(netip.MustParseAddr(p.vip), 80).String())
	server, err := s.ask(ipvsSlack)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second director has the connection", func() error {
		if got, err := s.ask(ipvsSlack); err != nil || got != server {
			t.Fatalf("the connection gets %q, %v", got, err)
		}
		out, err := nodes[1].host.Run(t.Context(), "ipvsadm", "-Lcn")
		if err == nil && !strings.Contains(out, "ESTABLISHED") {
			err = fmt.Errorf("its connections are\n%s", out)
		}
		return err
	})
	if err := nodes[0].host.Unplug(); err != nil {
		t.Fatal(err)
	}
	wantRole(t, nodes[1], "MASTER")
	s.must(t, "after the failover", server)
	bothServe(t, client, url)
	for _, n := range nodes {
		stopNow(t, n)
	}
}

// director is a host that forwards between both networks.
func (p pairNet) director(t *testing.T, l *lab.Lab, i int) *lab.Host {
	t.Helper()
	addrs := []string{fmt.Sprintf("%s/%d", p.inside[i], p.bits), fmt.Sprintf("%s/%d", p.outside[i], p.bits)}
	if p.family == 6 {
		addrs = append(addrs, pair4.inside[i]+"/24")
	}
	h := labtest.Host(t, l, fmt.Sprintf("director%d", i+1), addrs...)
	sysctls(t, h, map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv4/conf/all/rp_filter": "0",
		"net/ipv4/conf/eth0/rp_filter": "0", "net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/eth0/send_redirects": "0"})
	return h
}

// realServer is a host that takes the service's packets as the method brings them.
func (p pairNet) realServer(t *testing.T, l *lab.Lab, name, addr, method string) *lab.Host {
	t.Helper()
	h := labtest.Host(t, l, name, fmt.Sprintf("%s/%d", addr, p.bits))
	ip := func(args ...string) {
		t.Helper()
		if out, err := h.Run(t.Context(), append([]string{"ip", fmt.Sprintf("-%d", p.family)}, args...)...); err != nil {
			t.Fatalf("ip %v on %s: %v: %s", args, name, err, out)
		}
	}
	if method == "NAT" {
		// All hosts share one link here, so the director tells of a shorter way
		// to the client, on which nobody would translate.
		sysctls(t, h, map[string]string{"net/ipv6/conf/all/accept_redirects": "0", "net/ipv6/conf/eth0/accept_redirects": "0"})
		ip("route", "add", "default", "via", p.gateway)
	} else {
		ip("route", "add", p.clientNet, "dev", "eth0")
		if err := h.BeRealServer(netip.MustParseAddr(p.vip)); err != nil {
			t.Fatal(err)
		}
	}
	if method == "TUN" {
		dev := map[int]string{4: "tunl0", 6: "ip6tnl0"}[p.family]
		ip("link", "set", dev, "up")
		sysctls(t, h, map[string]string{"net/ipv4/conf/all/rp_filter": "0"})
		if p.family == 4 {
			sysctls(t, h, map[string]string{"net/ipv4/conf/tunl0/rp_filter": "0"})
		}
	}
	if _, err := h.Serve(":80"); err != nil {
		t.Fatal(err)
	}
	return h
}

func sysctls(t *testing.T, h *lab.Host, values map[string]string) {
	t.Helper()
	for name, value := range values {
		if err := h.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRole waits until the node's virtual router says so.
func wantRole(t *testing.T, n *node, role string) {
	t.Helper()
	eventually(t, n.host.Name()+" is "+role, func() error {
		st, err := n.ask()
		if err != nil {
			return err
		}
		if len(st.VirtualRouters) != 1 || st.VirtualRouters[0].State != role {
			return fmt.Errorf("routers: %+v", st.VirtualRouters)
		}
		return nil
	})
}

// bothServe waits until the client had an answer from each real server.
func bothServe(t *testing.T, client *lab.Host, url string) {
	t.Helper()
	seen := map[string]bool{}
	eventually(t, url+" is answered by both servers", func() error {
		for _, s := range client.FetchN(t.Context(), url, 4, 5*time.Second) {
			if s.Err != nil {
				return s.Err
			}
			seen[s.Server] = true
		}
		if !seen["web1"] || !seen["web2"] {
			return fmt.Errorf("answers came from %v", seen)
		}
		return nil
	})
}

// openTo opens a connection that stays.
func openTo(t *testing.T, client *lab.Host, addr string) *session {
	t.Helper()
	c, err := client.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &session{conn: c, r: bufio.NewReader(c)}
}
