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

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// isReport tells reports of multicast groups: IGMP, or MLD behind its hop-by-hop
// header (RFC 3810 §5).
func isReport(f []byte) bool {
	switch {
	case len(f) > 34 && f[12] == 8 && f[13] == 0:
		return f[23] == unix.IPPROTO_IGMP
	case len(f) > 62 && f[12] == 0x86 && f[13] == 0xdd && f[20] == unix.IPPROTO_HOPOPTS:
		return f[54] == unix.IPPROTO_ICMPV6 && slices.Contains([]byte{mldReport1, mldDone, mldReport2}, f[62])
	}
	return false
}

// Conformance M07: a Backup sends nothing by the virtual MAC, or a switch would
// take the address to it; groups are joined by the real one. A Master that
// leaves sends by it no later than its farewell.
func TestM07_OnlyAMasterSpeaksByTheVirtualMAC(t *testing.T) {
	for _, name := range []string{"v3 VMAC", "v3 IPv6 VMAC"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dut, p, own, spec := vmacRun(t, name)
			virtual := VirtualMAC(51, spec.Config.Family)
			slow := spec
			slow.Config.AdvertInterval = 20 * time.Second // Backup for a minute
			groups := []netip.Addr{slow.Config.Group}
			if spec.Config.Family == 6 {
				groups = append(groups, solicitedNode(spec.Owned[0].Addr()))
			}
			dut.run(slow)
			told := map[netip.Addr]int{} // each is told twice
			p.next("reports of the groups by the real MAC", func(f []byte) bool {
				if bytes.Equal(f[6:12], virtual) {
					t.Errorf("a Backup sends by the virtual MAC: %x", f)
				}
				for _, g := range groups {
					if bytes.Equal(f[6:12], own) && isReport(f) && bytes.Contains(f, g.AsSlice()) {
						told[g]++
					}
				}
				return !slices.ContainsFunc(groups, func(g netip.Addr) bool { return told[g] < 2 })
			})
			if st := dut.status(); st.Role != Backup {
				t.Errorf("the router is %+v", st)
			}
			dut.stop()
			dut.run(spec)
			eventually(t, "Master", func() bool { return dut.status().Role == Master })
			dut.stop()
			leavesQuietly(t, p, virtual)
			if left := tables(t, dut.nl); len(left) != 0 {
				t.Errorf("tables left: %v", left)
			}
		})
	}
}

// leavesQuietly reads all frames of a life: none is a report by the virtual MAC,
// and the farewell is there.
func leavesQuietly(t *testing.T, p *tester, virtual net.HardwareAddr) {
	t.Helper()
	farewell := false
	noError(t, p.conn.SetReadDeadline(time.Now().Add(time.Second)))
	for buf := make([]byte, 9000); ; {
		n, _, err := p.conn.ReadFrom(buf)
		if err != nil {
			break // of time
		}
		f := buf[:n]
		if n < 14 || !bytes.Equal(f[6:12], virtual) {
			continue
		}
		if isReport(f) {
			t.Errorf("a report by the virtual MAC: %x", f)
		}
		farewell = farewell || advert4(f) && payload4(f)[2] == 0 || advert6(f) && f[56] == 0
	}
	if !farewell {
		t.Error("no farewell by the virtual MAC")
	}
}

func tables(t *testing.T, nl *Netlink) (names []string) {
	t.Helper()
	noError(t, nl.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		list, err := c.ListTables()
		for _, x := range list {
			names = append(names, x.Name)
		}
		return err
	}))
	return names
}

// The parent joins what addresses come and leaves what go; what it cannot join
// is told, and the rest joined.
func TestMembershipsFollow(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	setUp(t, nl, "v0", true)
	index := linkOf(t, nl, "v0").Attrs().Index
	m := memberships{nl, map[membership]int{}}
	a, b := solicitedNode(addr("2001:db8::1:2:3")), addr("224.0.0.18")
	if a != addr("ff02::1:ff02:3") {
		t.Errorf("solicited-node group %s", a)
	}
	joined := func() (got []netip.Addr) {
		noError(t, nl.Do(func() error {
			for g, hex := range map[netip.Addr]string{a: "ff0200000000000000000001ff020003", b: "120000E0"} {
				name := map[bool]string{true: "igmp6", false: "igmp"}[g.Is6()]
				text, err := os.ReadFile("/proc/thread-self/net/" + name)
				if err != nil {
					return err
				}
				if strings.Contains(string(text), hex) {
					got = append(got, g)
				}
			}
			return nil
		}))
		return got
	}
	for _, want := range [][]netip.Addr{{a}, {b, a}, {b}, {}} {
		var list []membership
		for _, g := range want {
			list = append(list, membership{index, g})
		}
		noError(t, m.set(list))
		if got := joined(); len(got) != len(want) || slices.ContainsFunc(want, func(g netip.Addr) bool { return !slices.Contains(got, g) }) {
			t.Errorf("joined %v, want %v", got, want)
		}
	}
	if err := m.set([]membership{{index + 1000, a}, {index, b}}); err == nil || !strings.Contains(err.Error(), a.String()) || len(joined()) != 1 {
		t.Errorf("got %v, joined %v", err, joined())
	}
	noError(t, m.set(nil))
}
