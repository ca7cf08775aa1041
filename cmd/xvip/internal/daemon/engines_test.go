package daemon

import (
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane/ipvs"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, ds := config.Parse(fstest.MapFS{"etc/keepalived.conf": {Data: []byte(text)}}, "/etc/keepalived.conf", config.Options{})
	if cfg == nil {
		t.Fatal(ds)
	}
	return cfg
}

const routerOne = "\nvrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n"

func TestIPVSSettings(t *testing.T) {
	group := netip.MustParseAddr("224.0.0.81")
	for name, tc := range map[string]struct {
		text    string
		masters map[string]bool
		want    ipvs.Settings
	}{
		"none":     {text: "global_defs {\n}\n"},
		"timeouts": {text: "global_defs {\n lvs_timeouts tcp 60 udp 5\n}\n", want: ipvs.Settings{Timeouts: ipvs.Timeouts{TCP: time.Minute, UDP: 5 * time.Second}}},
		"both roles without an instance": {text: "global_defs {\n lvs_sync_daemon eth0 id 3 maxlen 1000 port 9000 ttl 7\n}\n", want: ipvs.Settings{ManageSync: true, Sync: []ipvs.SyncDaemon{
			{Master: true, Interface: "eth0", ID: 3, MaxLen: 1000, Port: 9000, TTL: 7, Group: group},
			{Interface: "eth0", ID: 3, MaxLen: 1000, Port: 9000, TTL: 7, Group: group}}}},
		"the instance's id and role": {text: "global_defs {\n lvs_sync_daemon eth1 VI_1\n}\n" + routerOne, masters: map[string]bool{"VI_1": true},
			want: ipvs.Settings{ManageSync: true, Sync: []ipvs.SyncDaemon{{Master: true, Interface: "eth1", ID: 51, Port: 8848, Group: group}}}},
		"backup": {text: "global_defs {\n lvs_sync_daemon eth1 VI_1\n}\n" + routerOne,
			want: ipvs.Settings{ManageSync: true, Sync: []ipvs.SyncDaemon{{Interface: "eth1", ID: 51, Port: 8848, Group: group}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ipvsSettings(parse(t, tc.text), tc.masters)
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEngineThatTheConfigurationBars(t *testing.T) {
	server := "virtual_server 192.0.2.1 80 {\n protocol TCP\n real_server 192.0.2.2 80 {\n }\n}\n"
	for _, tc := range []struct{ text, engine, want string }{
		{server, "xdp", ""},
		{server, "ipvs", ""},
		{server + "xvip {\n dataplane ipvs\n}\n", "ipvs", ""},
		{server + "xvip {\n dataplane ipvs\n}\n", "xdp", "the configuration says dataplane ipvs"},
		{server + "xvip {\n dataplane none\n}\n", "ipvs", "the configuration says dataplane none"},
		{"global_defs {\n}\n", "ipvs", noServers},
		{"global_defs {\n lvs_flush\n}\n", "ipvs", ""},
		{"global_defs {\n lvs_flush\n}\n", "xdp", noServers},
	} {
		if got := barred(parse(t, tc.text), tc.engine); got != tc.want {
			t.Errorf("%s with %q: %q, want %q", tc.engine, tc.text, got, tc.want)
		}
	}
}

func TestNamespaceOfIPVS(t *testing.T) {
	for text, want := range map[string]string{"global_defs {\n}\n": "", "net_namespace_ipvs lb\n": "/run/netns/lb", "net_namespace_ipvs\n": "/proc/1/ns/net"} {
		if got := ipvsNamespace(parse(t, text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
