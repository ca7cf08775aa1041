package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/config"
)

func TestGeneratedFileLoads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.conf")
	opt := ConfigOptions{Services: 300, Servers: 260}
	size, err := writeConfig(file, opt)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Size() != size {
		t.Errorf("size %d, but the file has %v, %v", size, st.Size(), err)
	}
	c, ds := config.Parse(os.DirFS("/"), file, config.Options{})
	if c == nil || len(c.VirtualServers) != opt.Services || len(c.VirtualServers[299].RealServers) != opt.Servers {
		t.Fatalf("it does not load whole: %v", ds[:min(len(ds), 3)])
	}
}

func TestConfigReportsEveryProgram(t *testing.T) {
	var out bytes.Buffer
	if err := Config(t.Context(), ConfigOptions{Services: 2, Servers: 2, Rounds: 3, Self: "/bin/true"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 virtual servers, 4 real servers", "3 rounds", "true -t ", " MiB", "CPU time"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	if err := Config(t.Context(), ConfigOptions{Services: 1, Servers: 1, Rounds: 1, Self: "/bin/false"}, &out); err == nil || !strings.Contains(err.Error(), "false") {
		t.Errorf("a program that refuses the file gives %v", err)
	}
	if err := Config(t.Context(), ConfigOptions{}, &out); err == nil {
		t.Error("no rounds are accepted")
	}
}

func TestSpread(t *testing.T) {
	got := spread([]reading{{memory: 5}, {memory: 1}, {memory: 3}}, func(r reading) float64 { return float64(r.memory) })
	if got != [3]float64{1, 3, 5} {
		t.Errorf("got %v", got)
	}
}
