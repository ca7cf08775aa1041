package config

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpusDir holds real files from public repositories with what keepalived
// 2.2.7 does with each. It lies beside the repository, not in it, because the
// files are not ours.
var corpusDir = filepath.Join(repoRoot, "..", "shared", "corpus")

// corpusDifferences are the files on which we decide otherwise, each with a
// reason that a maintainer of keepalived would accept.
var corpusDifferences = map[string]string{}

// TestCorpusVerdicts: what keepalived starts with, we start with; what it
// refuses, we refuse. The interfaces that a file names exist, as they did when
// the verdicts were taken.
func TestCorpusVerdicts(t *testing.T) {
	index, err := os.Open(filepath.Join(corpusDir, "INDEX.tsv"))
	if os.IsNotExist(err) {
		t.Skip("the corpus directory beside the repository does not exist here; TestVerdicts has files of our own")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	n := 0
	for sc := bufio.NewScanner(index); sc.Scan(); {
		f := strings.Split(sc.Text(), "\t")
		if f[0] == "id" {
			continue
		}
		n++
		t.Run(f[0], func(t *testing.T) {
			checkVerdict(t, filepath.Join(corpusDir, f[0]+".conf"), f[0], f[1] == "start")
		})
	}
	if n < 100 {
		t.Errorf("the index has %d files; expected at least 100", n)
	}
}

func checkVerdict(t *testing.T, file, id string, start bool) {
	cfg, ds := Parse(os.DirFS(filepath.Dir(file)), filepath.Base(file), Options{HostName: "vm"})
	if why, ok := corpusDifferences[id]; ok {
		if (cfg != nil) == start {
			t.Errorf("listed as a difference (%s), but there is none", why)
		}
		return
	}
	if (cfg != nil) == start {
		return
	}
	t.Errorf("started = %v, keepalived = %v", cfg != nil, start)
	for _, d := range ds {
		if d.Severity == Error {
			t.Log(d)
		}
	}
}

// TestVerdicts has files of our own for the same question; their names say
// what keepalived -t of release 2.2.7 answers.
func TestVerdicts(t *testing.T) {
	files, _ := filepath.Glob("testdata/verdicts/*.conf")
	if len(files) < 20 {
		t.Fatalf("found %d files; expected at least 20", len(files))
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		t.Run(name, func(t *testing.T) {
			opt := hostOptions()
			cfg, ds := Parse(os.DirFS("."), f, opt)
			want := strings.HasPrefix(name, "start_")
			if !want && !strings.HasPrefix(name, "refuse_") {
				t.Fatalf("the name must begin with start_ or refuse_")
			}
			if (cfg != nil) != want {
				t.Errorf("started = %v, want %v: %v", cfg != nil, want, ds)
			}
		})
	}
}

// TestKeywordPaths: every keyword of keepalived 2.4.3 is in the table, and the
// table has no others but ours.
func TestKeywordPaths(t *testing.T) {
	data, err := os.ReadFile("testdata/keyword-paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		// Keywords of builds with SNMP support, which the list was made without.
		"virtual_server.snmp_name": true, "virtual_server.real_server.snmp_name": true,
	}
	for _, p := range strings.Fields(string(data)) {
		want[p] = true
	}
	if len(want) < 529 {
		t.Fatalf("the list has %d paths; expected 529", len(want))
	}
	have := map[string]bool{}
	for _, r := range allRows() {
		p := r.path()
		if p == "xvip" || strings.HasPrefix(p, "xvip.") {
			continue
		}
		have[p] = true
		if !want[p] {
			t.Errorf("%s is in the table, but is no keyword of keepalived", p)
		}
	}
	for p := range want {
		if !have[p] {
			t.Errorf("%s is not in the table", p)
		}
	}
}

// TestTableText: a row tells a reader what he needs.
func TestTableText(t *testing.T) {
	for _, r := range allRows() {
		if r.doc == "" {
			t.Errorf("%s has no description", r.path())
		}
		if (r.status == noeffect || r.status == refused) != (r.reason != "") {
			t.Errorf("%s: status %q and reason %q do not go together", r.path(), r.status, r.reason)
		}
	}
}
