package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestBadInputIsSaidInOneLine starts the daemon on what it cannot run with: it
// ends at once with what is wrong, where, and what to do.
func TestBadInputIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "bad")
	h := labtest.Host(t, l, "host", "192.168.166.130/24")
	pair := example(t, "lvs-dr-master.conf")
	binary := bytes.Repeat([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0xff, 0xfe}, 400)
	for _, c := range []struct {
		name string
		text string // of the file; none is written when empty and file is given
		file string
		wrap []string
		want []string // words of the line
	}{
		{name: "missing file", file: "/no/such/keepalived.conf", want: []string{"/no/such/keepalived.conf", "no such file"}},
		{name: "directory", file: t.TempDir(), want: []string{"is a directory"}},
		{name: "empty file", want: []string{"keepalived.conf", "empty"}},
		{name: "binary file", text: string(binary), want: []string{"keepalived.conf", "text"}},
		{name: "missing interface", text: strings.Replace(pair, "interface eth0", "interface eth7", 1), want: []string{"keepalived.conf:17:", "eth7"}},
		{name: "missing brace", text: example(t, "broken-missing-brace.conf"), want: []string{"keepalived.conf:", "}"}},
		{name: "no root", text: pair, wrap: []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, want: []string{"CAP_NET_ADMIN", "root"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "keepalived.conf")
			if c.file != "" {
				file = c.file
			} else if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			argv := append(slices.Clone(c.wrap), xvip(t), "-n", "-l", "-G", "-f", file, "--state-dir", dir, "--control-socket", filepath.Join(dir, "sock"))
			out, err := h.Run(ctx, argv...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
				t.Fatalf("ended with %v, want an exit code that is not 0\n%s", err, out)
			}
			wantOneLine(t, out, c.want...)
		})
	}
}

// wantOneLine checks that one line of the output holds all the words, and that
// warnings about other things and the closing line are all there is besides.
func wantOneLine(t *testing.T, out string, words ...string) {
	t.Helper()
	found := 0
	for line := range strings.Lines(out) {
		has := func(w string) bool { return strings.Contains(line, w) }
		switch {
		case !slices.ContainsFunc(words, func(w string) bool { return !has(w) }):
			found++
		case strings.Contains(line, " warning: "), strings.HasPrefix(line, "xvip: the configuration has "):
		default:
			t.Errorf("a line too many: %q", line)
		}
	}
	if found != 1 {
		t.Errorf("%d lines with %q in:\n%s", found, words, out)
	}
}

// TestElectionRunsWithoutBPF takes the right to use BPF away: the reason is
// told, and the election goes on (keepalived ends whole without IPVS).
func TestElectionRunsWithoutBPF(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "nobpf")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	text := example(t, "lvs-dr-master.conf")
	a := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, text,
		"setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon", "--inh-caps=-bpf,-sys_admin,-perfmon")
	b := keepalivedNode(t, labtest.Host(t, l, "director2", "192.168.166.132/24"), example(t, "lvs-dr-backup.conf"))
	a.start()
	b.start()
	waitOwner(t, masterDown+startUp, vip1, a, a, b)
	st := a.wantStates(slack, map[string]string{"VI_1": "MASTER"})
	if x := st.Engine.XDP; x.Available || !strings.Contains(x.Reason, "CAP_BPF") {
		t.Errorf("engine: available %v, reason %q, want a reason with CAP_BPF", x.Available, x.Reason)
	}
	if n := strings.Count(a.log(), "a forwarding engine is off\" engine=xdp"); n != 1 {
		t.Errorf("the log says %d times that the engine is off, want once", n)
	}
	if v := st.VirtualServers; len(v) != 1 || v[0].Engine == "xdp" {
		t.Errorf("virtual servers %+v", v)
	}
	a.stop()
	waitOwner(t, slack, vip1, b, a, b)
}
