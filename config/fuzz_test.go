package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// fuzzLimit keeps one input of the fuzzer small in memory: definitions and
// repetitions may blow it up to no more than this.
const fuzzLimit = 2 << 20

func addSeeds(f *testing.F) {
	f.Helper()
	files, _ := filepath.Glob("testdata/*/*.conf")
	if len(files) < 20 {
		f.Fatalf("found %d seeds; expected at least 20", len(files))
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 10000 {
			f.Add(string(data))
		}
	}
	for _, s := range []string{"$A=$A\n$A\n", "$A= \\\n $A \\\n x\n$A\n", "~SEQ(a,1,99999999) $a\n", "include x.conf\n", "~LST({a,b},{1,2}) ${a} ${b}{", "${_RANDOM 5 1}", "@(", "@^", "\"", "}{", "x { y", "\x00", "vrrp_instance \"\" {\nnotify \"\\x\"\n"} {
		f.Add(s)
	}
}

func fuzzOptions() Options {
	opt := hostOptions()
	opt.MaxInput = fuzzLimit
	return opt
}

// FuzzLexer: the lexer comes to an end, and every place it gives lies in the
// line it names.
func FuzzLexer(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		pre := newPreprocessor(fstest.MapFS{}, fuzzOptions(), &sink{})
		pre.pushFile("x.conf", text, nil)
		x := &lexer{pre: pre}
		lines := strings.Count(text, "\n") + 1
		for k := x.next(); k != tokEOF; k = x.next() {
			p := x.pos
			if k == tokStatement {
				p = x.st.pos()
				if len(x.st.words) == 0 {
					t.Fatal("a statement without words")
				}
			}
			if p.Line < 0 || p.Line > lines || p.Col < 0 {
				t.Fatalf("place %v lies outside of %d lines", p, lines)
			}
		}
	})
}

// FuzzPreprocess: the preprocessor comes to an end within its limits and never
// gives an empty line.
func FuzzPreprocess(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		files := fstest.MapFS{"x.conf": {Data: []byte(text)}, "y.conf": {Data: []byte("include x.conf\n$Y=1\n")}}
		pre := newPreprocessor(files, fuzzOptions(), &sink{})
		if !pre.open("/x.conf") {
			return
		}
		total := 0
		var l line
		for pre.next(&l) {
			if l.text == "" {
				t.Fatal("an empty line")
			}
			if l.cols != nil && len(l.cols) != len(l.text) {
				t.Fatalf("%d columns for %d bytes", len(l.cols), len(l.text))
			}
			total += len(l.text)
		}
		if total > 2*fuzzLimit {
			t.Fatalf("%d bytes came out; the limit is %d", total, fuzzLimit)
		}
	})
}

// FuzzParse: whatever the file holds, there is a configuration or an error,
// never both, and what is printed parses.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		files := fstest.MapFS{"x.conf": {Data: []byte(text)}, "y.conf": {Data: []byte("include x.conf\n")}}
		c, ds := Parse(files, "/x.conf", fuzzOptions())
		if (c == nil) != HasErrors(ds) {
			t.Fatalf("configuration %v, errors %v", c != nil, HasErrors(ds))
		}
		for _, d := range ds {
			if s := d.String(); strings.ContainsAny(s, "\n\x00\x1b") {
				t.Fatalf("a diagnostic is not one printable line: %q", s)
			}
		}
		if c != nil {
			Print(c)
			if _, err := PrintJSON(c); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzTokens: the words of a command survive being printed.
func FuzzTokens(f *testing.F) {
	f.Add("/bin/x", "a b")
	f.Add(`\`, `"'$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" || strings.ContainsRune(a+b, 0) {
			return
		}
		text := command(&Script{Argv: []string{a, b}})[0]
		parts := tokens(text)
		if len(parts) != 1 {
			t.Fatalf("%q gives %q", text, parts)
		}
		got := tokens(parts[0])
		if len(got) != 2 || got[0] != a || got[1] != b {
			t.Fatalf("%q and %q came back as %q by way of %q", a, b, got, text)
		}
	})
}
