package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestBFD: two routers, and keepalived's BFD on the host that both track. The
// Master that loses its session gives up at once, the real server behind the
// session goes, and both come back.
func TestBFD(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bfd")
	far := labtest.Host(t, l, "far", "192.168.166.129/24")
	dir := t.TempDir()
	session := func(name, neighbor string) string {
		return fmt.Sprintf("bfd_instance %s {\n neighbor_ip %s\n min_rx 50\n min_tx 50\n multiplier 3\n}\n", name, neighbor)
	}
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(session("a", "192.168.166.130")+session("b", "192.168.166.131")+
		"vrrp_instance V {\n interface eth0\n virtual_router_id 7\n priority 100\n virtual_ipaddress {\n  192.168.166.7\n }\n track_bfd {\n  a weight 1\n  b weight 1\n }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := far.Start(lab.Command{Argv: []string{"keepalived", "-n", "-l", "-f", file, "-p", dir + "/k", "-r", dir + "/v", "-b", dir + "/b", "-c", dir + "/c"}})
	if err != nil {
		t.Skip("keepalived is not installed: ", err)
	}
	t.Cleanup(func() { p.Kill() })
	conf := func(priority int) string {
		return session("far", "192.168.166.129") + fmt.Sprintf("vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority %d\n version 3\n advert_int 0.1\n"+
			" virtual_ipaddress {\n  %s/24\n }\n track_bfd {\n  far\n }\n}\n", priority, vip1) +
			"virtual_server " + vip1 + " 80 {\n lvs_sched rr\n lvs_method NAT\n real_server 192.168.166.129 80 {\n  BFD_CHECK {\n   name far\n  }\n }\n}\n" +
			"xvip {\n metrics_listen off\n dataplane none\n}\n"
	}
	a := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", conf(150)).start()
	b := xvipNode(t, labtest.Host(t, l, "b", "192.168.166.131/24"), "", conf(100)).start()
	server := func(n *node, up bool) {
		t.Helper()
		labtest.Eventually(t, startUp, fmt.Sprintf("the real server on %s: up %v", n.host.Name(), up), func() error {
			st, err := n.status()
			if err != nil {
				return err
			}
			if rs := st.VirtualServers[0].RealServers; len(rs) != 1 || rs[0].Up != up {
				return fmt.Errorf("%+v", rs)
			}
			return nil
		})
	}
	waitOwner(t, startUp, vip1, a, a, b)
	server(a, true)
	server(b, true)
	// Only BFD is cut, and only of a: the routers go on hearing each other.
	run(t, a.host, "nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in udp dport 3784 drop")
	waitOwner(t, startUp, vip1, b, a, b)
	st := a.wantStates(startUp, map[string]string{"VI_1": "FAULT"})
	if reason := st.VirtualRouters[0].Reason; reason != "bfd far is down" {
		t.Errorf("the reason is %q", reason)
	}
	server(a, false)
	server(b, true)
	text, err := a.host.Run(t.Context(), xvip(t), "status", "--control-socket", a.socket())
	if err != nil || !strings.Contains(text, "BFD SESSION") || !strings.Contains(text, "control detection time expired") {
		t.Errorf("status: %v\n%s", err, text)
	}
	run(t, a.host, "nft", "delete table inet cut")
	waitOwner(t, startUp, vip1, a, a, b)
	server(a, true)
	a.stop()
	b.stop()
}
