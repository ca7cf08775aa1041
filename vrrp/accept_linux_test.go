package vrrp

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// peerNetns gives a second namespace and moves an interface into it.
func peerNetns(t *testing.T, nl *Netlink, device string) *Netlink {
	t.Helper()
	ns, err := netns.New() // and the thread is in it
	noError(t, err)
	peer, err := OpenNetlink()
	noError(t, errors.Join(err, netns.Set(nl.ns)))
	t.Cleanup(func() { noError(t, errors.Join(peer.Close(), ns.Close())) })
	noError(t, nl.h.LinkSetNsFd(linkOf(t, nl, device), int(ns)))
	setUp(t, peer, device, true)
	return peer
}

// answers tells whether the address answers a connection from the namespace: an
// unused port refuses it, a filter lets it wait.
func answers(t *testing.T, from *Netlink, target netip.Addr) bool {
	t.Helper()
	var err error
	noError(t, from.Do(func() error {
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		var c net.Conn
		if c, err = d.Dial("tcp", netip.AddrPortFrom(target, 9).String()); err == nil {
			return c.Close()
		}
		return nil
	}))
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}

// newFilterPair gives a host with an owner of two addresses, and its neighbour.
func newFilterPair(t *testing.T) (nl, peer *Netlink, o *AddressOwner, v4, v6 netip.Addr) {
	t.Helper()
	nl = inNetns(t)
	addVeth(t, nl, "v0", "v1")
	peer = peerNetns(t, nl, "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	addrAdd(t, peer, "v1", "192.0.2.2/24")
	six := &netlink.Addr{IPNet: ipNet(prefix("2001:db8::2/64")), Flags: syscall.IFA_F_NODAD}
	noError(t, peer.h.AddrAdd(linkOf(t, peer, "v1"), six))
	o, _ = newTestOwner(nl, vip("v0", "192.0.2.100/24"), vip("v0", "2001:db8::100/64"))
	return nl, peer, o, addr("192.0.2.100"), addr("2001:db8::100")
}

func newTestFilter(t *testing.T, nl *Netlink) *AcceptFilter {
	t.Helper()
	f, err := NewAcceptFilter(nl, AcceptTable{Priority: -1})
	noError(t, err)
	t.Cleanup(func() { noError(t, f.Close()) })
	return f
}

// Conformance A07 and A08: with Accept_Mode false the Master does not accept
// packets to the address, but neighbour discovery works.
func TestAcceptFilter(t *testing.T) {
	nl, peer, o, v4, v6 := newFilterPair(t)
	f := newTestFilter(t, nl)
	noError(t, o.Take(t.Context()))
	eventually(t, "the addresses do not answer without a filter", func() bool { return answers(t, peer, v4) && answers(t, peer, v6) })
	noError(t, o.SetAcceptFilter(f))
	if answers(t, peer, v4) || answers(t, peer, v6) {
		t.Error("the addresses answer in spite of the filter")
	}
	if !answers(t, peer, addr("192.0.2.1")) {
		t.Error("the host's own address does not answer")
	}
	noError(t, peer.h.LinkSetDown(linkOf(t, peer, "v1"))) // forget all neighbours
	noError(t, peer.h.LinkSetUp(linkOf(t, peer, "v1")))
	noError(t, errors.Join(peer.h.AddrReplace(linkOf(t, peer, "v1"), &netlink.Addr{IPNet: ipNet(prefix("2001:db8::2/64")), Flags: syscall.IFA_F_NODAD})))
	eventually(t, "neighbour discovery does not find the address", func() bool {
		answers(t, peer, v6)
		list, err := peer.h.NeighList(linkOf(t, peer, "v1").Attrs().Index, netlink.FAMILY_V6)
		noError(t, err)
		for _, n := range list {
			if n.IP.Equal(v6.AsSlice()) && len(n.HardwareAddr) == 6 {
				return true
			}
		}
		return false
	})
	noError(t, o.Release(t.Context()))
	if there, err := f.list(); there || err != nil {
		t.Errorf("the table is still there after the release: %v", err)
	}
	noError(t, o.SetAcceptFilter(nil))
	noError(t, o.Take(t.Context()))
	if !answers(t, peer, v4) {
		t.Error("the address does not answer without the filter")
	}
}

// The filter follows a reload, and two virtual routers share an address in it.
func TestAcceptFilterFollowsTheList(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	f := newTestFilter(t, nl)
	a, b := vip("v0", "192.0.2.100/32"), vip("v0", "2001:db8::100/64")
	first, _ := newTestOwner(nl, a, b)
	second, _ := newTestOwner(nl, a)
	noError(t, errors.Join(first.SetAcceptFilter(f), second.SetAcceptFilter(f)))
	is := func(want ...string) {
		t.Helper()
		out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("nft is not installed")
		}
		noError(t, err)
		for _, text := range []string{"192.0.2.100", "192.0.2.101", "2001:db8::100"} {
			wanted := false
			for _, w := range want {
				wanted = wanted || w == text
			}
			if strings.Contains(string(out), text) != wanted {
				t.Errorf("want %v in:\n%s", want, out)
			}
		}
	}
	is()
	noError(t, errors.Join(first.Take(t.Context()), second.Take(t.Context())))
	is("192.0.2.100", "2001:db8::100")
	_, err := first.SetAddresses(t.Context(), []VirtualAddress{vip("v0", "192.0.2.101/32")})
	noError(t, err)
	is("192.0.2.100", "192.0.2.101")
	noError(t, second.Release(t.Context()))
	is("192.0.2.101")
	noError(t, second.Release(t.Context()))
	is("192.0.2.101")

	// The next life removes what a crash has left.
	next, err := NewAcceptFilter(nl, AcceptTable{})
	noError(t, err)
	is()
	noError(t, next.Close())
}

// The table takes another name while it is in use, and a link-local address is
// dropped on its own interface alone.
func TestAcceptFilterMoves(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	f := newTestFilter(t, nl)
	o, _ := newTestOwner(nl, vip("v0", "192.0.2.100/32"), vip("v0", "fe80::100/64"))
	noError(t, errors.Join(o.SetAcceptFilter(f), o.Take(t.Context())))
	ruleset := func() string {
		t.Helper()
		out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("nft is not installed")
		}
		noError(t, err)
		return string(out)
	}
	if text := ruleset(); !strings.Contains(text, `iifname "v0" ip6 daddr fe80::100`) || !strings.Contains(text, "table inet xvip ") {
		t.Errorf("got:\n%s", text)
	}
	noError(t, f.Move(AcceptTable{Name: "mine", Priority: -7}))
	if text := ruleset(); !strings.Contains(text, "table inet mine ") || strings.Contains(text, "table inet xvip ") ||
		!strings.Contains(text, "priority -7") && !strings.Contains(text, "filter - 7") || !strings.Contains(text, "192.0.2.100") {
		t.Errorf("moved:\n%s", text)
	}
	noError(t, o.Release(t.Context()))
	if text := ruleset(); strings.Contains(text, "table") {
		t.Errorf("released:\n%s", text)
	}
}
