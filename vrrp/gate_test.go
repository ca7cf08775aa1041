package vrrp

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// diary writes down what happens to the addresses.
type diary struct{ did *[]string }

func (r diary) Take(context.Context) error    { *r.did = append(*r.did, "take"); return nil }
func (r diary) Release(context.Context) error { *r.did = append(*r.did, "release"); return nil }

func TestTheForwarderIsReadyBeforeTheAddressesCome(t *testing.T) {
	var did []string
	g := gatedOwner{diary{&did}, func(_ context.Context, owned bool) { did = append(did, fmt.Sprint("forward ", owned)) }}
	if err := g.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"forward true", "take", "release", "forward false"}; !slices.Equal(did, want) {
		t.Errorf("in turn: %q, want %q", did, want)
	}
}
