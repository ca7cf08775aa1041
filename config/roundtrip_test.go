package config

import (
	"math/rand"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// reparse prints a configuration and parses what was printed.
func reparse(t *testing.T, c *Config, opt Options) *Config {
	t.Helper()
	text := Print(c)
	again, ds := Parse(fstest.MapFS{"x.conf": {Data: text}}, "/x.conf", opt)
	if again == nil {
		for _, d := range ds {
			if d.Severity == Error {
				t.Errorf("%s", d)
			}
		}
		t.Fatalf("the printed configuration does not parse")
	}
	for _, d := range ds {
		if d.Class != Unsupported && strings.Contains(d.Message, "no such keyword") {
			t.Errorf("the printed configuration has %s", d)
		}
	}
	return again
}

// sameMeaning reports the first keyword that differs.
func sameMeaning(t *testing.T, a, b *Config) {
	t.Helper()
	if Equal(a, b) {
		return
	}
	x, y := strings.Split(string(Print(a)), "\n"), strings.Split(string(Print(b)), "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			got := "nothing"
			if i < len(y) {
				got = y[i]
			}
			t.Fatalf("line %d: printed %q, read back %q", i+1, x[i], got)
		}
	}
	t.Fatalf("the values differ in something that is not printed:\n%s", cmp.Diff(a, b, cmpopts.IgnoreTypes(Pos{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})))
}

// TestRoundTrip: parse, print, parse gives an equal value, for every file of
// ours and of the corpus.
func TestRoundTrip(t *testing.T) {
	own, _ := filepath.Glob("testdata/*/*.conf")
	corpus, _ := filepath.Glob(filepath.Join(repoRoot, "..", "shared", "corpus", "*.conf"))
	opt := hostOptions()
	opt.InterfaceExists = nil
	done := 0
	for _, f := range append(own, corpus...) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			c, _ := Parse(fstest.MapFS{"a.conf": {Data: data}}, "/a.conf", opt)
			if c == nil {
				return // refused; other tests say why
			}
			done++
			again := reparse(t, c, opt)
			sameMeaning(t, c, again)
			if a, b := string(Print(c)), string(Print(again)); a != b {
				t.Error("printing again gives another text")
			}
			if _, err := PrintJSON(c); err != nil {
				t.Error(err)
			}
		})
	}
	if done < 10 {
		t.Errorf("only %d files were compared; expected at least 10", done)
	}
}

// TestRoundTripRandom does the same for configurations made from the table:
// random keywords with random good values.
func TestRoundTripRandom(t *testing.T) {
	opt := hostOptions()
	opt.InterfaceExists = nil
	good := 0
	for seed := range int64(150) {
		text := randomConfig(rand.New(rand.NewSource(seed)))
		c, ds := Parse(fstest.MapFS{"a.conf": {Data: []byte(text)}}, "/a.conf", opt)
		if c == nil {
			for _, d := range ds {
				if d.Severity == Error && !strings.Contains(d.Message, "active_key") && !strings.Contains(d.Message, "used already") && !strings.Contains(d.Message, "strict mode needs") {
					t.Fatalf("seed %d: %s\n%s", seed, d, text)
				}
			}
			continue
		}
		good++
		sameMeaning(t, c, reparse(t, c, opt))
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
	}
	if good < 75 {
		t.Errorf("only %d of 150 random configurations are valid", good)
	}
}
