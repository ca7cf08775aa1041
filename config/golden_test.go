package config

import (
	"bufio"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; read the difference")

// repoRoot is the top of the repository, seen from this package.
const repoRoot = ".."

// hostOptions are the answers of a small made-up host.
func hostOptions() Options {
	return Options{
		HostName:        "node1.example.com",
		InterfaceExists: func(name string) bool { return !strings.HasPrefix(name, "missing") },
		LookupEnv: func(name string) (string, bool) {
			return "value-of-" + name, name != "UNSET"
		},
		LookupUser:  lookupUser,
		LookupGroup: lookupGroup,
		CheckScript: checkScript,
	}
}

// parseText parses files given by name; the first argument is the main one.
func parseFiles(t testing.TB, name string, opt Options) (*Config, []Diagnostic) {
	t.Helper()
	return Parse(os.DirFS("."), name, opt)
}

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("read the golden file: %v (run with -rewrite)", err)
	}
	if got == string(want) {
		return
	}
	g, w := bufio.NewScanner(strings.NewReader(got)), bufio.NewScanner(strings.NewReader(string(want)))
	for n := 1; ; n++ {
		more, moreWant := g.Scan(), w.Scan()
		if !more && !moreWant {
			return
		}
		if g.Text() != w.Text() {
			t.Fatalf("%s:%d differs\n got: %s\nwant: %s", name, n, g.Text(), w.Text())
		}
	}
}

// TestGolden parses every file of testdata/golden. The golden file beside it
// has the diagnostics and the effective configuration.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files, %v; expected at least 10", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".conf"), func(t *testing.T) {
			cfg, ds := parseFiles(t, f, hostOptions())
			golden(t, strings.TrimSuffix(f, ".conf")+".golden", describe(cfg, ds))
		})
	}
}

// describe is the readable form of a result.
func describe(cfg *Config, ds []Diagnostic) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(strings.ReplaceAll(d.String(), "testdata/golden/", "") + "\n")
	}
	if cfg == nil {
		b.WriteString("---\nthe daemon does not start\n")
		return b.String()
	}
	b.WriteString("---\n")
	b.Write(Print(cfg))
	return b.String()
}

// TestExamples: the good files load with the diagnostics that keepalived has
// for them, the broken ones are refused.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/examples/*.conf")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d files, %v; expected at least 8", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".conf"), func(t *testing.T) {
			cfg, ds := parseFiles(t, f, hostOptions())
			if broken := strings.HasPrefix(filepath.Base(f), "broken"); broken != (cfg == nil) {
				t.Errorf("started = %v, want %v", cfg != nil, !broken)
			}
			if (cfg == nil) != HasErrors(ds) {
				t.Errorf("configuration %v, but errors %v", cfg != nil, HasErrors(ds))
			}
			golden(t, strings.TrimSuffix(f, ".conf")+".golden", strings.ReplaceAll(describe(cfg, ds), "testdata/examples/", ""))
		})
	}
}
