package config

import (
	"fmt"
	"os"
	"path/filepath"
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
// other than of settings that are not carried out yet.
func TestDocsExamples(t *testing.T) {
	n := 0
	for _, name := range []string{"CONFIG.md", "COMPAT.md"} {
		data, err := os.ReadFile(filepath.Join(repoRoot, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(data), "```") {
			if i%2 == 0 {
				continue
			}
			n++
			opt := hostOptions()
			opt.HostName = "director1"
			c, ds := Parse(fstest.MapFS{"x.conf": {Data: []byte(part)}}, "/x.conf", opt)
			for _, d := range ds {
				if d.Class != Unsupported {
					t.Errorf("%s, example %d: %s", name, i/2+1, d)
				}
			}
			if c == nil {
				t.Errorf("%s, example %d does not load", name, i/2+1)
			}
		}
	}
	if n < 3 {
		t.Errorf("found %d examples; expected at least 3", n)
	}
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
