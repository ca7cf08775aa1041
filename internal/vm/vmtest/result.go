package vmtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// result is a test that ran inside, and the subtests below it. The root stands
// for the whole package and has no name.
type result struct {
	name   string
	action string // how it ended: "pass", "fail", "skip"; empty when it did not
	output strings.Builder
	below  []*result
}

// event is a line of test2json (go doc test2json).
type event struct {
	Action, Test, Output string
}

// parse reads what a test binary wrote with -test.v=test2json.
func parse(ctx context.Context, pkg string, output []byte) (*result, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", pkg)
	cmd.Stdin = bytes.NewReader(output)
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read test output: %w", err)
	}
	return collect(text)
}

func collect(events []byte) (*result, error) {
	root := &result{}
	all := map[string]*result{"": root}
	lines := bufio.NewScanner(bytes.NewReader(events))
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("read test output: line %q: %w", lines.Text(), err)
		}
		if all[e.Test] == nil {
			above := parent(all, e.Test)
			r := &result{name: strings.TrimPrefix(e.Test[len(above):], "/")}
			all[e.Test] = r
			all[above].below = append(all[above].below, r)
		}
		switch r := all[e.Test]; e.Action {
		case "output":
			r.output.WriteString(e.Output)
		case "pass", "fail", "skip":
			r.action = e.Action
		}
	}
	return root, lines.Err()
}

// parent gives the name of the test above: the longest that is known, since a
// subtest's own name may have slashes in it.
func parent(known map[string]*result, name string) string {
	for {
		name = name[:max(0, strings.LastIndexByte(name, '/'))]
		if known[name] != nil {
			return name
		}
	}
}

// report makes the results below r subtests of t. mayNotSkip is asked with the
// name inside the machine.
func (r *result) report(t *testing.T, mayNotSkip func(string) bool) {
	t.Helper()
	for _, c := range r.below {
		t.Run(c.name, func(t *testing.T) {
			t.Helper()
			c.report(t, mayNotSkip)
			c.conclude(t, mayNotSkip)
		})
	}
}

func (r *result) conclude(t *testing.T, mayNotSkip func(string) bool) {
	t.Helper()
	if r.output.Len() > 0 {
		t.Logf("in the machine:\n%s", r.output.String())
	}
	switch r.action {
	case "pass":
	case "fail":
		t.Error("failed in the machine")
	case "skip":
		if mayNotSkip(r.name) {
			t.Error("skipped in the machine")
		}
		t.Skip("skipped in the machine")
	default:
		t.Error("did not end in the machine")
	}
}
