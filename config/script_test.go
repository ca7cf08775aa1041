package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// set_supplementary_groups gives scripts the other groups of their user; so does
// a group written as ":".
func TestSupplementaryGroupsOfScripts(t *testing.T) {
	const notify = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\nnotify_master /bin/x haproxy\n}\n"
	for text, want := range map[string][]uint32{notify: nil, "global_defs {\nset_supplementary_groups\n}\n" + notify: {1001, 44}} {
		cfg, ds := Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}}, "/x.conf", Options{LookupUser: lookupUser, LookupGroup: lookupGroup})
		if cfg == nil {
			t.Fatal(ds)
		}
		if got := cfg.VRRPInstances[0].Notify.Master; got.UID != 1001 || !slices.Equal(got.Groups, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// new_connection_limit is for all services, or for one; what cannot be is told
// with its place.
func TestNewConnectionLimits(t *testing.T) {
	parse := func(line string) (*Config, []Diagnostic) {
		return Parse(fstest.MapFS{"x.conf": {Data: []byte("xvip {\nnew_connection_limit " + line + "\n}\n")}}, "/x.conf", Options{})
	}
	for line, want := range map[string]ServiceLimit{
		"10.0.0.1 80 tcp 5": {Address: netip.MustParseAddr("10.0.0.1"), Port: 80, Protocol: "TCP", Limit: 5},
		"2001:db8::1 53 6":  {Address: netip.MustParseAddr("2001:db8::1"), Port: 53, Limit: 6},
	} {
		cfg, ds := parse(line)
		if cfg == nil || len(ds) > 0 || len(cfg.XVIP.NewConnectionLimits) != 1 {
			t.Fatalf("%s: %v", line, ds)
		}
		got := cfg.XVIP.NewConnectionLimits[0]
		if got.Pos = (Pos{}); got != want {
			t.Errorf("%s: %+v", line, got)
		}
	}
	for line, want := range map[string]string{
		"-1": "x.conf:2:22", "x": "x.conf:2:22", "10.0.0 80 tcp 5": "bad address", "10.0.0.1 80": "is missing", "10.0.0.1 80 tcp": "the limit is missing",
		"10.0.0.1 99999 tcp 5": "x.conf:2:31", "10.0.0.1 80 icmp 5": "x.conf:2:34", "10.0.0.1 80 tcp 5 6": "x.conf:2:40",
	} {
		cfg, ds := parse(line)
		if cfg == nil || len(ds) == 0 || !strings.Contains(ds[0].String(), want) {
			t.Errorf("%s: %v", line, ds)
		}
	}
}
