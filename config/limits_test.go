package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

// TestHostileInput: files made to hurt end with a clear error, or with
// warnings, soon and in little memory.
func TestHostileInput(t *testing.T) {
	const mib = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, mib/len(s)) }
	tests := []struct {
		name, text string
		want       string // part of a diagnostic
	}{
		{"short unknown lines", fill("a\n"), "more problems are not shown"},
		{"open braces", fill("a {\n"), "its '}' is missing"},
		{"closing braces", fill("}\n"), "has no opening brace"},
		{"one line", "router_id " + fill("x"), "no such keyword"},
		{"quotes", fill("\"\n"), "not closed"},
		{"instances", fill("vrrp_instance V {\n}\n"), "taken already"},
		{"names", "global_defs {\nnotification_email {\n" + fill("a b c d e f\n") + "}\n}\n", "does not act"},
		{"itself", "$A=$A x\n$A\n", "use itself"},
		{"growing", "$A=$B $B\n$B=$C $C\n$C=$D $D\n$D=$E $E\n$E=$F $F\n$F=$G $G\n$G=$A $A\n$A\n", "grows beyond"},
		{"lines of itself", "$A= \\\nx \\\n$A\n$A\n", "use itself"},
		{"endless sequence", "~SEQ(a,1,999999999) ~SEQ(b,1,999999999) x\n", "grows beyond"},
		{"sequence without output", "~SEQ(a,1,999999999) @nobody x\n", "grows beyond"},
		{"includes itself", "include x.conf\n", "includes are nested deeper"},
		{"many braces in a name", "include " + strings.Repeat("{a,b}", 30) + "\n", "more than 1000 names"},
		{"NUL bytes in a text", strings.Repeat("# a comment of some length\n", 40) + "a\x00b\n", "NUL byte"},
		{"binary", fill("\x7fELF\x00\x01\x02\x03"), "binary file"},
		{"empty", "", "no configuration"},
		{"only comments", "# nothing\n", "no configuration"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opt := hostOptions()
			opt.MaxInput = 4 * mib
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c, ds := Parse(fstest.MapFS{"x.conf": {Data: []byte(test.text)}}, "/x.conf", opt)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if (c == nil) != HasErrors(ds) {
				t.Errorf("configuration %v, errors %v", c != nil, HasErrors(ds))
			}
			found := false
			for _, d := range ds {
				found = found || strings.Contains(d.Message, test.want)
				if len(d.String()) > 2000 {
					t.Errorf("a diagnostic is %d bytes long", len(d.String()))
				}
			}
			if !found {
				t.Errorf("no diagnostic with %q in %d, the first: %v", test.want, len(ds), ds[:min(len(ds), 3)])
			}
			if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 64*mib {
				t.Errorf("%d MiB are in use after parsing", used/mib)
			}
			runtime.KeepAlive(ds)
		})
	}
}

// TestUnreadable: what cannot be read is one line that says why.
func TestUnreadable(t *testing.T) {
	files := fstest.MapFS{"dir/x.conf": {Data: []byte("router_id x\n")}}
	for _, name := range []string{"/absent.conf", "/dir"} {
		c, ds := Parse(files, name, Options{})
		if c != nil || len(ds) != 1 || ds[0].Severity != Error {
			t.Fatalf("%s: %v", name, ds)
		}
		if got := ds[0].String(); !strings.HasPrefix(got, name+": error: cannot read the configuration: ") {
			t.Errorf("got %q", got)
		}
	}
}

// TestPositions: columns count from 1, through substitution and includes.
func TestPositions(t *testing.T) {
	files := fstest.MapFS{
		"etc/x.conf":   {Data: []byte("$V=high\nvrrp_instance A {\n  interface eth0\n  virtual_router_id 1\n    priority   ${V} # x\n include y.inc\n}\n")},
		"etc/y.inc":    {Data: []byte("\tadvert_int never\n")},
		"etc/z.conf":   {Data: []byte("$B= \\\n  advert_int \\\n  nonsense 1\nvrrp_instance A {\n  interface eth0\n  $B\n}\n")},
		"etc/long.inc": {},
	}
	want := map[string][]string{
		"/etc/x.conf": {"/etc/x.conf:5:16: warning: priority: bad number \"high\"", "/etc/y.inc:1:13: warning: advert_int: bad time \"never\"; expected a number from 0.01 to 255, in seconds (included from /etc/x.conf:6:2)"},
		"/etc/z.conf": {"/etc/z.conf:2:3: error: advert_int: the argument is missing; expected advert_int SECS (included from /etc/z.conf:6:3)", "/etc/z.conf:3:3: warning: nonsense:"},
	}
	for name, lines := range want {
		_, ds := Parse(files, name, Options{})
		all := fmt.Sprintln()
		for _, d := range ds {
			all += d.String() + "\n"
		}
		for _, l := range lines {
			if !strings.Contains(all, "\n"+l) {
				t.Errorf("no diagnostic %q in:%s", l, all)
			}
		}
	}
}

// TestRepetitionsAreCounted: turns of ~SEQ cost more than their text, or two of
// them on a line would run for minutes before the limit of input is reached.
func TestRepetitionsAreCounted(t *testing.T) {
	opt := hostOptions()
	opt.MaxInput = 1 << 20
	pre := newPreprocessor(fstest.MapFS{}, opt, &sink{})
	pre.pushFile("x.conf", "~SEQ(a,1,999999999) ~SEQ(b,1,999999999) x\n", nil)
	n := 0
	for l := (line{}); pre.next(&l); {
		n++
	}
	if most := opt.MaxInput / repeatCost; n == 0 || n > most {
		t.Errorf("%d lines came out; expected some, and at most %d", n, most)
	}
}

// TestHostIsAskedOnce: thousands of instances on one interface are one question.
func TestHostIsAskedOnce(t *testing.T) {
	opt, asked := hostOptions(), 0
	opt.InterfaceExists = func(string) bool { asked++; return true }
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "vrrp_instance V%d {\ninterface eth0\nvirtual_router_id %d\nvirtual_ipaddress {\n10.0.0.%d\n}\n}\n", i, i+1, i+1)
	}
	c, ds := Parse(fstest.MapFS{"x.conf": {Data: []byte(b.String())}}, "/x.conf", opt)
	if c == nil || asked != 1 {
		t.Errorf("the host was asked %d times: %v", asked, ds)
	}
}
