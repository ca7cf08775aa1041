package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// The ports of the services of a pair on XDP: pages, uploads that are answered
// by their SHA-256, and datagrams that come back.
const (
	pagePort, sumPort, echoPort = 80, 5001, 5002
)

// xdpConfig is the file of one director whose services are for XDP alone.
func (p pairNet) xdpConfig(method, state string, priority int) string {
	text := p.config(method, state, priority)
	text = text[strings.Index(text, "vrrp_instance"):strings.Index(text, "virtual_server")]
	sched := "mh"
	if method == "NAT" {
		sched = "rr"
	}
	for port, proto := range map[int]string{pagePort: "TCP", sumPort: "TCP", echoPort: "UDP"} {
		text += fmt.Sprintf("virtual_server %s %d {\n    delay_loop 1\n    lvs_sched %s\n    lvs_method %s\n    protocol %s\n", p.vip, port, sched, method, proto)
		if sched == "mh" {
			text += "    mh-port\n"
		}
		for _, r := range p.real {
			text += fmt.Sprintf("    real_server %s %d {\n        TCP_CHECK {\n            connect_port 80\n            connect_timeout 5\n        }\n    }\n", r, port)
		}
		text += "}\n"
	}
	return text + "xvip {\n    dataplane xdp\n    metrics_listen off\n}\n"
}

// TestXDPPairs: two directors on XDP, each method, both families: pages, a large
// upload whose content is checked, datagrams, many connections; then the first
// director's cable is pulled. Where the choice is stateless the open connection
// goes on at the second director, who never heard of it.
func TestXDPPairs(t *testing.T) {
	labtest.NeedRoot(t)
	for _, p := range []pairNet{pair4, pair6} {
		for _, method := range []string{"DR", "NAT", "TUN"} {
			t.Run(fmt.Sprintf("v%d-%s", p.family, method), func(t *testing.T) {
				t.Parallel()
				p.testXDP(t, method)
			})
		}
	}
}

func (p pairNet) testXDP(t *testing.T, method string) {
	l := labtest.New(t, "xdp"+method)
	if method == "TUN" {
		p.needTunnels(t, l)
	}
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
		nodes[i] = xvipNode(t, p.director(t, l, i), bpffs, p.xdpConfig(method, state, 100-10*i))
		nodes[i].start()
	}
	wantRole(t, nodes[0], "MASTER")
	wantRole(t, nodes[1], "BACKUP")
	wantUp(t, nodes[0])
	wantUp(t, nodes[1])
	url := "http://" + p.service(pagePort) + "/"
	bothServe(t, client, url)
	p.traffic(t, client)
	s := openTo(t, client, p.service(pagePort))
	server, err := s.ask(ipvsSlack)
	if err != nil {
		t.Fatal(err)
	}
	p.wantXDPOnly(t, nodes[0])
	if err := nodes[0].host.Unplug(); err != nil {
		t.Fatal(err)
	}
	wantRole(t, nodes[1], "MASTER")
	if method != "NAT" {
		s.must(t, "after the failover", server)
	}
	bothServe(t, client, url)
	p.traffic(t, client)
}

// TestXDPJumbo: packets of 9,000 octets, which the kernel keeps in several
// buffers, through the program in native mode, each method that needs no device.
func TestXDPJumbo(t *testing.T) {
	labtest.NeedRoot(t)
	for _, method := range []string{"DR", "NAT"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			p := pair4
			l := labtest.New(t, "jumbo"+method)
			client := labtest.Host(t, l, "client", fmt.Sprintf("%s/%d", p.client, p.bits))
			hosts := []*lab.Host{client}
			for i, addr := range p.real {
				h := p.realServer(t, l, fmt.Sprintf("web%d", i+1), addr, method)
				own := p.vip
				if method == "NAT" {
					own = addr
				}
				serveSums(t, h, own)
				hosts = append(hosts, h)
			}
			bpffs, err := l.BPFFS()
			if err != nil {
				t.Fatal(err)
			}
			n := xvipNode(t, p.director(t, l, 0), bpffs, p.xdpConfig(method, "MASTER", 100))
			for _, h := range append(hosts, n.host) {
				if err := h.SetMTU(9000); err != nil {
					t.Fatal(err)
				}
			}
			n.start()
			wantRole(t, n, "MASTER")
			wantUp(t, n)
			bothServe(t, client, "http://"+p.service(pagePort)+"/")
			p.traffic(t, client)
			p.wantXDPOnly(t, n)
			st, err := n.ask()
			if err != nil {
				t.Fatal(err)
			}
			if on := st.Engine.XDP.Interfaces; len(on) != 1 || on[0].Mode != "native" {
				t.Errorf("the program is on %+v", on)
			}
			for name, count := range st.Engine.XDP.Verdicts {
				if (name == "drop_malformed" || name == "drop_too_big") && count > 0 {
					t.Errorf("%s: %d packets", name, count)
				}
			}
			for _, v := range st.VirtualServers {
				if long := v.BytesIn / v.PacketsIn; v.Port == sumPort && long < 1500 {
					t.Errorf("the packets of the uploads are %d octets long", long)
				}
			}
		})
	}
}

func (p pairNet) service(port uint16) string {
	return netip.AddrPortFrom(netip.MustParseAddr(p.vip), port).String()
}

// needTunnels skips where the kernel cannot take IPIP packets apart.
func (p pairNet) needTunnels(t *testing.T, l *lab.Lab) {
	t.Helper()
	h := labtest.Host(t, l, "probe", fmt.Sprintf("%s/%d", strings.Replace(p.client, "10", "77", 1), p.bits))
	kind, far := "ipip", "127.0.0.1"
	if p.family == 6 {
		kind, far = "ip6tnl", "::1"
	}
	if out, err := h.Run(t.Context(), "ip", "link", "add", "probe0", "type", kind, "local", far, "remote", far); err != nil {
		t.Skipf("this kernel has no %s devices (%s); the test runs in the virtual machines", kind, strings.TrimSpace(out))
	}
}

// serveSums answers uploads and datagrams on a real server; datagrams from the
// address they are sent to, which a socket on all addresses would not do.
func serveSums(t *testing.T, h *lab.Host, own string) {
	t.Helper()
	uploads, err := h.Listen("tcp", fmt.Sprintf(":%d", sumPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { uploads.Close() })
	go func() {
		for {
			c, err := uploads.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				sum := sha256.New()
				if _, err := io.Copy(sum, c); err == nil {
					fmt.Fprintf(c, "%x", sum.Sum(nil))
				}
			}()
		}
	}()
	var echo net.PacketConn
	if err := h.Do(func() (err error) {
		echo, err = net.ListenPacket("udp", netip.AddrPortFrom(netip.MustParseAddr(own), echoPort).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(b[:n], from) // the client counts what is missing
		}
	}()
}

// traffic is an upload of 4 MiB, 300 short connections and 100 datagrams.
func (p pairNet) traffic(t *testing.T, client *lab.Host) {
	t.Helper()
	content := make([]byte, 4<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(content) // never fails (math/rand/v2)
	if err := p.upload(t.Context(), client, content); err != nil {
		t.Errorf("upload of %d octets: %v", len(content), err)
	}
	for i := range 300 {
		if err := p.upload(t.Context(), client, content[i:i+100]); err != nil {
			t.Fatalf("short connection %d: %v", i, err)
		}
	}
	c, err := client.DialContext(t.Context(), "udp", p.service(echoPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, back := make([]byte, 2048), 0
	for i := range 100 {
		if _, err := c.Write(content[i : i+1+12*i]); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err := c.Read(b); err == nil && bytes.Equal(b[:n], content[i:i+1+12*i]) {
			back++
		}
	}
	if back < 99 { // the very first may meet a neighbour that is not known yet
		t.Errorf("%d of 100 datagrams came back as they were", back)
	}
}

// upload sends content and compares the sum that the server saw.
func (p pairNet) upload(ctx context.Context, client *lab.Host, content []byte) error {
	c, err := client.DialContext(ctx, "tcp", p.service(sumPort))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(ipvsSlack)); err != nil {
		return err
	}
	if _, err := c.Write(content); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if want := sha256.Sum256(content); string(got) != hex.EncodeToString(want[:]) {
		return fmt.Errorf("the server saw %q", got)
	}
	return nil
}

// wantXDPOnly: the program forwarded, and says so of every service.
func (p pairNet) wantXDPOnly(t *testing.T, n *node) {
	t.Helper()
	st, err := n.ask()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range st.VirtualServers {
		if v.Engine != "xdp" || v.PacketsIn == 0 {
			t.Errorf("port %d is carried by %q and counts %d packets", v.Port, v.Engine, v.PacketsIn)
		}
	}
}
