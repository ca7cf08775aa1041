package config

import (
	"slices"
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
