package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDocs: docs/CONFIG.md and docs/COMPAT.md are their hand-written beginning
// in testdata/docs and the keyword table. -rewrite makes them anew.
func TestDocs(t *testing.T) {
	for name, table := range map[string]func() string{"CONFIG.md": keywordTables, "COMPAT.md": notCarriedOut} {
		head, err := os.ReadFile(filepath.Join("testdata", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join(repoRoot, "docs", name), string(head)+table())
	}
}

// TestDocsExamples: every example of the documents loads, without a warning
// other than of settings that are not carried out yet and those that the
// example itself announces.
func TestDocsExamples(t *testing.T) {
	n := 0
	for _, name := range []string{"CONFIG.md", "COMPAT.md"} {
		for i, text := range docExamples(t, name) {
			n++
			c, ds := parseExample(text)
			lines := strings.Split(text, "\n")
			for _, d := range ds {
				if l := &lines[max(d.Pos.Line-1, 0)]; strings.Contains(*l, "# a warning") {
					*l = ""
				} else if d.Class != Unsupported {
					t.Errorf("%s, example %d: %s", name, i+1, d)
				}
			}
			if strings.Contains(strings.Join(lines, "\n"), "# a warning") {
				t.Errorf("%s, example %d announces a warning that does not come", name, i+1)
			}
			if c == nil {
				t.Errorf("%s, example %d does not load", name, i+1)
			}
		}
	}
	if n < 4 {
		t.Errorf("found %d examples; expected at least 4", n)
	}
}

func docExamples(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repoRoot, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i, part := range strings.Split(string(data), "```") {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	return all
}

func parseExample(text string) (*Config, []Diagnostic) {
	opt := hostOptions()
	opt.HostName = "director1"
	more := &fstest.MapFile{Data: []byte("garp_group {\n    interface eth1\n    garp_interval 1\n}\n")}
	return Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}, "services-a.conf": more, "services-b.conf": {}}, "/x.conf", opt)
}

// TestDocsForms: the forms of the preprocessor give what the page says.
func TestDocsForms(t *testing.T) {
	for _, text := range docExamples(t, "CONFIG.md") {
		if !strings.Contains(text, "~SEQx") {
			continue
		}
		c, ds := parseExample(text)
		if c == nil {
			t.Fatal(ds)
		}
		v, g := c.VRRPInstances[0], &c.Global
		var addresses []string
		for _, a := range slices.Concat(v.VirtualIPAddress, v.VirtualIPAddressExcluded) {
			addresses = append(addresses, a.Prefix.String())
		}
		got := fmt.Sprintln(v.Name, v.Priority, v.State, g.RouterID, g.NotificationEmailFrom, len(c.GARPGroups), c.VRRPScripts[0].Script.Argv, addresses)
		want := "web 120 BACKUP director1 value-of-USER#x!@example.com 1 [/bin/sh -c /usr/bin/test -f //up && /bin/true] [192.0.2.1/32 192.0.2.3/32 192.0.2.5/32 192.0.2.7/32 192.0.2.9/32 198.51.100.1/22 198.51.100.3/24 2001:db8::a/128 2001:db8::b/128 2001:db8::c/128]\n"
		if got != want {
			t.Errorf("the example gives\n%s, want\n%s", got, want)
		}
		return
	}
	t.Error("CONFIG.md has no example with every form")
}

// cell writes text for a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(s)
}

// keywordTables has a table for every block, in the order of the table in the
// source. HTTP_GET and SSL_GET and the others have tables of their own.
func keywordTables() string {
	var b strings.Builder
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.in] {
			continue
		}
		seen[r.in] = true
		title := "Top level"
		if r.in != "" {
			title = "`" + strings.ReplaceAll(r.in, ".", "` `") + "`"
		}
		fmt.Fprintf(&b, "\n### %s\n\n| keyword | default | meaning | status |\n|---|---|---|---|\n", title)
		for _, k := range allRows() {
			if k.in == r.in {
				b.WriteString(keywordLine(k))
			}
		}
	}
	return b.String()
}

func keywordLine(r row) string {
	status := r.status.String()
	if r.reason != "" {
		status += ": " + r.reason
	}
	doc := r.doc
	if r.old != "" {
		doc += ". Deprecated: use " + r.old
	}
	if rng := rangeOf(r.args); rng != "" {
		doc += " (" + rng + ")"
	}
	if r.since != "" {
		doc += ". Since keepalived " + r.since
	}
	return fmt.Sprintf("| <a id=\"%s\"></a>`%s` | %s | %s | %s |\n", Anchor(r.path()), strings.ReplaceAll(r.usage(), "|", `\|`), cell(r.def), cell(doc), cell(status))
}

func rangeOf(a argSpec) string {
	switch a.kind {
	case kindNumber, kindOptNumber, kindNumbers, kindTime, kindWeight:
		return span(a.min, a.max)
	}
	return ""
}

// notCarriedOut lists the keywords that do not work, with the reason.
func notCarriedOut() string {
	var b strings.Builder
	b.WriteString("\n## Keywords without effect here\n\n| keyword | reason |\n|---|---|\n")
	for _, r := range allRows() {
		if r.status == noeffect || r.status == refused {
			fmt.Fprintf(&b, "| `%s` | %s |\n", r.path(), cell(r.reason))
		}
	}
	b.WriteString("\n## Keywords that are planned\n\nThey are read and kept; a warning says that nothing acts on them yet.\n\n")
	for _, r := range allRows() {
		if r.status == planned {
			fmt.Fprintf(&b, "* `%s`\n", r.path())
		}
	}
	return b.String()
}
