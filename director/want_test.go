package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/health"
)

// servers are states by address, all in the one service these tests have.
type servers map[string]health.ServerState

func (s servers) health() Health {
	h := Health{}
	for addr, st := range s {
		h[health.ServerID{Service: "192.0.2.100:80/tcp", Server: addr + ":80"}] = st
	}
	return h
}

func down(addrs ...string) servers {
	s := servers{}
	for _, a := range addrs {
		s[a] = health.ServerState{Reason: "connection refused"}
	}
	return s
}

func virtualServer(weights ...int) *config.VirtualServer {
	vs := &config.VirtualServer{
		Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Protocol: "TCP", LVSSched: "rr", Family: 4,
		LVSMethod: config.LVSMethod{Kind: "DR"}, Quorum: 1,
	}
	for i, w := range weights {
		vs.RealServers = append(vs.RealServers, &config.RealServer{
			Address: netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1)), Port: 80, Weight: w, LVSMethod: vs.LVSMethod,
		})
	}
	return vs
}

// table prints services in the manner of ipvsadm, one line each.
func table(d Decision) string {
	var b strings.Builder
	for _, s := range d.Services {
		fmt.Fprintf(&b, "%s %s", s.Key, s.Scheduler)
		if !s.Active {
			b.WriteString(" inactive")
		}
		for _, r := range s.RealServers {
			fmt.Fprintf(&b, " [%s %s %d]", r.Key(), r.Method, r.Weight)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestWant(t *testing.T) {
	sorry := func(vs *config.VirtualServer) {
		vs.SorryServer = &config.SorryServer{Address: netip.MustParseAddr("127.0.0.1"), Port: 80, LVSMethod: config.LVSMethod{Kind: "DR"}}
	}
	inhibit := func(vs *config.VirtualServer) {
		for _, rs := range vs.RealServers {
			rs.InhibitOnFailure = true
		}
	}
	const svc = "192.0.2.100:80/tcp rr"
	for _, c := range []struct {
		name   string
		change func(*config.VirtualServer)
		health servers
		want   string
	}{
		{"all up", nil, nil, svc + " [10.0.0.1:80 DR 1] [10.0.0.2:80 DR 3]"},
		{"a server that is down leaves", nil, down("10.0.0.1"), svc + " [10.0.0.2:80 DR 3]"},
		{"all down, no sorry server: an empty service", nil, down("10.0.0.1", "10.0.0.2"), svc},
		{"all down: the sorry server alone", sorry, down("10.0.0.1", "10.0.0.2"), svc + " [127.0.0.1:80 DR 1]"},
		{"one up is enough to keep the sorry server away", sorry, down("10.0.0.1"), svc + " [10.0.0.2:80 DR 3]"},
		{"quorum lost: the sorry server stands in for the ones that are up too",
			func(vs *config.VirtualServer) { sorry(vs); vs.Quorum = 2 }, down("10.0.0.2"), svc + " [127.0.0.1:80 DR 1]"},
		{"quorum lost without a sorry server: who is up goes on",
			func(vs *config.VirtualServer) { vs.Quorum = 2 }, down("10.0.0.2"), svc + " [10.0.0.1:80 DR 1]"},
		{"inhibit_on_failure keeps a dead server at weight 0", inhibit, down("10.0.0.1"), svc + " [10.0.0.1:80 DR 0] [10.0.0.2:80 DR 3]"},
		{"sorry_server_inhibit keeps the sorry server at weight 0",
			func(vs *config.VirtualServer) { sorry(vs); vs.SorryServerInhibit = true }, nil,
			svc + " [10.0.0.1:80 DR 1] [10.0.0.2:80 DR 3] [127.0.0.1:80 DR 0]"},
		{"a checker moves the weight", nil, servers{"10.0.0.2": {Up: true, Weight: -2}}, svc + " [10.0.0.1:80 DR 1] [10.0.0.2:80 DR 1]"},
		{"a weight does not fall below 0", nil, servers{"10.0.0.2": {Up: true, Weight: -9}}, svc + " [10.0.0.1:80 DR 1] [10.0.0.2:80 DR 0]"},
		{"a real server has a method of its own",
			func(vs *config.VirtualServer) { vs.RealServers[1].LVSMethod = config.LVSMethod{Kind: "NAT"} }, nil,
			svc + " [10.0.0.1:80 DR 1] [10.0.0.2:80 NAT 3]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vs := virtualServer(1, 3)
			if c.change != nil {
				c.change(vs)
			}
			got := table(Want(&config.Config{VirtualServers: []*config.VirtualServer{vs}}, c.health.health(), nil, Decision{}))
			if got != c.want+"\n" {
				t.Errorf("got  %swant %s", got, c.want)
			}
		})
	}
}

func TestQuorumHysteresis(t *testing.T) {
	vs := virtualServer(1, 1, 1, 1)
	vs.Quorum, vs.Hysteresis = 2, 1
	cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}}
	var d Decision
	for _, step := range []struct {
		down []string
		up   bool
	}{
		{nil, true},
		{[]string{"10.0.0.1", "10.0.0.2"}, true},             // 2 is not below 2-1
		{[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, true}, // 1 is not below 1
		{[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}, false},
		{[]string{"10.0.0.1", "10.0.0.2"}, false}, // 2 is not yet 2+1
		{[]string{"10.0.0.1"}, true},
	} {
		d = Want(cfg, down(step.down...).health(), nil, d)
		if got := d.Virtual[0].QuorumUp; got != step.up {
			t.Errorf("down %v: quorum %v, want %v", step.down, got, step.up)
		}
	}
}

func TestAQuorumBeyondAllServersCountsAsAllOfThem(t *testing.T) {
	vs := virtualServer(1, 1)
	vs.Quorum = 10
	d := Want(&config.Config{VirtualServers: []*config.VirtualServer{vs}}, nil, nil, Decision{})
	if !d.Virtual[0].QuorumUp {
		t.Error("all servers are up, and the quorum is down")
	}
}

func TestOwnershipGatesForwarding(t *testing.T) {
	vip := func(addr string) []config.VirtualIPAddress {
		return []config.VirtualIPAddress{{Prefix: netip.MustParsePrefix(addr + "/32")}}
	}
	cfg := &config.Config{
		VirtualServers: []*config.VirtualServer{virtualServer(1), virtualServer(1), virtualServer(1)},
		VRRPInstances: []*config.VRRPInstance{
			{Name: "A", VirtualIPAddress: vip("192.0.2.100")},
			{Name: "B", VirtualIPAddressExcluded: vip("192.0.2.101")},
		},
	}
	cfg.VirtualServers[1].Address = netip.MustParseAddr("192.0.2.101")
	cfg.VirtualServers[2].Address = netip.MustParseAddr("192.0.2.102")
	for _, c := range []struct {
		masters map[string]bool
		want    []bool
	}{
		{nil, []bool{false, false, true}},
		{map[string]bool{"A": true}, []bool{true, false, true}},
		{map[string]bool{"A": false, "B": true}, []bool{false, true, true}},
	} {
		var got []bool
		for _, s := range Want(cfg, nil, c.masters, Decision{}).Services {
			got = append(got, s.Active)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("masters %v: active %v, want %v", c.masters, got, c.want)
		}
	}
}

func TestAGroupBecomesOneServiceForEachAddressAndMark(t *testing.T) {
	vs := virtualServer(1)
	vs.Address, vs.Port, vs.Group = netip.Addr{}, 0, "web"
	cfg := &config.Config{
		VirtualServers: []*config.VirtualServer{vs},
		VirtualServerGroups: []*config.VirtualServerGroup{{Name: "web",
			Addresses: []config.AddressRange{{First: netip.MustParseAddr("192.0.2.254"), Last: netip.MustParseAddr("192.0.3.1"), Port: 443}},
			FWMarks:   []config.GroupFWMark{{Mark: 7}}}},
	}
	got := table(Want(cfg, nil, nil, Decision{}))
	want := strings.ReplaceAll(`192.0.2.254:443/tcp rr R
192.0.2.255:443/tcp rr R
192.0.3.0:443/tcp rr R
192.0.3.1:443/tcp rr R
fwmark:7/inet4 rr R
`, "R", "[10.0.0.1:80 DR 1]")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	vs.Group = "none"
	d := Want(cfg, nil, nil, Decision{})
	if len(d.Services) != 0 || d.Virtual[0].Err == nil {
		t.Errorf("a group that does not exist: %+v", d)
	}
}

func TestWantLeavesItsInputsAlone(t *testing.T) {
	vs := virtualServer(1, 1)
	cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}}
	before := Want(cfg, nil, nil, Decision{})
	text := table(before)
	after := Want(cfg, down("10.0.0.1").health(), map[string]bool{}, before)
	if table(before) != text || table(after) == text {
		t.Errorf("the decision before is now\n%s", table(before))
	}
}

func netipPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func TestEveryServiceHasTheLimitOfTheXvipBlock(t *testing.T) {
	cfg := &config.Config{XVIP: config.XVIP{NewConnectionLimit: 7}, VirtualServers: []*config.VirtualServer{virtualServer(1)}}
	if got := Want(cfg, nil, nil, Decision{}).Services; len(got) != 1 || got[0].NewConnections != 7 {
		t.Errorf("services %+v, want the limit 7", got)
	}
}

func TestALimitOfAServiceComesFirst(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.1")
	x := &config.XVIP{NewConnectionLimit: 7, NewConnectionLimits: []config.ServiceLimit{
		{Address: at, Port: 80, Protocol: "TCP", Limit: 9}, {Address: at, Port: 53, Limit: 5}, {Address: at, Port: 443, Limit: 0}}}
	for key, want := range map[dataplane.Key]uint32{
		{Address: at, Port: 80, Protocol: dataplane.TCP}: 9, {Address: at, Port: 80, Protocol: dataplane.UDP}: 7,
		{Address: at, Port: 53, Protocol: dataplane.TCP}: 5, {Address: at, Port: 53, Protocol: dataplane.UDP}: 5,
		{Address: at, Port: 443, Protocol: dataplane.TCP}: 0, {FWMark: 3, Family: 4}: 7,
	} {
		if got := NewConnections(x, key); got != want {
			t.Errorf("%v: %d, want %d", key, got, want)
		}
	}
}
