package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// track_src_ip: without its source address the router is in Fault, and comes
// back with it.
func TestASourceAddressIsTracked(t *testing.T) {
	t.Parallel()
	dut, _ := twoNodes(t)
	second := netip.MustParseAddr("10.99.0.6")
	spec := variantNamed(t, "v3").spec(100, self, high)
	spec.Source, spec.TrackSource = second, true
	dut.run(spec)
	eventually(t, "the fault is not told", func() bool {
		st := dut.status()
		return st.Role == Fault && st.Reason == "source address 10.99.0.6 is not on eth0"
	})
	addrAdd(t, dut.nl, "eth0", "10.99.0.6/24")
	eventually(t, "it is not master with its source", func() bool { return dut.role() == Master })
	addrDel(t, dut.nl, "eth0", "10.99.0.6/24")
	eventually(t, "it goes on without its source", func() bool { return dut.role() == Fault && !dut.owns(vip4) })
}

// unicast_fault_no_peer.
func TestUnicastWithoutPeersIsAFault(t *testing.T) {
	spec := RouterSpec{Config: Config{Interface: "eth0", Family: 4, Priority: 100}, NoPeer: true}
	own := LinkState{Name: "eth0", Exists: true, Up: true, Primary4: self}
	c, ready := judge(&spec, own, nil, nil, nil)
	if !ready || c.Fault != "no unicast peer is configured" {
		t.Errorf("%+v", c)
	}
	spec.NoPeer = false
	if c, _ := judge(&spec, own, nil, nil, nil); c.Fault != "" {
		t.Errorf("%+v", c)
	}
}

// log_unknown_vrids: what nobody here is for is told, once, and changes nothing.
func TestUnknownVirtualRoutersAreTold(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	spec := variantNamed(t, "v3").spec(100, self, high)
	w := Wanted{Routers: []RouterSpec{spec}}
	dut.runAll(w)
	p.next("advertisement", advert4)
	stranger := &codec{cfg: wireConfig(3, 4, func(c *Config) { c.VRID = 77 })}
	mine := wireConfig(3, 4, nil)
	heard := uint64(0)
	hear := func() {
		t.Helper()
		for range 5 {
			p.send(stranger.seal(epoch, 200, high)[0], 0)
		}
		p.send((&codec{cfg: mine}).seal(epoch, 50, high)[0], 0) // arrives after them
		heard++
		eventually(t, "our own VRID is heard", func() bool { return dut.status().AdvertsReceived == heard })
	}
	const line = "advertisement of a virtual router that is not configured here"
	hear()
	if strings.Contains(dut.log.String(), line) {
		t.Error("told without log_unknown_vrids")
	}
	w.LogUnknown = true
	dut.set.Update(w)
	hear()
	if n := strings.Count(dut.log.String(), line); n != 1 || !strings.Contains(dut.log.String(), "vrid=77") {
		t.Errorf("told %d times:\n%s", n, dut.log)
	}
	if st := dut.status(); st.Role != Master || st.AdvertsRefused[RefusedVRID] > 0 {
		t.Errorf("%+v", st)
	}
}

// vrrp_rx_bufs_policy and kernel_rx_buf_size: routers of one socket add up, and
// one without a size has ours.
func TestReceiveBufferOfASocket(t *testing.T) {
	t.Parallel()
	dut, _ := twoNodes(t)
	all := newHubs(nil)
	open := func(vrid uint8, b ReceiveBuffer) Conn {
		t.Helper()
		var conn Conn
		c := wireConfig(3, 4, func(c *Config) { c.VRID, c.Interface, c.Buffer = vrid, "eth0", b })
		noError(t, within(dut.ns, func() (err error) { conn, err = all.open(c, "eth0"); return err }))
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	size := func(c Conn) (octets int) {
		t.Helper()
		noError(t, c.(*tap).hub.conn.raw.Control(func(fd uintptr) {
			octets, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}))
		return octets / 2 // the kernel doubles it
	}
	c := open(1, ReceiveBuffer{Octets: 5000})
	if got := size(c); got != 5000 {
		t.Errorf("one: %d", got)
	}
	second := open(2, ReceiveBuffer{Packets: 4})
	if got := size(c); got != 5000+4*1500 {
		t.Errorf("two: %d", got)
	}
	noError(t, second.Close())
	open(3, ReceiveBuffer{})
	if got := size(c); got != receiveBuffer {
		t.Errorf("with one that has none: %d", got)
	}
}

// garp_extra_if: a Master goes on announcing what is on other interfaces.
func TestAddressesElsewhereAreAnnouncedAgain(t *testing.T) {
	t.Parallel()
	dut, _ := twoNodes(t)
	addVeth(t, dut.nl, "eth1", "eth1p")
	spec := variantNamed(t, "v3").spec(100, self, high)
	far := netip.MustParseAddr("10.98.0.100")
	spec.Owned = append(spec.Owned, VirtualAddress{Prefix: netip.PrefixFrom(far, 24), Device: "eth1"})
	spec.AnnounceElsewhere = AnnounceElsewhere{Every: 50 * time.Millisecond, All: true}
	own, other := &tester{t: t, conn: rawFrames(t, dut, "eth0")}, &tester{t: t, conn: rawFrames(t, dut, "eth1p")}
	dut.run(spec)
	for range spec.Config.Announce.MasterRepeat + 5 {
		other.next("gratuitous ARP", gratuitous(far))
	}
	// On its own interface there was no more than on becoming Master.
	noError(t, own.conn.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	count, buf := 0, make([]byte, 2000)
	for {
		n, _, err := own.conn.ReadFrom(buf)
		if err != nil {
			break
		}
		if gratuitous(vip4)(buf[:n]) {
			count++
		}
	}
	if count != spec.Config.Announce.MasterRepeat {
		t.Errorf("%d announcements on the own interface", count)
	}
}

// Without all, garp_extra_if is for virtual MACs.
func TestElsewhereIsVirtualMACsByDefault(t *testing.T) {
	on := func(device string) VirtualAddress {
		return VirtualAddress{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Device: device}
	}
	all := []VirtualAddress{on("vrrp.1"), on("vrrp.x"), on("eth0"), on("eth1")}
	spec := RouterSpec{Config: Config{Interface: "eth0"}, Virtual: &VirtualLink{Name: "vrrp.1"}, Extra: []VirtualLink{{Name: "vrrp.x"}}}
	for _, c := range []struct {
		all  bool
		want string
	}{{false, "vrrp.x"}, {true, "vrrp.x eth0 eth1"}} {
		spec.AnnounceElsewhere.All = c.all
		var got []string
		for _, a := range spec.elsewhere(all) {
			got = append(got, a.Device)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("all %v: %v", c.all, got)
		}
	}
}
