package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
)

// What a guardian is told has the routers of the configuration as they are, and
// nothing that runs or is there without a Master.
func TestGuardText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	text := `global_defs {
 vrrp_notify_fifo /tmp/fifo
}
vrrp_script chk {
 script "/bin/true"
}
vrrp_track_process p {
 process sshd
}
static_ipaddress {
 192.0.2.9/32 dev lo
}
vrrp_sync_group G {
 group {
  A
  B
 }
 notify_master /bin/true
}
vrrp_instance A {
 interface lo
 virtual_router_id 1
 priority 77
 advert_int 2
 authentication {
  auth_type PASS
  auth_pass "a b"
 }
 virtual_ipaddress {
  192.0.2.1/32 dev lo label lo:1
 }
 track_script {
  chk weight 5
 }
 notify "/bin/echo x"
}
vrrp_instance B {
 interface lo
 virtual_router_id 2
 version 3
 virtual_ipaddress {
  2001:db8::1/128
 }
 track_process {
  p
 }
 track_interface {
  lo
 }
}
virtual_server 192.0.2.1 80 {
 real_server 192.0.2.2 80 {
 }
}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := &options.Options{File: file}
	cfg, ds := Load(opt)
	if cfg == nil {
		t.Fatal(ds)
	}
	told := guardText(cfg)
	for _, word := range []string{"true", "fifo", "echo", "virtual_server", "static_ipaddress", "sshd"} {
		if strings.Contains(told, word) {
			t.Errorf("the guardian is told of %q:\n%s", word, told)
		}
	}
	got, err := GuardWanted(opt)(told)
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	want, err := wantedRouters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Routers) != len(want.Routers) || len(got.Groups) != 1 {
		t.Fatalf("%d routers, %d groups", len(got.Routers), len(got.Groups))
	}
	for i, r := range got.Routers {
		w := want.Routers[i]
		if r.Config.Name != w.Config.Name || r.Config.VRID != w.Config.VRID || r.Config.Priority != w.Config.Priority ||
			r.Config.AdvertInterval != w.Config.AdvertInterval || r.Config.AuthData != w.Config.AuthData || len(r.Owned) != 1 || r.Owned[0] != w.Owned[0] {
			t.Errorf("router %+v, want %+v", r, w)
		}
		if len(r.TrackScripts)+len(r.TrackProcesses) > 0 || len(r.TrackInterfaces) != len(w.TrackInterfaces) {
			t.Errorf("%s tracks %v %v %v", r.Config.Name, r.TrackScripts, r.TrackProcesses, r.TrackInterfaces)
		}
	}
	cfg.VRRPInstances = nil
	if told := guardText(cfg); told != "" {
		t.Errorf("without virtual routers it is told %q", told)
	}
}
