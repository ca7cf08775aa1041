package vrrp

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// vmacRun prepares the variant of a name for one node, whose real MAC is own,
// with a tester on the other.
func vmacRun(t *testing.T, name string) (dut *node, p *tester, own net.HardwareAddr, spec RouterSpec) {
	t.Helper()
	dut, peer := twoNodes(t)
	p = newTester(t, peer, dut)
	own, p.dut = p.dut, nil
	v := variantNamed(t, name)
	dut.addr, peer.addr = self, high
	if v.config.Family == 6 {
		dut.addr, peer.addr = self6, peer6
	}
	spec = v.spec(100, dut.addr, peer.addr)
	return dut, p, own, spec
}

// Conformance M01, M02 and M05: advertisements leave by the virtual MAC, from the
// interface's own address, or by the real one where that is asked for;
// announcements are the virtual MAC's in each case. At the end all is as before.
func TestM01_M02_M05_VirtualMACOnTheLink(t *testing.T) {
	for _, c := range []struct {
		name    string
		virtual bool // advertisements by the virtual MAC
	}{{"v3 VMAC", true}, {"v3 VMAC by the base", false}, {"v3 IPv6 VMAC", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dut, p, own, spec := vmacRun(t, c.name)
			before := readSysctls(t, dut.nl, "all", "eth0")
			dut.run(spec)
			virtual := VirtualMAC(51, spec.Config.Family)
			from, source, advert := own, dut.addr.AsSlice(), advert4
			if c.virtual {
				from = virtual
			}
			at := 26
			if spec.Config.Family == 6 {
				advert, at = advert6, 22
			}
			f := p.next("advertisement", advert)
			if !bytes.Equal(f[6:12], from) {
				t.Errorf("an advertisement from %s, want %s", net.HardwareAddr(f[6:12]), from)
			}
			if !bytes.Equal(f[at:at+len(source)], source) {
				t.Errorf("an advertisement whose source is not %s: %x", dut.addr, f)
			}
			told := gratuitous(vip4)
			if spec.Config.Family == 6 {
				told = isNA
			}
			if f := p.next("announcement", told); !bytes.Equal(f[6:12], virtual) {
				t.Errorf("an announcement from %s, want %s", net.HardwareAddr(f[6:12]), virtual)
			}
			if st := dut.status(); st.Role != Master || st.Transitions != 2 {
				t.Errorf("the way to Master had a detour: %+v", st)
			}
			dut.stop()
			if _, err := dut.nl.index(spec.Virtual.Name); !isNotFound(err) {
				t.Errorf("the interface of the virtual MAC is left: %v", err)
			}
			if d := cmp.Diff(before, readSysctls(t, dut.nl, "all", "eth0")); d != "" {
				t.Errorf("settings are not as before (-want +got):\n%s", d)
			}
		})
	}
}

// What is removed by somebody, or goes with its parent, comes back, and the
// router is Master again; what an earlier life has left is taken over.
func TestVirtualMACComesBack(t *testing.T) {
	t.Parallel()
	dut, p, _, spec := vmacRun(t, "v3 VMAC")
	log, _ := testLog()
	noError(t, NewVirtualLinks(dut.nl, log).Ensure(*spec.Virtual)) // and dies
	addrAdd(t, dut.nl, "vrrp.51", "10.99.0.100/24")
	left, err := dut.nl.index("vrrp.51")
	noError(t, err)
	dut.run(spec)
	master := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { return dut.owns(vip4) && dut.status().Role == Master })
		p.next(what+": announcement", gratuitous(vip4))
		p.next(what+": advertisement", func(f []byte) bool { return advert4(f) && bytes.Equal(f[6:12], VirtualMAC(51, 4)) })
	}
	master("left by an earlier life")
	if index, err := dut.nl.index("vrrp.51"); err != nil || index != left {
		t.Errorf("the interface was made anew: index %d, before %d: %v", index, left, err)
	}
	noError(t, dut.nl.h.LinkDel(linkOf(t, dut.nl, "vrrp.51")))
	eventually(t, "another interface", func() bool { index, err := dut.nl.index("vrrp.51"); return err == nil && index != left })
	master("removed by somebody")

	// A virtual interface that somebody sets down is a fault, as its parent is.
	for _, device := range []string{"vrrp.51", "eth0"} {
		setUp(t, dut.nl, device, false)
		eventually(t, device+" is down: a fault", func() bool {
			st := dut.status()
			return st.Role == Fault && strings.Contains(st.Reason, "is down") && !dut.owns(vip4)
		})
		setUp(t, dut.nl, device, true)
		eventually(t, device+" is up again", func() bool { return dut.owns(vip4) })
	}
}

// A reload turns use_vmac on and off: the address changes its interface, and
// nothing is left of the former way.
func TestReloadTurnsVirtualMACOnAndOff(t *testing.T) {
	t.Parallel()
	dut, p, own, with := vmacRun(t, "v3 VMAC")
	without := variantNamed(t, "v3").spec(100, self, high)
	dut.run(without)
	eventually(t, "Master without", func() bool { return dut.owns(vip4) })
	for range 2 {
		dut.set.Update(Wanted{Routers: []RouterSpec{with}})
		p.next("announcement of the virtual MAC", func(f []byte) bool { return gratuitous(vip4)(f) && bytes.Equal(f[6:12], VirtualMAC(51, 4)) })
		if got := prefixes(listAddrs(t, dut.nl, "eth0")); len(got) != 1 {
			t.Errorf("the interface has %v, want its own address alone", got)
		}
		dut.set.Update(Wanted{Routers: []RouterSpec{without}})
		p.next("announcement of the real MAC", func(f []byte) bool { return gratuitous(vip4)(f) && bytes.Equal(f[6:12], own) })
		if _, err := dut.nl.index("vrrp.51"); !isNotFound(err) {
			t.Errorf("the interface of the virtual MAC is left: %v", err)
		}
	}
}

// A name that is taken is told once, is a fault, and is tried again.
func TestVirtualMACNameTaken(t *testing.T) {
	t.Parallel()
	dut, p, _, spec := vmacRun(t, "v3 VMAC")
	addVeth(t, dut.nl, "vrrp.51", "other")
	dut.run(spec)
	eventually(t, "the error is told", func() bool { return strings.Contains(dut.log.String(), "the name is taken") })
	noError(t, dut.nl.h.LinkDel(linkOf(t, dut.nl, "vrrp.51")))
	p.next("advertisement", func(f []byte) bool { return advert4(f) && bytes.Equal(f[6:12], VirtualMAC(51, 4)) })
	if n := strings.Count(dut.log.String(), "the name is taken"); n != 1 {
		t.Errorf("the error is told %d times", n)
	}
}

// An address on another interface has a virtual MAC there (use_vmac_addr), also
// without one for the router itself.
func TestVirtualMACOfAnAddressElsewhere(t *testing.T) {
	t.Parallel()
	dut, p, own, _ := vmacRun(t, "v3 VMAC")
	addVeth(t, dut.nl, "eth1", "wire1")
	addrAdd(t, dut.nl, "eth1", "10.98.0.5/24")
	wire := &tester{t: t, node: dut, conn: rawFrames(t, dut, "wire1")}
	spec := variantNamed(t, "v3").spec(100, self, high)
	elsewhere := addr("10.98.0.100")
	spec.Extra = []VirtualLink{{Name: "vrrp.51", Parent: "eth1", MAC: VirtualMAC(51, 4).String(), IPv4: true}}
	spec.Owned = append(spec.Owned, VirtualAddress{Prefix: netip.PrefixFrom(elsewhere, 32), Device: "vrrp.51"})
	dut.run(spec)
	p.next("announcement of the real MAC", func(f []byte) bool { return gratuitous(vip4)(f) && bytes.Equal(f[6:12], own) })
	wire.next("announcement of the virtual MAC", func(f []byte) bool { return gratuitous(elsewhere)(f) && bytes.Equal(f[6:12], VirtualMAC(51, 4)) })
	if got := prefixes(listAddrs(t, dut.nl, "eth1")); !slices.Equal(got, []string{"10.98.0.5/24"}) {
		t.Errorf("the interface has %v, want its own address alone", got)
	}
	dut.stop()
	if _, err := dut.nl.index("vrrp.51"); !isNotFound(err) {
		t.Errorf("the interface of the virtual MAC is left: %v", err)
	}
}

// Conformance A12 and A13: what is sent to the virtual MAC for another network is
// forwarded by the Master and by nobody else.
func TestA12_A13_OnlyTheMasterForwards(t *testing.T) {
	t.Parallel()
	dut, p, _, spec := vmacRun(t, "v3 VMAC")
	addVeth(t, dut.nl, "out0", "out1")
	addrAdd(t, dut.nl, "out0", "10.98.0.1/24")
	noError(t, within(dut.ns, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }))
	far := addr("10.98.0.9")
	out := rawFrames(t, dut, "out1")
	there := linkOf(t, dut.nl, "out1").Attrs().HardwareAddr
	noError(t, dut.nl.h.NeighSet(&netlink.Neigh{LinkIndex: linkOf(t, dut.nl, "out0").Attrs().Index, IP: far.AsSlice(), HardwareAddr: there,
		State: netlink.NUD_PERMANENT}))
	p.dut = VirtualMAC(51, 4)
	number := byte(0)
	crossed := func() bool {
		t.Helper()
		number++
		header := []byte{0x45, 0, 0, 24, 0, number, 0, 0, 64, 253, 0, 0} // protocol 253 is for experiments
		header = append(append(header, high.AsSlice()...), far.AsSlice()...)
		p.send(Outgoing{Header: header, Dst: far, Payload: []byte{1, 2, 3, number}}, 26)
		noError(t, out.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
		buf := make([]byte, 2000)
		for {
			n, _, err := out.ReadFrom(buf)
			if err != nil {
				return false
			}
			if n >= 38 && buf[23] == 253 && buf[37] == number {
				return true
			}
		}
	}
	slow := wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MaxInterval })
	dut.run(spec)
	eventually(t, "it is master", func() bool { return dut.role() == Master })
	eventually(t, "the master forwards", crossed)
	master := &tester{t: t, node: p.node, conn: p.conn}
	master.send((&codec{cfg: slow}).seal(epoch, 200, high)[0], 0)
	eventually(t, "it is backup", func() bool { return dut.role() == Backup && !dut.owns(vip4) })
	eventually(t, "the gate is closed", func() bool {
		v := ""
		noError(t, within(dut.ns, func() error {
			b, err := os.ReadFile("/proc/sys/net/ipv4/conf/vrrp.51/forwarding")
			v = strings.TrimSpace(string(b))
			return err
		}))
		return v == "0"
	})
	if crossed() {
		t.Error("a backup forwards")
	}
	p.dut = linkOf(t, dut.nl, "eth0").Attrs().HardwareAddr
	if !crossed() {
		t.Error("it does not forward what is sent to its own MAC")
	}
}
