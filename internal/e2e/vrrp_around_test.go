package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// waitIP waits until the output of ip(8) on the node has exactly those of the
// parts whose value is true.
func waitIP(t *testing.T, n *node, happened string, want map[string]bool, args ...string) {
	t.Helper()
	labtest.Eventually(t, 10*time.Second, happened, func() error {
		out, err := n.host.Run(t.Context(), append([]string{"ip"}, args...)...)
		if err != nil {
			return err
		}
		for part, there := range want {
			if strings.Contains(out, part) != there {
				return fmt.Errorf("ip %v: %q is there: %v, want %v\n%s", args, part, !there, there, out)
			}
		}
		return nil
	})
}

// TestRoutesRulesAndStatics: virtual routes and rules are there while the router
// is Master, static ones while the daemon runs; a reload changes them, a word
// without counterpart is told, and a removed address comes back unless no_track.
func TestRoutesRulesAndStatics(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "routes")
	text := `static_ipaddress {
    192.168.170.1/24 dev eth0
}
static_routes {
    10.70.0.0/16 via 192.168.166.1 dev eth0
}
static_rules {
    from 10.70.0.0/16 table 70
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 0.2
    version 3
    promote_secondaries
    virtual_ipaddress {
        192.168.166.100/24
        192.168.166.101/24 no_track
    }
    virtual_routes {
        10.80.0.0/16 via 192.168.166.1 dev eth0 table 80
    }
    virtual_rules {
        from 192.168.166.100 table 80
    }
}
xvip {
    metrics_listen off
}
`
	n := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", text)
	promote := func(want string) {
		t.Helper()
		labtest.Eventually(t, 5*time.Second, "promote_secondaries is "+want, func() error {
			out, err := n.host.Run(t.Context(), "cat", "/proc/sys/net/ipv4/conf/eth0/promote_secondaries")
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("it is %q", out)
			}
			return err
		})
	}
	if err := n.host.Sysctl("net/ipv4/conf/eth0/promote_secondaries", "0"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.wantStates(startUp+slack, map[string]string{"VI_1": "MASTER"})
	promote("1")
	waitIP(t, n, "Master", map[string]bool{"10.70.0.0/16 via 192.168.166.1": true}, "route", "show")
	waitIP(t, n, "Master", map[string]bool{"10.80.0.0/16 via 192.168.166.1": true}, "route", "show", "table", "80")
	waitIP(t, n, "Master", map[string]bool{"from 192.168.166.100 lookup 80": true, "from 10.70.0.0/16 lookup 70": true}, "rule", "show")
	waitIP(t, n, "Master", map[string]bool{"192.168.170.1/24": true}, "addr", "show", "dev", "eth0")

	// no_track first: when the tracked one is back, it would be back, too.
	for _, gone := range []string{"192.168.166.101/24", "192.168.170.1/24", "192.168.166.100/24"} {
		if err := n.host.DelAddress("eth0", netip.MustParsePrefix(gone)); err != nil {
			t.Fatal(err)
		}
	}
	waitIP(t, n, "addresses were removed", map[string]bool{"192.168.170.1/24": true, "192.168.166.100/24": true, "192.168.166.101/24": false},
		"addr", "show", "dev", "eth0")

	n.write(strings.NewReplacer("10.80.0.0/16 via 192.168.166.1 dev eth0 table 80", "10.81.0.0/16 via 192.168.166.1 dev eth0 table 80\n 10.82.0.0/16 from 10.1.0.0/16 dev eth0",
		"10.70.0.0/16 via", "10.71.0.0/16 via", "promote_secondaries", "").Replace(text))
	n.signal(syscall.SIGHUP)
	waitIP(t, n, "a reload", map[string]bool{"10.80.0.0/16": false, "10.81.0.0/16 via 192.168.166.1": true}, "route", "show", "table", "80")
	waitIP(t, n, "a reload", map[string]bool{"10.70.0.0/16": false, "10.71.0.0/16 via 192.168.166.1": true, "10.82.0.0/16": false}, "route", "show")
	promote("0")
	n.wantLog("from", "VI_1")

	n.stop()
	waitIP(t, n, "the end", map[string]bool{"10.81.0.0/16": false, "10.71.0.0/16": false}, "route", "show", "table", "all")
	waitIP(t, n, "the end", map[string]bool{"lookup 80": false, "lookup 70": false}, "rule", "show")
	waitIP(t, n, "the end", map[string]bool{"192.168.170.1/24": false, "192.168.166.100/24": false}, "addr", "show", "dev", "eth0")
}

// TestNoAccept: the host of an address with no_accept answers nobody, an owner
// answers, and a reload opens the address.
func TestNoAccept(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "noaccept")
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	text := `vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 0.2
    version 3
    no_accept
    virtual_ipaddress {
        192.168.166.100/24
    }
}
vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 52
    priority 255
    advert_int 0.2
    version 3
    no_accept
    virtual_ipaddress {
        192.168.166.200/24
    }
}
xvip {
    metrics_listen off
}
`
	n := xvipNode(t, labtest.Host(t, l, "a", "192.168.166.130/24"), "", text)
	n.start()
	n.wantStates(startUp+slack, both)
	reach := func(happened, addr string, want bool) {
		t.Helper()
		labtest.Eventually(t, 15*time.Second, happened+": "+addr, func() error {
			_, err := client.Run(t.Context(), "ping", "-c", "1", "-W", "1", addr)
			if (err == nil) != want {
				return fmt.Errorf("answers: %v, want %v (%v)", err == nil, want, err)
			}
			return nil
		})
	}
	reach("owner", "192.168.166.200", true)
	reach("no_accept", "192.168.166.100", false)
	waitIP(t, n, "the host has it", map[string]bool{"192.168.166.100/24": true}, "addr", "show", "dev", "eth0")
	n.write(strings.ReplaceAll(text, "    no_accept\n", ""))
	n.signal(syscall.SIGHUP)
	reach("accept after a reload", "192.168.166.100", true)
	n.write(text)
	n.signal(syscall.SIGHUP)
	reach("no_accept after a reload", "192.168.166.100", false)
	n.stop()
}
