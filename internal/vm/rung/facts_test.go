package rung

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xvip-lb/xvip/internal/vm"
)

var rewrite = flag.Bool("rewrite", false, "write the table of docs/KERNELS.md")

const (
	factMark, factSep   = "fact: ", " = "
	tableBegin          = "<!-- facts: written by go test ./internal/vm/rung -run TestVMFacts -rewrite -->\n"
	tableEnd            = "<!-- end of facts -->\n"
	kernelsDoc          = "../../../docs/KERNELS.md"
	factsProgram        = "/usr/local/bin/facts"
	factsProgramPackage = "github.com/xvip-lb/xvip/internal/vm/rung"
)

// The table of docs/KERNELS.md is what the kernels do.
func TestVMFacts(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "facts")
	if err := vm.Build(t.Context(), binary, "test", factsProgramPackage); err != nil {
		t.Fatal(err)
	}
	values := map[string]map[string]string{} // kernel, fact
	for _, kernel := range vm.Kernels {
		values[kernel] = factsOf(t, kernel, binary)
	}
	var table strings.Builder
	table.WriteString("| | " + strings.Join(vm.Kernels, " | ") + " |\n|---" + strings.Repeat("|---", len(vm.Kernels)) + "|\n")
	for _, f := range facts {
		table.WriteString("| " + f.name + " |")
		for _, kernel := range vm.Kernels {
			table.WriteString(" " + values[kernel][f.name] + " |")
		}
		table.WriteString("\n")
	}
	text, err := os.ReadFile(kernelsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), tableBegin)
	old, after, ended := strings.Cut(rest, tableEnd)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", kernelsDoc, tableBegin, tableEnd)
	}
	if *rewrite {
		if err := os.WriteFile(kernelsDoc, []byte(before+tableBegin+table.String()+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, table.String()); diff != "" {
		t.Errorf("the table of %s differs from what the kernels do (+):\n%s", kernelsDoc, diff)
	}
}

func factsOf(t *testing.T, kernel, binary string) map[string]string {
	t.Helper()
	r, err := vm.Run(t.Context(), vm.Machine{
		Kernel: kernel, Modules: []string{"ip_vs", "veth"}, Programs: []string{"ipvsadm"},
		Files: []vm.File{{Path: factsProgram, From: binary}},
	}, factsProgram, "-test.run", "^TestFacts$", "-test.v")
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 {
		t.Errorf("kernel %s: exit status %d:\n%s", kernel, r.ExitCode, r.Output)
	}
	have := map[string]string{}
	for line := range strings.Lines(string(r.Output)) {
		if fact, found := strings.CutPrefix(strings.TrimSpace(line), factMark); found {
			name, value, _ := strings.Cut(fact, factSep)
			have[name] = value
		}
	}
	t.Logf("kernel %s: %d facts, machine on for %v", r.Release, len(have), r.Took)
	return have
}
