package vrrp

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func vip(device, prefix string) VirtualAddress {
	p := netip.MustParsePrefix(prefix)
	return VirtualAddress{Prefix: p, Device: device, NoDAD: p.Addr().Is6()}
}

func newTestOwner(nl *Netlink, addrs ...VirtualAddress) (*AddressOwner, *logBuffer) {
	log, buf := testLog()
	return NewAddressOwner(nl, addrs, log), buf
}

func wantAddrs(t *testing.T, nl *Netlink, device string, want ...string) {
	t.Helper()
	got := prefixes(listAddrs(t, nl, device))
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("addresses on %s (-want +got):\n%s", device, d)
	}
}

func TestOwnerTakesAndReleasesOnlyItsOwn(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	o, _ := newTestOwner(nl, vip("v0", "192.0.2.100/32"), vip("v0", "192.0.2.101/24"), vip("v1", "2001:db8::100/64"))

	for range 2 { // again does nothing
		noError(t, o.Take(t.Context()))
		wantAddrs(t, nl, "v0", "192.0.2.1/24", "192.0.2.100/32", "192.0.2.101/24")
		wantAddrs(t, nl, "v1", "2001:db8::100/64")
	}
	for range 2 {
		noError(t, o.Release(t.Context()))
		wantAddrs(t, nl, "v0", "192.0.2.1/24")
		wantAddrs(t, nl, "v1")
	}
}

func TestOwnerAttributes(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	full := VirtualAddress{Prefix: netip.MustParsePrefix("192.0.2.100/24"), Device: "v0", Label: "v0:7", Scope: 253,
		Broadcast: netip.MustParseAddr("192.0.2.255"), NoPrefixRoute: true}
	peer := VirtualAddress{Prefix: netip.MustParsePrefix("198.51.100.1/32"), Device: "v0", Peer: netip.MustParsePrefix("198.51.100.2/31")}
	six := VirtualAddress{Prefix: netip.MustParsePrefix("2001:db8::1/128"), Device: "v0", NoDAD: true, HasLifetime: true}
	o, _ := newTestOwner(nl, full, peer, six, vip("v1", "192.0.2.101/24"))
	noError(t, o.Take(t.Context()))

	list := listAddrs(t, nl, "v0")
	if len(list) != 3 {
		t.Fatalf("got %v", list)
	}
	if a := list[0]; a.Label != "v0:7" || a.Scope != unix.RT_SCOPE_LINK || a.Broadcast.String() != "192.0.2.255" || a.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
		t.Errorf("got %+v", a)
	}
	if a := list[1]; prefixOf(a.Peer) != netip.MustParsePrefix("198.51.100.2/31") || a.IP.String() != "198.51.100.1" {
		t.Errorf("got %+v", a)
	}
	if a := list[2]; a.Flags&unix.IFA_F_NODAD == 0 || a.Flags&unix.IFA_F_TENTATIVE != 0 || a.PreferedLft != 0 || a.ValidLft != forever {
		t.Errorf("got %+v", a)
	}
	if a := listAddrs(t, nl, "v1")[0]; a.Broadcast != nil || a.PreferedLft != forever {
		t.Errorf("an address without broadcast and lifetime: got %+v", a)
	}
	noError(t, o.Release(t.Context()))
	wantAddrs(t, nl, "v0")
}

// One address that cannot be added does not keep the others away.
func TestOwnerReportsEveryFailure(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	o, _ := newTestOwner(nl, vip("none", "192.0.2.100/32"), vip("v0", "192.0.2.101/32"))
	err := o.Take(t.Context())
	if err == nil || !strings.Contains(err.Error(), `add address "192.0.2.100/32 dev none": find interface "none"`) {
		t.Errorf("got %v", err)
	}
	wantAddrs(t, nl, "v0", "192.0.2.101/32")
	if err := o.Release(t.Context()); err != nil {
		t.Errorf("a missing interface has nothing to release: %v", err)
	}
}

// Conformance S13, I13: what an earlier life left is found, and removed or
// adopted, whatever its label.
func TestOwnerLeftovers(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	a, b := vip("v0", "192.0.2.100/32"), vip("v0", "192.0.2.101/32")
	before := a
	before.Label = "v0:old"
	dead, _ := newTestOwner(nl, before)
	noError(t, dead.Take(t.Context()))

	o, _ := newTestOwner(nl, a, b, vip("none", "192.0.2.102/32"))
	found, err := o.Leftovers()
	noError(t, err)
	if !slices.Equal(found, []VirtualAddress{a}) {
		t.Errorf("got %v", found)
	}
	noError(t, o.Release(t.Context()))
	wantAddrs(t, nl, "v0", "192.0.2.1/24")
}

func TestOwnerSetAddresses(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	a, b, c := vip("v0", "192.0.2.100/24"), vip("v0", "192.0.2.101/24"), vip("v0", "192.0.2.102/24")
	o, _ := newTestOwner(nl, a, b)
	added, err := o.SetAddresses(t.Context(), []VirtualAddress{a, b, c})
	if err != nil || added != nil {
		t.Errorf("while not held: added %v, %v", added, err)
	}
	wantAddrs(t, nl, "v0")
	noError(t, o.Take(t.Context()))

	// The first address goes; with it the kernel removes its secondaries, when
	// promote_secondaries is off, and they must come back.
	d := vip("v0", "192.0.2.103/24")
	added, err = o.SetAddresses(t.Context(), []VirtualAddress{b, c, d})
	noError(t, err)
	wantAddrs(t, nl, "v0", "192.0.2.101/24", "192.0.2.102/24", "192.0.2.103/24")
	if !slices.Contains(added, d) || slices.Contains(added, a) {
		t.Errorf("added %v", added)
	}
	labelled := d
	labelled.Label = "v0:1"
	added, err = o.SetAddresses(t.Context(), []VirtualAddress{b, c, labelled})
	if err != nil || !slices.Equal(added, []VirtualAddress{labelled}) {
		t.Errorf("after a change of label: added %v, %v", added, err)
	}
	noError(t, o.Release(t.Context()))
	wantAddrs(t, nl, "v0")
}

// Conformance I06: an address deleted by hand comes back, and is announced;
// not one with no_track, and none after a release.
func TestOwnerPutsBackWhatOthersRemove(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	free := vip("v0", "192.0.2.101/32")
	free.NoTrack = true
	o, logs := newTestOwner(nl, vip("v0", "192.0.2.100/32"), free)
	links := newTestMonitor(t, nl)
	restored := make(chan []VirtualAddress, 10)
	runTask(t, func(ctx context.Context) error {
		lost, stop := links.AddressLost()
		defer stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-lost:
			}
			added, err := o.Restore(ctx, links.HasAddress)
			if err != nil {
				return err
			}
			if len(added) > 0 {
				restored <- added
			}
		}
	})
	noError(t, o.Take(t.Context()))
	eventually(t, "the monitor does not know the address", func() bool {
		return links.HasAddress("v0", netip.MustParsePrefix("192.0.2.100/32")) && links.HasAddress("v0", free.Prefix)
	})

	addrDel(t, nl, "v0", "192.0.2.101/32")
	addrDel(t, nl, "v0", "192.0.2.100/32")
	if got := <-restored; !slices.Equal(got, []VirtualAddress{vip("v0", "192.0.2.100/32")}) {
		t.Errorf("restored %v", got)
	}
	wantAddrs(t, nl, "v0", "192.0.2.100/32")
	if !strings.Contains(logs.String(), "address=192.0.2.100/32") {
		t.Errorf("the log does not name the address: %s", logs)
	}
	noError(t, o.Release(t.Context()))
	added, err := o.Restore(t.Context(), links.HasAddress)
	if err != nil || added != nil {
		t.Errorf("after the release: restored %v, %v", added, err)
	}
	wantAddrs(t, nl, "v0")
}

// manyAddresses gives as many addresses as an advertisement can carry.
func manyAddresses(device string) []VirtualAddress {
	var list []VirtualAddress
	for i := range 255 {
		list = append(list, VirtualAddress{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 32), Device: device})
	}
	return list
}

func TestOwnerManyAddresses(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	o, _ := newTestOwner(nl, manyAddresses("v0")...)
	noError(t, o.Take(t.Context()))
	if n := len(listAddrs(t, nl, "v0")); n != 255 {
		t.Errorf("%d addresses", n)
	}
	noError(t, o.Release(t.Context()))
	wantAddrs(t, nl, "v0")
}

// Conformance G02 asks for 255 addresses on the link in 100 ms: one operation
// takes them, announces each once and releases them.
func BenchmarkOwnerManyAddresses(b *testing.B) {
	nl := inNetns(b)
	addVeth(b, nl, "v0", "v1")
	addrAdd(b, nl, "v0", "192.0.2.1/24")
	m := newTestMonitor(b, nl)
	eventually(b, "v0 is not up", func() bool { return m.Get("v0").Up })
	s := NewAnnounceSockets(nl, m)
	defer s.Close()
	o, _ := newTestOwner(nl, manyAddresses("v0")...)
	for b.Loop() {
		noError(b, o.Take(b.Context()))
		noError(b, NewAddressAnnouncer(s, o).Announce(b.Context(), 1))
		noError(b, o.Release(b.Context()))
	}
}

func TestDiffAddresses(t *testing.T) {
	a, b, c := vip("v0", "192.0.2.1/32"), vip("v0", "192.0.2.2/32"), vip("v0", "192.0.2.3/32")
	b2 := b
	b2.Label = "v0:1"
	remove, add := diffAddresses([]VirtualAddress{a, b, c}, []VirtualAddress{c, b2})
	if !slices.Equal(remove, []VirtualAddress{b, a}) || !slices.Equal(add, []VirtualAddress{b2}) {
		t.Errorf("remove %v, add %v", remove, add)
	}
}

func TestBroadcastOf(t *testing.T) {
	tests := []struct {
		prefix string
		ones   bool
		want   string
	}{
		{"192.0.2.7/24", true, "192.0.2.255"},
		{"192.0.2.7/24", false, "192.0.2.0"},
		{"10.1.2.3/13", true, "10.7.255.255"},
		{"192.0.2.7/30", true, "192.0.2.7"},
		{"192.0.2.7/31", true, "invalid IP"},
		{"2001:db8::1/64", true, "invalid IP"},
	}
	for _, tt := range tests {
		if got := BroadcastOf(netip.MustParsePrefix(tt.prefix), tt.ones).String(); got != tt.want {
			t.Errorf("%s %v: got %s, want %s", tt.prefix, tt.ones, got, tt.want)
		}
	}
}
