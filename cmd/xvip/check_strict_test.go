package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExitCodesOfConfigTest: -t ends with 0 when a daemon would run, else with
// 1; --strict tells warnings and the script security notice apart, as
// keepalived does. A setting that only this program does not carry out is no
// warning of keepalived's, so it does not count.
func TestExitCodesOfConfigTest(t *testing.T) {
	const instance = "vrrp_instance V {\n    interface lo\n    virtual_router_id 5\n    state BACKUP\n    priority 100\n    virtual_ipaddress {\n        192.0.2.1\n    }\n"
	const rootScript = "vrrp_script S {\n    script /bin/true\n    user root\n}\n"
	tests := []struct {
		name, text    string
		plain, strict int
	}{
		{"clean", instance + "}\n", 0, 0},
		{"not carried out here", "global_defs {\n    enable_dbus\n    process_names\n    snmp_socket unix:/x\n    vrrp_iptables\n}\n" + instance + "}\n", 0, 0},
		{"unknown keyword", instance + "    no_such_word\n}\n", 0, 5},
		{"bad value", instance + "    advert_int never\n}\n", 0, 5},
		{"script security", rootScript + instance + "    track_script {\n        S\n    }\n}\n", 0, 6},
		{"script security and a warning", rootScript + instance + "    no_such_word\n    track_script {\n        S\n    }\n}\n", 0, 6},
		{"missing argument", instance + "    advert_int\n}\n", 1, 1},
		{"missing interface", "vrrp_instance V {\n    interface missing0\n    virtual_router_id 5\n    virtual_ipaddress {\n        192.0.2.1\n    }\n}\n", 1, 1},
		{"brace missing", instance, 1, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			file, log := filepath.Join(dir, "keepalived.conf"), filepath.Join(dir, "log")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				args []string
				want int
			}{{nil, test.plain}, {[]string{"--strict"}, test.strict}} {
				args := append([]string{"xvip", "-t=" + log, "-f", file}, c.args...)
				if got := run(args); got != c.want {
					text, _ := os.ReadFile(log)
					t.Errorf("%v ends with %d, want %d:\n%s", c.args, got, c.want, text)
				}
			}
		})
	}
}
