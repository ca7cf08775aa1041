package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const advisable = `global_defs {
    enable_script_security
}
vrrp_instance VI_1 {
    interface lo
    virtual_router_id 51
    priority 100
    nat_mask 255.0.0.0
    vrrp_strictly
    virtual_ipaddress {
        192.0.2.1
    }
}
`

func checkFile(t *testing.T, text string, opt checkOptions) (out, problems string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if e := os.WriteFile(file, []byte(text), 0o600); e != nil {
		t.Fatal(e)
	}
	opt.daemon.File = file
	var o, p bytes.Buffer
	err = check(&o, &p, &opt)
	return o.String(), p.String(), err
}

func TestCheckTellsProblemsAndWhetherItWouldRun(t *testing.T) {
	out, _, err := checkFile(t, advisable, checkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{":8:5: warning: nat_mask:", ":9:5: warning: vrrp_strictly:", "0 errors, 2 warnings; xvip would run 1 virtual router"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	out, _, err = checkFile(t, strings.Replace(advisable, "virtual_router_id 51", "advert_int", 1), checkOptions{})
	var code exitCode
	if !errors.As(err, &code) || code != 1 || !strings.Contains(out, "would not start") {
		t.Errorf("a broken file ends with %v:\n%s", err, out)
	}
}

func TestCheckPrintsAConfigurationThatLoads(t *testing.T) {
	first, problems, err := checkFile(t, advisable, checkOptions{print: true})
	if err != nil || !strings.Contains(problems, "nat_mask") || strings.Contains(first, "nat_mask") {
		t.Fatalf("%v\n%s\n%s", err, first, problems)
	}
	second, problems, err := checkFile(t, first, checkOptions{print: true})
	if err != nil || second != first || strings.Contains(problems, "error") {
		t.Errorf("printed again it differs (%v):\n%s\n%s", err, second, problems)
	}
	asJSON, _, err := checkFile(t, advisable, checkOptions{print: true, json: true})
	var tree map[string]any
	if err == nil {
		err = json.Unmarshal([]byte(asJSON), &tree)
	}
	if err != nil || tree["vrrp_instance"] == nil {
		t.Errorf("JSON: %v, keys %v", err, tree)
	}
}

func TestProblemsAsJSON(t *testing.T) {
	out, _, err := checkFile(t, advisable, checkOptions{json: true})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(out) {
		var p jsonProblem
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		found = found || p.Word == "nat_mask" && p.Line == 8 && p.Col == 5 && p.Severity == "warning"
	}
	if !found {
		t.Errorf("nat_mask is not among:\n%s", out)
	}
}

func TestSignumAndVersionAnswerWithoutADaemon(t *testing.T) {
	for _, args := range [][]string{{"xvip", "--signum=STOP"}, {"xvip", "-v"}, {"xvip", "version"}} {
		if code := run(args); code != 0 {
			t.Errorf("%v ends with %d", args, code)
		}
	}
	if code := run([]string{"xvip", "--signum=NONE"}); code != 1 {
		t.Errorf("an unknown signal ends with %d", code)
	}
	if code := run([]string{"xvip", "-P", "-C"}); code != 1 {
		t.Errorf("-P with -C ends with %d", code)
	}
}

func TestCheckNamesTheEngineOfEachService(t *testing.T) {
	out, _, err := checkFile(t, `virtual_server 192.0.2.1 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 198.51.100.1 80 {
    }
}
virtual_server 192.0.2.2 80 {
    lb_algo lblc
    lb_kind DR
    protocol TCP
    real_server 198.51.100.1 80 {
    }
}
`, checkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"192.0.2.1:80/tcp: xdp\n", "192.0.2.2:80/tcp: ipvs (xdp: scheduler lblc needs IPVS"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}
