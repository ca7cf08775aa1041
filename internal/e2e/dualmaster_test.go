package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// Both addresses of the examples with two of them.
const vip1, vip2 = "192.168.166.100", "192.168.166.200"

var both = map[string]string{"VI_1": "MASTER", "VI_2": "MASTER"}

// TestDualMaster runs lvs-dual-master-1.conf and its counterpart: each director
// is master of one address and balances it; a death leaves both to the other.
func TestDualMaster(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "dual")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	realServers(t, l)
	text := example(t, "lvs-dual-master-1.conf")
	a := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, text)
	b := xvipNode(t, labtest.Host(t, l, "director2", "192.168.166.132/24"), bpffs, swapped(text))
	for _, n := range []*node{a, b} {
		serve(t, n.host)
		n.start()
	}
	a.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER", "VI_2": "BACKUP"})
	b.wantStates(masterDown+startUp, map[string]string{"VI_1": "BACKUP", "VI_2": "MASTER"})
	waitOwner(t, slack, vip1, a, a, b)
	waitOwner(t, slack, vip2, b, a, b)
	alternates(t, client, vip1)
	alternates(t, client, vip2)
	// Each director forwards its own address alone.
	for _, c := range []struct {
		n            *node
		mine, others string
	}{{a, vip1, vip2}, {b, vip2, vip1}} {
		st, err := c.n.status()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range st.VirtualServers {
			if v.Engine != "xdp" {
				t.Errorf("%s: %s is on engine %q", c.n.host.Name(), v.Address, v.Engine)
			}
			if mine := v.Address == c.mine; v.Active != mine || (v.Connections > 0) != mine {
				t.Errorf("%s: %s active %v with %d connections", c.n.host.Name(), v.Address, v.Active, v.Connections)
			}
		}
	}

	a.proc.Kill()
	if err := a.host.Unplug(); err != nil {
		t.Fatal(err)
	}
	b.wantStates(masterDown+slack, both)
	alternates(t, client, vip1)
	alternates(t, client, vip2)

	a.start()
	if err := a.host.Plug(); err != nil {
		t.Fatal(err)
	}
	waitOwner(t, masterDown+startUp, vip1, a, a, b)
	waitOwner(t, slack, vip2, b, a, b)
	alternates(t, client, vip1)
	alternates(t, client, vip2)
	a.stop()
	b.stop()
}

// serve starts a web server on port 80 of the host.
func serve(t *testing.T, h *lab.Host) *lab.Web {
	t.Helper()
	w, err := h.Serve(":80")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// alternates waits until the address answers and checks that both web servers
// take strict turns.
func alternates(t *testing.T, client *lab.Host, vip string) {
	t.Helper()
	url := "http://" + vip + "/"
	answers(t, client, url, "web1", "web2")
	r := client.FetchN(t.Context(), url, 20, time.Second)
	for i, s := range r {
		if s.Err != nil || s.Server != "web1" && s.Server != "web2" || i > 0 && s.Server == r[i-1].Server {
			t.Errorf("%s: not in turn at %d: %q (%v)", vip, i+1, r.Sequence(), s.Err)
			return
		}
	}
}

// TestNginxPair runs both nginx examples: no virtual servers, each host is
// master of one address and answers there itself.
func TestNginxPair(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "nginx")
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	a := xvipNode(t, labtest.Host(t, l, "nginx1", "192.168.166.130/24"), "", example(t, "nginx-dual-master-1.conf"))
	b := xvipNode(t, labtest.Host(t, l, "nginx2", "192.168.166.132/24"), "", example(t, "nginx-dual-master-2.conf"))
	for _, n := range []*node{a, b} {
		serve(t, n.host)
		n.start()
	}
	a.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER", "VI_2": "BACKUP"})
	b.wantStates(masterDown+startUp, map[string]string{"VI_1": "BACKUP", "VI_2": "MASTER"})
	answers(t, client, "http://"+vip1+"/", "nginx1")
	answers(t, client, "http://"+vip2+"/", "nginx2")
	wantPrefix(t, a.host, vip1+"/24")
	wantPrefix(t, b.host, vip2+"/24")

	b.proc.Kill()
	if err := b.host.Unplug(); err != nil {
		t.Fatal(err)
	}
	a.wantStates(masterDown+slack, both)
	answers(t, client, "http://"+vip1+"/", "nginx1")
	answers(t, client, "http://"+vip2+"/", "nginx1")

	b.start()
	if err := b.host.Plug(); err != nil {
		t.Fatal(err)
	}
	waitOwner(t, masterDown+startUp, vip2, b, a, b)
	answers(t, client, "http://"+vip2+"/", "nginx2")
	answered := func(r lab.Report) int { return len(r) - r.Failures() }
	probe := client.Probe("http://"+vip2+"/", 20*time.Millisecond, time.Second)
	labtest.Eventually(t, 5*time.Second, "the client asks", func() error {
		if r := probe.Report(); answered(r) < 10 {
			return fmt.Errorf("%d answers", answered(r))
		}
		return nil
	})
	b.stop()
	waitOwner(t, slack, vip2, a, a, b)
	stopped := answered(probe.Report())
	labtest.Eventually(t, 5*time.Second, "the client is answered again", func() error {
		if n := answered(probe.Report()); n < stopped+10 {
			return fmt.Errorf("%d answers, %d of them before", n, stopped)
		}
		return nil
	})
	if gap := probe.Stop().LongestGap(); gap > time.Second {
		t.Errorf("a clean stop left the client without an answer for %v", gap)
	}
	a.stop()
}

func wantPrefix(t *testing.T, h *lab.Host, want string) {
	t.Helper()
	have, err := h.Addresses("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range have {
		if p.String() == want {
			return
		}
	}
	t.Errorf("%s has no %s on eth0: %v", h.Name(), want, have)
}

// run runs a command on the host and gives its output.
func run(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := h.Run(ctx, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
