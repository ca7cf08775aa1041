package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// dumpFiles are real configurations, where they lie beside the repository, and
// those of our own.
func dumpFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../../../shared/corpus/*.conf", "../../config/testdata/golden/*.conf", "../../config/testdata/examples/*.conf", "../../config/testdata/verdicts/start_*.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	// keepalived does not see the first block behind a byte order mark, and waits.
	return slices.DeleteFunc(all, func(f string) bool { return filepath.Base(f) == "bom_crlf.conf" })
}

// TestConfigMeansWhatKeepalivedDumps: of what keepalived starts with, our
// values are those that keepalived itself prints with -d. The addresses,
// interfaces and programs of the files are only read: keepalived has a network
// and process namespace of its own, and ends before it acts.
func TestConfigMeansWhatKeepalivedDumps(t *testing.T) {
	t.Parallel()
	labtest.NeedRoot(t)
	lib := filepath.Join(t.TempDir(), "dumponly.so")
	if out, err := exec.Command("clang", "-w", "-O1", "-shared", "-fPIC", "-o", lib, "testdata/dumponly.c").CombinedOutput(); err != nil {
		t.Fatalf("build dumponly.so: %v\n%s", err, out)
	}
	files := dumpFiles(t)
	counts := make([]dumpCount, len(files))
	t.Run("files", func(t *testing.T) {
		for i, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				t.Parallel()
				counts[i] = compareDump(t, lib, f)
			})
		}
	})
	var total dumpCount
	for _, c := range counts {
		total.instances += c.instances
		total.services += c.services
		total.servers += c.servers
		total.checkers += c.checkers
		total.values += c.values
	}
	t.Logf("%d values of %d instances, %d virtual servers, %d real servers and %d checkers compared", total.values, total.instances, total.services, total.servers, total.checkers)
	if total.instances < 8 || total.services < 5 || total.servers < 5 || total.checkers < 5 {
		t.Errorf("too few to mean anything: %+v", total)
	}
}

type dumpCount struct{ instances, services, servers, checkers, values int }

func compareDump(t *testing.T, lib, file string) (n dumpCount) {
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := config.Parse(os.DirFS("/"), path, config.Options{HostName: host, LookupEnv: os.LookupEnv})
	if cfg == nil {
		t.Skip("it does not load; the tests of package config compare that with keepalived's verdict")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{T: t, file: filepath.Base(file)}
	if len(cfg.VRRPInstances) > 0 {
		d := readDump(dumpOf(t, lib, path, "-P", interfacesOf(cfg, string(text))))
		c.record(d.find("Global definitions"), "global_defs", globalLines(cfg))
		for _, v := range cfg.VRRPInstances {
			n.instances += c.record(d.find("VRRP Instance = "+v.Name), "vrrp_instance "+v.Name, instanceLines(cfg, v))
		}
	}
	if len(cfg.VirtualServers) > 0 {
		d := readDump(dumpOf(t, lib, path, "-C", nil))
		for _, vs := range cfg.VirtualServers {
			c.service(d, cfg, vs, &n)
		}
	}
	n.values = c.values
	c.judge()
	return n
}

// service compares a virtual server with its real servers and their checkers.
func (c *comparison) service(d *dump, cfg *config.Config, vs *config.VirtualServer, n *dumpCount) {
	head := serviceHead(vs)
	n.services += c.record(d.find(head), head, serviceLines(vs))
	for _, rs := range vs.RealServers {
		sub := fmt.Sprintf("%s RIP = %s, RPORT = %d", head, rs.Address, rs.Port)
		n.servers += c.record(d.find(sub), sub, serverLines(rs))
		for _, k := range rs.Checkers {
			if k.Type == config.MiscCheck || k.Type == config.BFDCheck {
				continue // keepalived drops programs that are not there, and dumps BFD elsewhere
			}
			sub := checkerHead(vs, rs) + " " + k.Type
			n.checkers += c.record(d.find(sub), sub, checkerLines(cfg, k))
		}
	}
}

// dumpDifferences are the files in which something differs on purpose; each
// reason stands in docs/COMPAT.md.
var dumpDifferences = map[string]string{
	"169.conf":           "${NAME} that is not defined stays part of the word; its braces open no block",
	"366.conf":           "a block of an unknown keyword is skipped whole; its end does not end the block around it",
	"368.conf":           "keepalived ends where the net_namespace of the file does not exist",
	"global.conf":        "keepalived ends where the net_namespace of the file does not exist",
	"inherit.conf":       "a checker and a sorry server without a port take that of the service",
	"mistakes.conf":      "a block of an unknown keyword is skipped whole; its end does not end the block around it",
	"style.conf":         "the line of a quote that is not closed is left out; \\# and \\! are the signs themselves, as later releases have it",
	"start_no_vrid.conf": "an instance without a VRID is left out",
}

// interfacesOf are the links that the file needs, beside lo.
func interfacesOf(cfg *config.Config, text string) []string {
	names := ethRE.FindAllString(text, -1) // of rules, routes and the like
	for _, v := range cfg.VRRPInstances {
		names = append(names, v.Interface)
		for _, r := range v.VirtualRoutes {
			names = append(names, r.Dev)
		}
		for _, a := range slices.Concat(v.VirtualIPAddress, v.VirtualIPAddressExcluded) {
			names = append(names, a.Dev)
		}
		for _, tr := range v.TrackInterface {
			names = append(names, tr.Name)
		}
		if v.UseVMAC != nil {
			names = slices.DeleteFunc(names, func(s string) bool { return s == v.UseVMAC.Name })
		}
	}
	for _, a := range cfg.StaticAddresses {
		names = append(names, a.Dev)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" || s == "lo" })
}

// dumpOf runs keepalived where it can reach nothing and gives what it prints.
func dumpOf(t *testing.T, lib, file, mode string, links []string) string {
	t.Helper()
	dir := t.TempDir()
	script := "ip link set lo up\nn=0\nfor i in \"$@\"; do n=$((n+1)); ip link add \"$i\" type bridge; ip link set \"$i\" up; ip addr add 10.255.$n.1/24 dev \"$i\"; done\n" +
		`exec env LD_PRELOAD="$LIB" keepalived "$MODE" -B -R -n -l -G -d -f "$FILE" -p "$DIR/p" -r "$DIR/r" -c "$DIR/c"`
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"-n", "-m", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"}, links...)...)
	cmd.Env = append(os.Environ(), "LIB="+lib, "MODE="+mode, "FILE="+file, "DIR="+dir)
	cmd.WaitDelay = time.Second
	out := &endingAt{text: "no configuration to run", end: cancel} // it waits for a signal then
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("keepalived %s does not end: %v\n%s", mode, err, out)
	}
	return out.String()
}

// endingAt is a buffer that calls end when it holds the text.
type endingAt struct {
	bytes.Buffer
	text string
	end  func()
}

func (b *endingAt) Write(p []byte) (int, error) {
	n, err := b.Buffer.Write(p)
	if bytes.Contains(b.Bytes(), []byte(b.text)) {
		b.end()
	}
	return n, err
}

// dump is what keepalived printed, by object.
type dump struct {
	records map[string][]*record
	text    string
}

type record struct{ lines []string }

// find gives the next object of a name, or nil.
func (d *dump) find(name string) *record {
	list := d.records[name]
	if len(list) == 0 {
		return nil
	}
	d.records[name] = list[1:]
	return list[0]
}

var (
	ethRE     = regexp.MustCompile(`\beth[0-9]\b`)
	stampRE   = regexp.MustCompile(`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}: `)
	headRE    = regexp.MustCompile(`^ (VRRP Instance = .*|VS (?:VIP|FWMARK|GROUP) = .*)$`)
	serverRE  = regexp.MustCompile(`^   (RIP = .*, RPORT = \d+), WEIGHT = `)
	checkerRE = regexp.MustCompile(`^ (\S+ -> \S+)$`)
	methodRE  = regexp.MustCompile(`^   Keepalive method = (\w+)`)
)

// readDump cuts the output into objects.
func readDump(out string) *dump {
	d := &dump{records: map[string][]*record{}, text: out}
	var rec *record
	var service, checker string
	start := func(name string) {
		rec = &record{}
		if name != "" {
			d.records[name] = append(d.records[name], rec)
		}
	}
	for l := range strings.Lines(out) {
		l = strings.TrimRight(stampRE.ReplaceAllString(l, ""), "\n")
		if m := headRE.FindStringSubmatch(l); m != nil {
			service = m[1]
			start(m[1])
		} else if m := serverRE.FindStringSubmatch(l); m != nil {
			start(service + " " + m[1])
		} else if m := checkerRE.FindStringSubmatch(l); m != nil {
			checker = m[1]
			start("")
		} else if m := methodRE.FindStringSubmatch(l); m != nil && rec != nil {
			d.records[checker+" "+m[1]] = append(d.records[checker+" "+m[1]], rec)
		} else if !strings.HasPrefix(l, " ") && strings.HasPrefix(l, "---") {
			start(strings.Trim(l, "-<> "))
		}
		if rec != nil {
			rec.lines = append(rec.lines, strings.TrimPrefix(strings.TrimSpace(l), "default "))
		}
	}
	return d
}

// comparison counts values and reports differences that are not on purpose.
type comparison struct {
	*testing.T
	file   string
	values int
	diffs  []string
}

func (c *comparison) differ(format string, args ...any) {
	c.diffs = append(c.diffs, fmt.Sprintf(format, args...))
}

// judge fails for differences that are not on purpose, and for reasons that no
// longer hold.
func (c *comparison) judge() {
	why, listed := dumpDifferences[c.file]
	switch {
	case !listed:
		for _, d := range c.diffs {
			c.Error(d)
		}
	case len(c.diffs) == 0:
		c.Errorf("listed as different (%s), but nothing differs", why)
	}
}

// record wants every line of ours among keepalived's. A line that ends with
// "..." is a beginning; one with "!" before it must not be there.
func (c *comparison) record(r *record, name string, want []string) int {
	if r == nil {
		c.differ("%s: keepalived has no such object", name)
		return 0
	}
	for _, w := range want {
		c.values++
		begin, isBegin := strings.CutSuffix(w, "...")
		bad, not := strings.CutPrefix(begin, "!")
		found := slices.ContainsFunc(r.lines, func(l string) bool {
			return l == bad || isBegin && strings.HasPrefix(l, bad)
		})
		if found == not {
			key, _, _ := strings.Cut(bad, " = ")
			var same []string
			for _, l := range r.lines {
				if strings.HasPrefix(l, key) {
					same = append(same, l)
				}
			}
			c.differ("%s: we say %q, keepalived %q", name, w, same)
		}
	}
	return 1
}
