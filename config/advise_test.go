package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// TestAdvise: each trap is named, at its line, and its way out gets no advice.
func TestAdvise(t *testing.T) {
	base := "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n"
	script := "global_defs { script_user user }\nvrrp_script s {\nscript /bin/true\nfall 2\n}\n"
	tests := []struct {
		name, text string
		line       int
		want       string // part of the message; empty: no advice at all
	}{
		{"clean", base + "}\n", 0, ""},
		{"nopreempt with a weight", script + base + "nopreempt\ntrack_script {\ns weight -20\n}\n}\n", 14, "nopreempt"},
		{"nopreempt with weight 0", script + base + "nopreempt\ntrack_script {\ns\n}\n}\n", 0, ""},
		{"small weight", script + base + "track_script {\ns weight 2\n}\n}\n", 13, "moves the addresses only"},
		{"big weight", script + base + "track_script {\ns weight -20\n}\n}\n", 0, ""},
		{"strict", "global_defs { vrrp_strict }\n" + base + "}\n", 2, "do not answer ping"},
		{"clear password", base + "authentication {\nauth_type PASS\nauth_pass x\n}\n}\n", 7, "clear text"},
		{"short interval", base + "version 3\nadvert_int 0.03\n}\n", 1, "no room for a pause"},
		{"owner with trackers", script + base + "priority 255\ntrack_script {\ns weight -20\n}\n}\n", 6, "never changes"},
		{"unused script", script + base + "}\n", 2, "never runs"},
		{"talks to itself", base + "unicast_src_ip 10.0.0.9\ncheck_unicast_src\nunicast_peer {\n10.0.0.9\n}\n}\n", 10, "talk to itself"},
		{"no checker", "virtual_server 10.0.0.1 80 {\nlvs_sched rr\nlvs_method DR\nprotocol TCP\nreal_server 10.0.0.2 80 {\n}\n}\n", 5, "no checker"},
		{"sync group", script + base + "track_script {\ns weight -20\n}\n}\nvrrp_sync_group G {\ngroup {\nV\n}\n}\n", 13, "ignores weights"},
		{"timeout above interval", strings.Replace(script, "fall 2", "fall 2\ntimeout 3", 1) + base + "track_script {\ns\n}\n}\n", 2, "left out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opt := hostOptions()
			c, ds := Parse(fstest.MapFS{"a.conf": {Data: []byte(test.text)}}, "/a.conf", opt)
			if c == nil {
				t.Fatal(ds)
			}
			got := Advise(c)
			if test.want == "" {
				if len(got) > 0 {
					t.Fatalf("unexpected advice: %v", got)
				}
				return
			}
			for _, d := range got {
				if strings.Contains(d.Message, test.want) {
					if d.Pos.Line != test.line || d.Severity != Advice {
						t.Errorf("%v: want line %d", d, test.line)
					}
					return
				}
			}
			t.Errorf("no advice with %q: %v", test.want, got)
		})
	}
}

// TestAdviseLinks: every anchor that advice points to is in the document.
func TestAdviseLinks(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(repoRoot, "docs", "CONFIG.md"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("advise.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(string(src), "a.say(")[1:] {
		_, rest, _ := strings.Cut(part, `"`)
		path, _, _ := strings.Cut(rest, `"`)
		if strings.HasPrefix(part, "t.Pos, path") {
			path = "vrrp_instance.track_script"
		}
		n++
		if !strings.Contains(string(doc), `<a id="`+Anchor(path)+`">`) {
			t.Errorf("docs/CONFIG.md has no anchor for %s", path)
		}
	}
	if n < 10 {
		t.Errorf("found %d pieces of advice in the source; expected at least 10", n)
	}
}
