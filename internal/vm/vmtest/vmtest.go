// Package vmtest runs the tests of a package inside a virtual machine and
// reports each of them as a subtest of the one that asked.
package vmtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/vm"
)

const (
	// source is where the guest has the module's tree, as far as it is taken along.
	source = "/src"
	// program is the test binary in the guest.
	program = "/usr/local/bin/test.test"
	// spare is what is left of a machine's limit for boot and for the stacks of
	// a test binary that ran out of time.
	spare = 45 * time.Second
	// starters are tests that start machines themselves; inside one they never run.
	starters = "^TestVM"
)

// Suite says which tests run in which machine.
type Suite struct {
	Machine  vm.Machine // its Dir is set by Run, its Files are kept
	Package  string     // import path
	Pattern  string     // -test.run; all when empty
	Except   string     // -test.skip; tests called TestVM… never run inside
	FailFast bool       // no further tests after one that failed: where each would wait for the same thing
	Tree     []string   // files and directories that tests read, relative to the module's root; the package's testdata always is there
	MaySkip  string     // pattern of tests that may skip themselves. Others may not: a skip in a machine of our own making is a test that never runs.
}

// Run builds the tests of s.Package, runs them inside, and reports each as a
// subtest with its output. A machine that ends without a result, or a pattern
// without tests, is a failure.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if os.Getenv("XVIP_VM") != "" {
		t.Fatal("a test that starts machines must be called TestVM…, so that it does not run inside one")
	}
	m, err := s.machine(t.Context(), filepath.Join(t.TempDir(), "test.test"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := vm.Run(t.Context(), m, s.argv()...)
	if err != nil {
		if r != nil {
			t.Logf("output:\n%s", r.Output)
		}
		t.Fatal(err)
	}
	tests, err := parse(t.Context(), s.Package, r.Output)
	if err != nil {
		t.Fatalf("%v; output:\n%s", err, r.Output)
	}
	mayNot := func(string) bool { return true }
	if s.MaySkip != "" {
		may := regexp.MustCompile(s.MaySkip)
		mayNot = func(name string) bool { return !may.MatchString(name) }
	}
	tests.report(t, mayNot)
	t.Logf("kernel %s: %d tests, machine on for %v, %v of CPU", r.Release, len(tests.below), r.Took.Round(time.Second), r.CPU.Round(time.Second))
	if r.ExitCode != 0 && !t.Failed() || len(tests.below) == 0 {
		t.Errorf("%d tests, none failed, exit status %d; output:\n%s", len(tests.below), r.ExitCode, r.Output)
	}
}

// machine adds to the suite's machine what its tests need.
func (s Suite) machine(ctx context.Context, binary string) (vm.Machine, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-json=Dir,Module", s.Package).Output()
	if err != nil {
		return vm.Machine{}, fmt.Errorf("find package %q: %w", s.Package, err)
	}
	var at struct {
		Dir    string
		Module struct{ Dir string }
	}
	if err := json.Unmarshal(out, &at); err != nil {
		return vm.Machine{}, fmt.Errorf("find package %q: %w", s.Package, err)
	}
	if err := vm.Build(ctx, binary, "test", s.Package); err != nil {
		return vm.Machine{}, err
	}
	m := s.Machine
	m.Files = append(m.Files[:len(m.Files):len(m.Files)], vm.File{Path: program, From: binary})
	below, err := filepath.Rel(at.Module.Dir, at.Dir)
	if err != nil {
		return vm.Machine{}, err
	}
	m.Dir = path.Join(source, below)
	tree := s.Tree
	if _, err := os.Stat(filepath.Join(at.Dir, "testdata")); err == nil {
		tree = append(tree[:len(tree):len(tree)], path.Join(below, "testdata"))
	}
	for _, name := range tree {
		m.Files = append(m.Files, vm.File{Path: path.Join(source, name), From: filepath.Join(at.Module.Dir, name)})
	}
	return m, nil
}

func (s Suite) argv() []string {
	except := starters
	if s.Except != "" {
		except += "|" + s.Except
	}
	limit := cmp.Or(s.Machine.Limit, vm.DefaultLimit)
	argv := []string{
		program, "-test.v=test2json", "-test.run", s.Pattern, "-test.skip", except,
		"-test.timeout", max(limit-spare, limit/2).String(), "-test.parallel", "2",
	}
	if s.FailFast {
		argv = append(argv, "-test.failfast")
	}
	return argv
}
