package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestNodesWithAndWithoutBPF pairs a node that may not use BPF with one that
// may: the first is elected and forwards by IPVS, and when it dies the second
// forwards the same service by XDP. It runs in the virtual machines, on the
// oldest and on the newest kernel.
func TestNodesWithAndWithoutBPF(t *testing.T) {
	needIPVS(t)
	const limit = ipvsSlack
	l := labtest.New(t, "kernels")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	realServers(t, l)
	a := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, example(t, "lvs-dr-master.conf"),
		"setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon", "--inh-caps=-bpf,-sys_admin,-perfmon").start()
	b := xvipNode(t, labtest.Host(t, l, "director2", "192.168.166.132/24"), bpffs, example(t, "lvs-dr-backup.conf")).start()

	waitOwner(t, limit, vip1, a, a, b)
	st := a.wantEngine(limit, "ipvs")
	if x := st.Engine.XDP; x.Available || !strings.Contains(x.Reason, "CAP_BPF") {
		t.Errorf("XDP on director1: available %v, reason %q, want a reason with CAP_BPF", x.Available, x.Reason)
	}
	wantTurns(t, limit, client)

	st = b.wantEngine(limit, "xdp")
	t.Logf("XDP on director2: %+v", st.Engine.XDP.Interfaces)
	a.proc.Kill()
	// The dead node's address and IPVS table stay in its namespace; a cut cable
	// is what a dead machine is.
	if err := a.host.Unplug(); err != nil {
		t.Fatal(err)
	}
	b.wantStates(limit, map[string]string{"VI_1": "MASTER"})
	wantTurns(t, limit, client)
	st, err = b.status()
	if err != nil {
		t.Fatal(err)
	}
	if v := st.VirtualServers[0]; v.Engine != "xdp" || v.Connections == 0 {
		t.Errorf("director2 carries the service on engine %q and has counted %d connections", v.Engine, v.Connections)
	}
}

// wantEngine waits until the node's only service is on an engine.
func (n *node) wantEngine(limit time.Duration, want string) (st *status) {
	n.t.Helper()
	labtest.Eventually(n.t, limit, "a service on engine "+want+" of "+n.host.Name(), func() (err error) {
		if st, err = n.status(); err != nil {
			return err
		}
		if v := st.VirtualServers; len(v) != 1 || v[0].Engine != want {
			return fmt.Errorf("virtual servers %+v; XDP %+v", v, st.Engine.XDP)
		}
		return nil
	})
	return st
}

// wantTurns waits until both web servers answer in turn, as alternates does,
// at the pace of an emulated machine.
func wantTurns(t *testing.T, limit time.Duration, client *lab.Host) {
	t.Helper()
	labtest.Eventually(t, limit, vip1+" is answered in turn", func() error {
		r := client.FetchN(t.Context(), "http://"+vip1+"/", 6, 2*time.Second)
		for i, s := range r {
			if s.Err != nil || s.Server != "web1" && s.Server != "web2" || i > 0 && s.Server == r[i-1].Server {
				return fmt.Errorf("answers %q (%v)", r.Sequence(), s.Err)
			}
		}
		return nil
	})
}
