package health

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFile(t *testing.T) {
	for _, test := range []struct {
		content string
		weight  int
		reverse bool
		ok      bool
		offset  int
		words   string
	}{
		{"0\n", 0, false, true, 0, "value 0"},
		{"1\n", 0, false, false, 0, "value 1"},
		{"-1", 0, false, false, 0, "value -1"},
		{"1", 0, true, true, 0, ""},
		{"0", 0, true, false, 0, "value 0"},
		{" 5 \n", 1, false, true, 5, "value 5"},
		{"5", 3, false, true, 15, ""},
		{"5", 3, true, true, -15, ""},
		{"5", -3, false, true, -15, ""},
		{"5", -3, true, true, 15, ""},
		{"", 2, false, true, 0, "holds no number"},
		{"high", 2, false, true, 0, `holds no number: "high"`},
		{strings.Repeat("9", 200), 1, false, true, math.MaxInt32, ""},
		{"-2147483647", 1, false, true, -2147483647, ""},
		{"-2147483648", 1, false, false, math.MinInt32, "value"},
		{"2147483647", -2, false, false, math.MinInt32, "value"},
		{"-99999999999999999999999", math.MaxInt, false, false, math.MinInt32, "value"},
	} {
		path := filepath.Join(t.TempDir(), "value")
		if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
			t.Fatal(err)
		}
		r := NewFile(FileConfig{path, test.weight, test.reverse}).Check(t.Context())
		if r.OK != test.ok || r.Weight != test.offset || r.HasWeight != (test.weight != 0) || !strings.Contains(r.Reason, test.words) {
			t.Errorf("%q weight %d reverse %v: %+v, want ok=%v offset=%d %q",
				test.content, test.weight, test.reverse, r, test.ok, test.offset, test.words)
		}
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		pipe:                          "not a regular file",
		dir:                           "not a regular file",
	} {
		r := NewFile(FileConfig{path, 2, false}).Check(t.Context())
		if !r.OK || r.Weight != 0 || !strings.Contains(r.Reason, words) {
			t.Errorf("%s: %+v, want a value of 0 and %q", path, r, words)
		}
	}
}
