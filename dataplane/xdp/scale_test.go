package xdp

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// many makes services with real servers, all of them with different addresses.
func many(services, reals int) []dataplane.VirtualService {
	var out []dataplane.VirtualService
	n := 0
	for i := range services {
		s := dataplane.VirtualService{Key: dataplane.Key{Address: netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}), Port: 80, Protocol: dataplane.TCP},
			Scheduler: "wrr", Active: true}
		for range reals {
			n++
			s.RealServers = append(s.RealServers, dataplane.RealServer{Address: netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)}),
				Port: 80, Method: dataplane.DR, Weight: 1})
		}
		out = append(out, s)
	}
	return out
}

// Ten thousand services with a hundred thousand real servers: a change of one
// weight touches that service only. Times are printed, not judged: go test -v
// -run Scale ./dataplane/xdp.
func TestScaleOneChangeTouchesOneService(t *testing.T) {
	b := newBed(t)
	want := many(10_000, 10)
	begin := time.Now()
	if err := b.e.Apply(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 services with 100,000 real servers applied in %v", time.Since(begin))
	if st, err := b.e.Stats(context.Background()); err != nil || len(st.Services) != len(want) {
		t.Fatalf("%d services, %v", len(st.Services), err)
	}
	var took []time.Duration
	for i := range 11 {
		next := slices.Clone(want)
		s := &next[1234+i]
		s.RealServers = slices.Clone(s.RealServers)
		s.RealServers[3].Weight = 7
		before := b.rings()
		begin := time.Now()
		if err := b.e.Apply(context.Background(), next); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
		after := b.rings()
		for key, ring := range after {
			if touched := ring != before[key]; touched != (key == s.Key) && key != want[1233+i].Key {
				t.Fatalf("the change of %s: ring of %s touched %v", s.Key, key, touched)
			}
		}
	}
	slices.Sort(took)
	t.Logf("one weight changed in %v (%v to %v)", took[len(took)/2], took[0], took[len(took)-1])
	begin = time.Now()
	if err := b.e.Apply(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("all removed in %v", time.Since(begin))
}

// rings tells where each service has its ring.
func (b *bed) rings() map[dataplane.Key]span {
	out := map[dataplane.Key]span{}
	for key, s := range b.e.tables.services {
		out[key] = s.ring
	}
	return out
}
