package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// directService is a service of vip1 on two real servers by direct routing.
const directService = `virtual_server 192.168.166.100 80 {
    delay_loop 1
    lvs_sched rr
    lvs_method DR
    protocol TCP
    real_server 192.168.166.129 80 {
        TCP_CHECK {
            connect_timeout 2
        }
    }
    real_server 192.168.166.131 80 {
        TCP_CHECK {
            connect_timeout 2
        }
    }
}
`

// farmOfTwo is a client, two real servers of vip1, and the director's host,
// which has the address itself.
func farmOfTwo(t *testing.T, name string) (l *lab.Lab, client, director *lab.Host, webs map[string]*lab.Web) {
	t.Helper()
	l = labtest.New(t, name)
	client = labtest.Host(t, l, "client", "192.168.166.10/24")
	webs = realServers(t, l)
	director = labtest.Host(t, l, "director", "192.168.166.130/24")
	if err := director.AddAddress("eth0", netip.MustParsePrefix(vip1+"/32")); err != nil {
		t.Fatal(err)
	}
	return l, client, director, webs
}

// wantServices waits until a node has as many services as that, each with two
// real servers.
func wantServices(t *testing.T, n *node, services int) {
	t.Helper()
	eventually(t, n.host.Name()+" has its services", func() error {
		out, err := n.host.Run(t.Context(), "ipvsadm", "-Sn")
		if err != nil {
			return err
		}
		if a, b := strings.Count(out, "-A "), strings.Count(out, "-a "); a != services || b != 2*services {
			return fmt.Errorf("%d services with %d real servers:\n%s", a, b, out)
		}
		return nil
	})
}

// must asks on the session and fails the test when the server is another.
func (s *session) must(t *testing.T, when, server string) {
	t.Helper()
	if got, err := s.ask(ipvsSlack); err != nil || got != server {
		t.Fatalf("%s: the connection gets %q, %v; want %s", when, got, err, server)
	}
}

// TestHandoverFromKeepalivedAndBack: with -I both leave the table for the other,
// who adopts it; no connection is lost, none refused.
func TestHandoverFromKeepalivedAndBack(t *testing.T) {
	needIPVS(t)
	t.Parallel()
	_, client, host, _ := farmOfTwo(t, "handover")
	theirs := fullKeepalived(t, host, directService, "-C", "-I").start()
	wantServices(t, theirs, 1)
	s := open(t, client)
	server, err := s.ask(ipvsSlack)
	if err != nil {
		t.Fatal(err)
	}
	before := theirs.mustTables()
	probe := client.Probe("http://"+vip1+"/", 250*time.Millisecond, ipvsSlack)

	ours := ipvsNode(t, host, directService, "-I").start()
	wantReady(t, ours)
	wantUp(t, ours)
	s.must(t, "beside keepalived", server)
	stopNow(t, theirs)
	s.must(t, "without keepalived", server)
	wantServices(t, ours, 1)

	theirs = fullKeepalived(t, host, directService, "-C", "-I").start()
	eventually(t, "keepalived has begun", func() error {
		if !strings.Contains(theirs.log(), "Startup complete") {
			return fmt.Errorf("log:\n%s", theirs.log())
		}
		return nil
	})
	stopNow(t, ours)
	s.must(t, "back at keepalived", server)
	r := probe.Stop()
	if r.Failures() > 0 || len(r) == 0 {
		t.Errorf("%d of %d requests failed over the handovers: %v", r.Failures(), len(r), r.FirstError())
	}
	if after := theirs.mustTables(); rules(after) != rules(before) {
		t.Errorf("the table is\n%s\nand was\n%s", after, before)
	}
	t.Logf("%d requests, longest gap %v", len(r), r.LongestGap())
	stopNow(t, theirs)
}

// TestARestartKeepsConnections: after a clean stop, which takes the services
// out, the next daemon finds the kernel's connections again.
func TestARestartKeepsConnections(t *testing.T) {
	needIPVS(t)
	t.Parallel()
	_, client, host, _ := farmOfTwo(t, "restart")
	theirs := fullKeepalived(t, host, directService, "-C").start()
	wantServices(t, theirs, 1)
	s := open(t, client)
	server, err := s.ask(ipvsSlack)
	if err != nil {
		t.Fatal(err)
	}
	stopNow(t, theirs)
	wantServices(t, theirs, 0)
	ours := ipvsNode(t, host, directService).start()
	wantServices(t, ours, 1)
	s.must(t, "after the change of daemon", server)
	stopNow(t, ours)
	wantServices(t, ours, 0)
}

// wantUp waits until all real servers of a node have been found up.
func wantUp(t *testing.T, n *node) {
	t.Helper()
	eventually(t, "all real servers are up", func() error {
		st, err := n.ask()
		if err != nil {
			return err
		}
		if len(st.VirtualServers) == 0 {
			return fmt.Errorf("there are no services yet")
		}
		for _, v := range st.VirtualServers {
			for _, r := range v.RealServers {
				if !r.Up {
					return fmt.Errorf("%s: %s", r.Address, r.Reason)
				}
			}
		}
		return nil
	})
}

// stopNow is a clean stop with the patience that emulation needs.
func stopNow(t *testing.T, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ipvsSlack)
	defer cancel()
	if err := n.proc.Stop(ctx); err != nil {
		t.Fatalf("stop daemon of %s: %v", n.host.Name(), err)
	}
}

// rules are the lines of ipvsadm -Sn among the tables.
func rules(tables string) string {
	var out []string
	for line := range strings.Lines(tables) {
		if strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, "-a ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// TestBothEnginesOnOneNode: each service is in one engine, and a request is
// counted once, by the engine that carries it.
func TestBothEnginesOnOneNode(t *testing.T) {
	needIPVS(t)
	t.Parallel()
	l, client, host, webs := farmOfTwo(t, "both")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	second := strings.NewReplacer("192.168.166.100 80", "192.168.166.100 81", " 80 {", " 81 {", "lvs_sched rr", "lvs_sched lblc").Replace(directService)
	n := xvipNode(t, host, bpffs, directService+second)
	n.argv = append(n.argv, "--metrics-listen", "off", "-D")
	for _, w := range webs {
		if _, err := w.Host().Serve(":81"); err != nil {
			t.Fatal(err)
		}
	}
	// Someone left the service of the XDP engine in IPVS.
	n.ipvsadm("-A", "-t", vip1+":80", "-s", "wlc")
	n.start()
	wantUp(t, n)
	const requests = 12
	for port, engine := range map[int]string{80: "xdp", 81: "ipvs"} {
		url := fmt.Sprintf("http://%s:%d/", vip1, port)
		// The first tries may wait for ARP, and count without a server seeing them.
		served(t, client, url)
		base := settled(t, n, port, 1)
		if r := client.FetchN(t.Context(), url, requests, ipvsSlack); r.Failures() > 0 {
			t.Errorf("port %d: %v", port, r.FirstError())
		}
		now := settled(t, n, port, base.connections+requests)
		if now.engine != engine || now.connections != base.connections+requests {
			t.Errorf("port %d: %s counts %d connections of %d; want %s", port, now.engine, now.connections-base.connections, requests, engine)
		}
	}
	if table := n.mustTables(); strings.Contains(table, ":80 -s") || !strings.Contains(table, vip1+":81 -s lblc") {
		t.Errorf("IPVS holds\n%s", table)
	}
	stopNow(t, n)
}

type count struct {
	engine      string
	connections int
}

// settled waits until a service counts so many connections, and then until its
// count rests for longer than the counters of IPVS lag (2 s, ip_vs_est.c).
func settled(t *testing.T, n *node, port, atLeast int) count {
	t.Helper()
	var last count
	var since time.Time
	eventually(t, "the counters rest", func() error {
		st, err := n.ask()
		if err != nil {
			return err
		}
		for _, v := range st.VirtualServers {
			if now := (count{v.Engine, v.Connections}); v.Port == port && now != last {
				last, since = now, time.Now()
			}
		}
		if last.connections < atLeast || time.Since(since) < 5*time.Second {
			return fmt.Errorf("%+v since %v, want %d", last, since, atLeast)
		}
		return nil
	})
	return last
}

// served waits until the client gets an answer.
func served(t *testing.T, client *lab.Host, url string) {
	t.Helper()
	eventually(t, url+" is answered", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.Fetch(ctx, url)
		return err
	})
}
