package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// guarded is a pair, a with the higher priority, and a client that pings their
// address every 10 ms. more are lines for their virtual router.
func guarded(t *testing.T, name, more string) (a, b *node, pings *lab.Pinger) {
	t.Helper()
	l := labtest.New(t, name)
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	conf := func(priority int) string {
		return fmt.Sprintf("vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority %d\n advert_int 1\n"+
			" virtual_ipaddress {\n %s/24\n }\n%s\n}\nxvip {\n metrics_listen off\n}\n", priority, vip1, more)
	}
	a = xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", conf(150))
	b = xvipNode(t, labtest.Host(t, l, "b", "192.168.166.132/24"), "", conf(130))
	a.start()
	a.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	b.start()
	b.wantStates(startUp, map[string]string{"VI_1": "BACKUP"})
	pings, err := client.Ping(netip.MustParseAddr(vip1), 10*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, slack, "pings are answered", func() error { _, err := client.Run(t.Context(), "ping", "-c", "1", "-W", "1", vip1); return err })
	waitGuardian(t, a, 0)
	return a, b, pings
}

// waitGuardian waits until a node has a guardian other than the one before.
func waitGuardian(t *testing.T, n *node, before int) int {
	t.Helper()
	found := 0
	labtest.Eventually(t, startUp, "a guardian runs", func() error {
		pids, err := n.host.Pids()
		for _, pid := range pids {
			if pid != n.proc.Pid() && pid != before {
				found = pid
				return err
			}
		}
		return fmt.Errorf("processes %v, %v", pids, err)
	})
	return found
}

func lost(t *testing.T, p *lab.Pinger) {
	t.Helper()
	r := p.Stop()
	// A Backup that has to notice costs 360 pings; a busy machine may lose a few.
	if n := r.Failures(); n > 50 {
		t.Errorf("%d of %d pings were lost, want 50 at most: %v", n, len(r), r.FirstError())
	} else {
		t.Logf("%d of %d pings were lost, longest silence %v", n, len(r), r.LongestGap())
	}
}

// TestAKilledDaemonThatReturnsStaysMaster: nobody notices but the log.
func TestAKilledDaemonThatReturnsStaysMaster(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, more string }{{"plain", ""}, {"virtual MAC", " use_vmac"}} {
		t.Run(c.name, func(t *testing.T) { t.Parallel(); killedAndBack(t, c.more) })
	}
}

func killedAndBack(t *testing.T, more string) {
	a, b, pings := guarded(t, "guardian1", more)
	if err := a.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-a.proc.Done()
	a.start()
	st := a.wantStates(startUp, map[string]string{"VI_1": "MASTER"})
	if r := st.VirtualRouters[0].Reason; r != "resumed" {
		t.Errorf("it is master because %q, want resumed", r)
	}
	if st, err := b.status(); err != nil || st.VirtualRouters[0].Transitions != 1 {
		t.Errorf("the backup changed its role: %+v, %v", st.VirtualRouters, err)
	}
	a.stop()
	b.wantStates(masterDown, map[string]string{"VI_1": "MASTER"})
	lost(t, pings)
}

// TestAKilledDaemonThatStaysAwayHandsOver: its guardian does, as in a clean stop.
func TestAKilledDaemonThatStaysAwayHandsOver(t *testing.T) {
	t.Parallel()
	a, b, pings := guarded(t, "guardian2", "")
	first := waitGuardian(t, a, 0)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGuardian(t, a, first)
	labtest.Eventually(t, startUp, "the next guardian knows of the master", func() error {
		if strings.Count(a.log(), "a guardian runs") < 2 || !strings.Contains(a.log(), "the guardian has ended") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if err := a.proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-a.proc.Done()
	waitOwner(t, 5*time.Second+masterDown+slack, vip1, b, a, b)
	lost(t, pings)
	labtest.Eventually(t, slack, "no process is left", func() error {
		if pids, err := a.host.Pids(); err != nil || len(pids) > 0 {
			return fmt.Errorf("processes %v, %v", pids, err)
		}
		return nil
	})
}
