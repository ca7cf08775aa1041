package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// director is a lone director of the example with its web servers and a client,
// master already.
func director(t *testing.T, name string) (n *node, client *lab.Host, webs map[string]*lab.Web) {
	t.Helper()
	l := labtest.New(t, name)
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	client = labtest.Host(t, l, "client", "192.168.166.10/24")
	webs = realServers(t, l)
	n = xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, example(t, "lvs-dr-master.conf"))
	n.start()
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	alternates(t, client, vip1)
	return n, client, webs
}

// TestSilentServerIsTakenOut cuts a web server off, so that checks hear nothing
// instead of a refusal: each attempt lasts connect_timeout.
func TestSilentServerIsTakenOut(t *testing.T) {
	t.Parallel()
	n, client, webs := director(t, "silent")
	labtest.Eventually(t, 8*time.Second, "the first checks", func() error {
		for name, w := range webs {
			if w.Requests(netip.MustParseAddr("192.168.166.130")) == 0 {
				return fmt.Errorf("%s is not checked", name)
			}
		}
		return nil
	})
	if err := webs["web1"].Host().Isolate(); err != nil {
		t.Fatal(err)
	}
	// The next check within delay_loop 6, then 4 attempts of connect_timeout 1
	// with 3 times delay_before_retry 1 between them.
	const longest = (6 + 4 + 3) * time.Second
	took := n.wantReal(longest+slack, "192.168.166.131")
	if took < 3*time.Second {
		t.Errorf("out after %v, before its retries were over", took)
	}
	r := client.FetchN(t.Context(), "http://"+vip1+"/", 20, time.Second)
	if r.Failures() > 0 || r.Servers()["web2"] != 20 {
		t.Errorf("after web1 is out: %d failures (%v), answers %v", r.Failures(), r.FirstError(), r.Servers())
	}
	if err := webs["web1"].Host().Join(); err != nil {
		t.Fatal(err)
	}
	n.wantReal(6*time.Second+2*slack, "192.168.166.129", "192.168.166.131")
	alternates(t, client, vip1)
}

// wantReal waits until exactly these real servers are up.
func (n *node) wantReal(limit time.Duration, want ...string) time.Duration {
	n.t.Helper()
	return labtest.Eventually(n.t, limit, fmt.Sprintf("in rotation: %v", want), func() error {
		st, err := n.status()
		if err != nil {
			return err
		}
		var up []string
		for _, r := range st.VirtualServers[0].RealServers {
			if r.Up && !r.Sorry {
				up = append(up, r.Address)
			}
		}
		if fmt.Sprint(up) != fmt.Sprint(want) {
			return fmt.Errorf("it is %v", up)
		}
		return nil
	})
}
