package xdp

import (
	"context"
	"net/netip"
	"testing"

	"github.com/xvip-lb/xvip/dataplane"
)

// TestServedAddresses: the set of the kernel has exactly the addresses of the
// services, also when an earlier daemon left none.
func TestServedAddresses(t *testing.T) {
	b := newBed(t)
	other := web("rr", 1)
	other.Address = netip.MustParseAddr("192.0.2.101")
	holds := func(want ...dataplane.VirtualService) {
		t.Helper()
		var is, should servedSet
		if err := b.e.objs.Served.Lookup(uint32(0), &is); err != nil {
			t.Fatal(err)
		}
		for _, s := range want {
			should.add(s.Key)
		}
		if is != should {
			t.Errorf("the set is not that of %d services", len(want))
		}
	}
	to1, to2 := frame{}, frame{dst: "192.0.2.101"}
	holds()
	b.want(b.send(to1), "pass_not_service")
	b.apply(web("rr", 1), other)
	holds(web("rr", 1), other)
	b.want(b.send(to1), "forward_tx 1")
	b.want(b.send(to2), "forward_tx 1")
	b.apply(other)
	holds(other)
	b.want(b.send(to1), "pass_not_service")

	if err := b.e.objs.Served.Put(uint32(0), servedSet{}); err != nil {
		t.Fatal(err)
	}
	b.restart()
	holds(other)
	b.want(b.send(to2), "forward_tx 1")
	if err := b.e.Apply(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	holds()
}
