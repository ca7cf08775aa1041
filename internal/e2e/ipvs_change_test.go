package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestAReloadMovesAServiceToTheOtherEngine: with another scheduler the service
// needs IPVS, and XDP takes it back. New connections are answered throughout, and
// the log tells what becomes of established ones.
func TestAReloadMovesAServiceToTheOtherEngine(t *testing.T) {
	needIPVS(t)
	t.Parallel()
	l, client, host, _ := farmOfTwo(t, "moves")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	n := xvipNode(t, host, bpffs, directService)
	n.argv = append(n.argv, "--metrics-listen", "off")
	n.start()
	wantUp(t, n)
	url := "http://" + vip1 + "/"
	served(t, client, url)
	probe := client.Probe(url, 100*time.Millisecond, ipvsSlack)
	for _, to := range []struct{ engine, text string }{
		{"ipvs", strings.Replace(directService, "lvs_sched rr", "lvs_sched lblc", 1)}, {"xdp", directService},
	} {
		n.write(to.text)
		n.signal(syscall.SIGHUP)
		eventually(t, "the service is on "+to.engine, func() error {
			st, err := n.ask()
			if err != nil || len(st.VirtualServers) != 1 || st.VirtualServers[0].Engine != to.engine {
				return fmt.Errorf("%+v, %v", st, err)
			}
			return nil
		})
		n.wantLog("moves to another engine", "engine="+to.engine+" from=")
		served(t, client, url)
	}
	// The one that is under way at a move may be reset, as the log says; two moves.
	if r := probe.Stop(); r.Failures() > 2 {
		t.Errorf("%d of %d requests failed while the service moved: %v", r.Failures(), len(r), r.FirstError())
	}
	stopNow(t, n)
}

// TestIPVSInAnotherNamespace: the tables are there, the daemon is here.
func TestIPVSInAnotherNamespace(t *testing.T) {
	needIPVS(t)
	t.Parallel()
	l := labtest.New(t, "elsewhere")
	here, there := labtest.Host(t, l, "here", "192.168.166.130/24"), labtest.Host(t, l, "there", "192.168.166.131/24")
	n := ipvsNode(t, here, "net_namespace_ipvs "+there.Namespace()+"\n"+withoutChecks)
	n.start()
	tables := func(h *lab.Host) string {
		out, err := h.Run(t.Context(), "ipvsadm", "-Sn")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	eventually(t, "the service is in the other namespace", func() error {
		if out := tables(there); !strings.Contains(out, "-A -t "+vip1+":80 -s rr") {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	if out := strings.TrimSpace(tables(here)); out != "" {
		t.Errorf("here is\n%s", out)
	}
	stopNow(t, n)
	if out := strings.TrimSpace(tables(there)); out != "" {
		t.Errorf("after a clean stop there is\n%s", out)
	}
}

const withoutChecks = "virtual_server " + vip1 + " 80 {\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n real_server 192.168.166.129 80 {\n }\n}\n"
