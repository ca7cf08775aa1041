package xdp

import (
	"bytes"
	"strings"
	"testing"
)

// Both ways deliver, or there is an error.
func TestBenchPath(t *testing.T) {
	newBed(t) // skips without root
	var out bytes.Buffer
	if err := BenchPath(t.Context(), PathOptions{Flows: 64, Rounds: 1, Packets: 5000}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "ratio") {
		t.Errorf("output:\n%s", out.String())
	}
	if err := BenchPath(t.Context(), PathOptions{Flows: 3, Rounds: 1, Packets: 1}, &out); err == nil {
		t.Error("three flows are no power of two, but no error")
	}
}
