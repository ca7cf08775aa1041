package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// single is one director with lvs-dr-master.conf, two web servers and a client.
func single(t *testing.T, name, text string) (n *node, client *lab.Host) {
	t.Helper()
	l := labtest.New(t, name)
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	client = labtest.Host(t, l, "client", "192.168.166.10/24")
	realServers(t, l)
	n = xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, text)
	n.start()
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	waitOwner(t, slack, vip1, n, n)
	answers(t, client, "http://"+vip1+"/", "web1", "web2")
	return n, client
}

// session is one TCP connection to the service that stays open.
type session struct {
	conn net.Conn
	r    *bufio.Reader
}

func open(t *testing.T, client *lab.Host) *session {
	t.Helper()
	c, err := client.DialContext(t.Context(), "tcp", vip1+":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &session{conn: c, r: bufio.NewReader(c)}
}

// ask sends a request on the connection and gives who answered.
func (s *session) ask(limit time.Duration) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(s.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", vip1); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

// TestAKilledDaemonForwardsOnAndTheNextAdoptsIt: DESIGN's decision 4.8.
func TestAKilledDaemonForwardsOnAndTheNextAdoptsIt(t *testing.T) {
	t.Parallel()
	n, client := single(t, "adopt", example(t, "lvs-dr-master.conf"))
	s := open(t, client)
	server, err := s.ask(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	n.proc.Kill()
	labtest.Eventually(t, slack, "the daemon is dead", func() error {
		if n.proc.Running() {
			return fmt.Errorf("it runs")
		}
		return nil
	})
	if got, err := s.ask(time.Second); err != nil || got != server {
		t.Errorf("without a daemon the connection gets %q, %v, want %s", got, err, server)
	}
	alternates(t, client, vip1) // new connections, too

	n.start()
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	if got, err := s.ask(10 * time.Second); err != nil || got != server {
		t.Errorf("after the restart the connection gets %q, %v, want %s", got, err, server)
	}
	alternates(t, client, vip1)
	n.wantLog("took over what is pinned")
	n.stop()
	if has, err := n.host.HasAddress("eth0", netip.MustParseAddr(vip1)); err != nil || has {
		t.Errorf("after a clean stop the address is there: %v, %v", has, err)
	}
	labtest.Eventually(t, slack, "nobody forwards after a clean stop", func() error {
		if r := client.FetchN(t.Context(), "http://"+vip1+"/", 1, 200*time.Millisecond); r.Failures() == 0 {
			return fmt.Errorf("%s answered", r[0].Server)
		}
		return nil
	})
}

// TestReloadLosesNothing: a good file is followed without a change of role or a lost
// request, a broken one changes nothing.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	text := example(t, "lvs-dr-master.conf")
	n, client := single(t, "reload", text)
	before, err := n.status()
	if err != nil {
		t.Fatal(err)
	}
	probe := client.Probe("http://"+vip1+"/", 10*time.Millisecond, time.Second)

	n.write(strings.Replace(text, "interface eth0", "interface nosuch0", 1))
	n.signal(syscall.SIGHUP)
	labtest.Eventually(t, slack, "the broken file is refused", func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		if st.Reload.OK || st.Reload.Count != 1 || !strings.Contains(st.Reload.Message, "nosuch0") {
			return fmt.Errorf("reload %+v", st.Reload)
		}
		return nil
	})

	more := strings.Replace(text, "192.168.166.100  ", "192.168.166.100\n        192.168.166.200", 1)
	more = strings.Replace(more, "lb_algo rr", "lb_algo wrr", 1)
	more = strings.Replace(more, "weight 1", "weight 3", 1)
	if more == text || !strings.Contains(more, vip2) {
		t.Fatal("the example is not what this test changes")
	}
	n.write(more)
	n.signal(syscall.SIGHUP)
	labtest.Eventually(t, slack, "the good file is followed", func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		if !st.Reload.OK || st.VirtualServers[0].RealServers[0].Weight != 3 {
			return fmt.Errorf("reload %+v, weight %d", st.Reload, st.VirtualServers[0].RealServers[0].Weight)
		}
		return owns(vip2, n, n)
	})
	report := probe.Stop()
	r := client.FetchN(t.Context(), "http://"+vip1+"/", 40, time.Second)
	if got := r.Servers(); got["web1"] != 30 || got["web2"] != 10 {
		t.Errorf("weights 3 and 1 give %v", got)
	}

	probe = client.Probe("http://"+vip1+"/", 10*time.Millisecond, time.Second)
	n.write(text)
	n.signal(syscall.SIGHUP)
	labtest.Eventually(t, slack, "the address of before is gone again", func() error { return owns(vip2, nil, n) })
	report = append(report, probe.Stop()...)
	if f := report.Failures(); f > 0 {
		t.Errorf("%d of %d requests failed over three reloads, first: %v", f, len(report), report.FirstError())
	}
	after, err := n.status()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := after.VirtualRouters[0], before.VirtualRouters[0]; a.State != "MASTER" || a.Transitions != b.Transitions {
		t.Errorf("the router went from %d to %d changes of role, state %s", b.Transitions, a.Transitions, a.State)
	}
	n.stop()
}

// TestPingOfTheAddressIsAnsweredByTheStack, while XDP forwards its service.
func TestPingOfTheAddressIsAnsweredByTheStack(t *testing.T) {
	t.Parallel()
	n, client := single(t, "ping", example(t, "lvs-dr-master.conf"))
	p, err := client.Ping(netip.MustParseAddr(vip1), 10*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	r := p.Stop()
	if len(r) < 10 || r.Failures() > 0 {
		t.Errorf("%d of %d pings without an answer, first: %v", r.Failures(), len(r), r.FirstError())
	}
	n.stop()
}

// TestALinkThatGoesDownIsAFault: no address and no election without a link; it
// comes back through Backup, and forwarding with it.
func TestALinkThatGoesDownIsAFault(t *testing.T) {
	t.Parallel()
	n, client := single(t, "fault", example(t, "lvs-dr-master.conf"))
	if err := n.host.LinkDown("eth0"); err != nil {
		t.Fatal(err)
	}
	st := n.wantStates(slack, map[string]string{"VI_1": "FAULT"})
	if st.VirtualServers[0].Active {
		t.Error("the service is active in FAULT")
	}
	labtest.Eventually(t, slack, "the address is gone", func() error { return owns(vip1, nil, n) })
	if err := n.host.LinkUp("eth0"); err != nil {
		t.Fatal(err)
	}
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	bothUp(n)
	alternates(t, client, vip1)
	if log := n.log(); strings.Contains(log, "not announced") {
		t.Error("the address was not announced after the link came back")
	}
	n.stop()
}

// bothUp waits until all web servers have passed their checks.
func bothUp(n *node) {
	n.t.Helper()
	labtest.Eventually(n.t, 12*time.Second, "both web servers are up", func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		for _, r := range st.VirtualServers[0].RealServers {
			if !r.Up && !r.Sorry {
				return fmt.Errorf("%s is down: %s", r.Address, r.Reason)
			}
		}
		return nil
	})
}

// TestTrackInterface: the fault of another interface is one of the router.
func TestTrackInterface(t *testing.T) {
	t.Parallel()
	text := strings.Replace(example(t, "lvs-dr-master.conf"), "advert_int 1", "advert_int 1\n    track_interface {\n        lo\n    }", 1)
	n, _ := single(t, "trackif", text)
	if err := n.host.LinkDown("lo"); err != nil {
		t.Fatal(err)
	}
	n.wantStates(slack, map[string]string{"VI_1": "FAULT"})
	if err := n.host.LinkUp("lo"); err != nil {
		t.Fatal(err)
	}
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	n.stop()
}

// TestAServiceThatNothingCarriesIsAnErrorAndTheRestRuns.
func TestAServiceThatNothingCarriesIsAnErrorAndTheRestRuns(t *testing.T) {
	t.Parallel()
	text := example(t, "lvs-dr-master.conf") + `
virtual_server 192.168.166.100 81 {
    lb_algo lblc
    lb_kind DR
    protocol TCP
    real_server 192.168.166.129 81 {
    }
}
`
	n, client := single(t, "none", text)
	n.wantLog("no engine carries the service", "scheduler lblc needs IPVS")
	st, err := n.status()
	if err != nil {
		t.Fatal(err)
	}
	if v := st.VirtualServers[1]; v.Engine != "none" {
		t.Errorf("the service is on %q", v.Engine)
	}
	alternates(t, client, vip1)
	n.stop()
}
