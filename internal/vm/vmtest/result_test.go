package vmtest

import (
	"fmt"
	"strings"
	"testing"
)

// outline is a result as text: names, how they ended, two spaces a level.
func outline(r *result, indent string) string {
	var b strings.Builder
	for _, c := range r.below {
		fmt.Fprintf(&b, "%s%s %s\n%s", indent, c.name, c.action, outline(c, indent+"  "))
	}
	return b.String()
}

func TestResultsKeepTheirShape(t *testing.T) {
	const mark = "\x16"
	written := strings.Join([]string{
		mark + "=== RUN   TestA",
		mark + "=== RUN   TestA/one",
		"    a_test.go:1: said",
		mark + "=== RUN   TestA/IPv4/tcp/rr", // one name with slashes
		mark + "--- PASS: TestA (0.01s)",
		"    " + mark + "--- PASS: TestA/one (0.00s)",
		"    " + mark + "--- PASS: TestA/IPv4/tcp/rr (0.00s)",
		mark + "=== RUN   TestB",
		mark + "--- SKIP: TestB (0.00s)",
		mark + "=== RUN   TestC",
		mark + "--- FAIL: TestC (0.00s)",
		mark + "=== RUN   TestD", // the machine ended here
		"",
	}, "\n")
	r, err := parse(t.Context(), "p", []byte(written))
	if err != nil {
		t.Fatal(err)
	}
	// test2json calls a test that has no end failed; the machine's own error tells the rest.
	const want = "TestA pass\n  one pass\n  IPv4/tcp/rr pass\nTestB skip\nTestC fail\nTestD \n"
	if got := outline(r, ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if said := r.below[0].below[0].output.String(); !strings.Contains(said, "a_test.go:1: said") {
		t.Errorf("output of TestA/one is %q", said)
	}
}
