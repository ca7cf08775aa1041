package vrrp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// tester is the other end of the link, with Ethernet frames in its hands.
type tester struct {
	t    *testing.T
	node *node
	conn *packet.Conn
	dut  net.HardwareAddr // the router under test; nil: frames from anybody
}

func newTester(t *testing.T, n, dut *node) *tester {
	t.Helper()
	p := &tester{t: t, node: n, dut: linkOf(t, dut.nl, "eth0").Attrs().HardwareAddr}
	p.conn = rawFrames(t, n, "eth0")
	return p
}

// rawFrames opens a socket that sees and sends every frame of an interface.
func rawFrames(t *testing.T, n *node, device string) (conn *packet.Conn) {
	t.Helper()
	noError(t, within(n.ns, func() error {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// next gives the next frame of the router under test that pass lets through.
func (p *tester) next(what string, pass func(f []byte) bool) []byte {
	p.t.Helper()
	f, err := p.read(pass)
	if err != nil {
		p.t.Fatalf("no %s: %v", what, err)
	}
	return f
}

func (p *tester) read(pass func(f []byte) bool) ([]byte, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 9000)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // told once, the socket lives
		}
		if err != nil {
			return nil, err
		}
		if f := buf[:n]; n >= 14 && (p.dut == nil || bytes.Equal(f[6:12], p.dut)) && pass(f) {
			return bytes.Clone(f), nil
		}
	}
}

// send puts a frame with an IPv4 packet onto the link.
func (p *tester) send(o Outgoing, padding int) {
	p.t.Helper()
	h := bytes.Clone(o.Header)
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], finish(addSum(0, h)))
	mac := net.HardwareAddr{1, 0, 0x5e, 0, 0, 18}
	if !o.Dst.IsMulticast() {
		mac = p.dut
	}
	own := linkOf(p.t, p.node.nl, "eth0").Attrs().HardwareAddr
	f := bytes.Join([][]byte{mac, own, {8, 0}, h, o.Payload, bytes.Repeat([]byte{0xee}, padding)}, nil)
	_, err := p.conn.WriteTo(f, &packet.Addr{HardwareAddr: mac})
	noError(p.t, err)
}

// advert4 and advert6 tell advertisements, by family.
func advert4(f []byte) bool {
	return len(f) >= 42 && f[12] == 8 && f[13] == 0 && (f[23] == protocolNumber || f[23] == ahProtocol)
}

func advert6(f []byte) bool {
	return len(f) >= 62 && f[12] == 0x86 && f[13] == 0xdd && f[20] == protocolNumber
}

// gratuitous tells gratuitous ARP for an address.
func gratuitous(addr netip.Addr) func([]byte) bool {
	return func(f []byte) bool {
		return len(f) >= 42 && f[12] == 8 && f[13] == 6 && bytes.Equal(f[28:32], addr.AsSlice()) && bytes.Equal(f[38:42], addr.AsSlice())
	}
}

// payload4 takes the message of an IPv4 frame, without padding.
func payload4(f []byte) []byte {
	n := int(binary.BigEndian.Uint16(f[16:]))
	return f[14+int(f[14]&15)*4 : 14+n]
}

func variantNamed(t *testing.T, name string) variant {
	t.Helper()
	for _, v := range variants() {
		if v.name == name {
			return v
		}
	}
	t.Fatalf("no variant %q", name)
	return variant{}
}

// What a master of each kind puts onto the link, frame by frame. The interface
// has a second address below the first and a virtual one below both, and there
// is an excluded address. Checksum offload is as the kernel has it.
func TestOnTheLink(t *testing.T) {
	for _, name := range []string{"v2", "v2 PASS", "v3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dut, peer := twoNodes(t)
			addrAdd(t, dut.nl, "eth0", "10.99.0.3/24")
			p := newTester(t, peer, dut)
			v := variantNamed(t, name)
			spec := v.spec(100, self, high)
			lowVIP, excluded := netip.MustParseAddr("10.99.0.2"), netip.MustParsePrefix("10.99.0.200/24")
			spec.Config.Addresses = []netip.Addr{vip4, lowVIP}
			spec.Owned = append(spec.Owned, VirtualAddress{Prefix: netip.PrefixFrom(lowVIP, 24), Device: "eth0"}, VirtualAddress{Prefix: excluded, Device: "eth0"})
			dut.run(spec)
			p.next("first advertisement", advert4)
			f := p.next("second advertisement", advert4)
			check4(t, f, p.dut, &spec.Config)
			eventually(t, "F10: the excluded address is held", func() bool { return dut.owns(excluded.Addr()) })
		})
	}
	t.Run("v3 IPv6", func(t *testing.T) {
		t.Parallel()
		dut, peer := twoNodes(t)
		p := newTester(t, peer, dut)
		v := variantNamed(t, "v3 IPv6")
		spec := v.spec(100, self6, peer6)
		global := netip.MustParsePrefix("2001:db8::100/64")
		spec.Config.Addresses = append(spec.Config.Addresses[:1:1], global.Addr())
		spec.Owned = append(spec.Owned, VirtualAddress{Prefix: global, Device: "eth0", NoDAD: true})
		dut.run(spec)
		p.next("first advertisement", advert6)
		check6(t, p.next("second advertisement", advert6), p.dut, &spec.Config)
	})
}

func check4(t *testing.T, f []byte, mac net.HardwareAddr, c *Config) {
	t.Helper()
	b := payload4(f)
	n := 8 + 4*len(c.Addresses)
	if c.Version == 2 {
		n += 8
	}
	is := func(id string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %x", id, f)
		}
	}
	is("F01 protocol", f[23] == 112)
	is("F02 group", bytes.Equal(f[30:34], []byte{224, 0, 0, 18}) && bytes.Equal(f[:6], []byte{1, 0, 0x5e, 0, 0, 0x12}))
	is("F03 TTL", f[22] == 255)
	is("F05 source", bytes.Equal(f[26:30], []byte{10, 99, 0, 5}))
	is("F06 version, type, VRID, priority", b[0] == c.Version<<4|1 && b[1] == 51 && b[2] == 100)
	is("F10 count and addresses", b[3] == 2 && bytes.Equal(b[8:16], []byte{10, 99, 0, 100, 10, 99, 0, 2}))
	is("F13 length", len(b) == n && int(binary.BigEndian.Uint16(f[16:])) == 20+n)
	is("F14 no options, TOS, no fragment", f[14] == 0x45 && f[15] == 0xc0 && f[20]&0x3f == 0 && f[21] == 0)
	is("C11 sum of the IP header", finish(addSum(0, f[14:34])) == 0)
	is("M06 the real MAC", bytes.Equal(f[6:12], mac))
	if c.Version == 2 {
		is("F11 interval, authentication type", b[4] == c.AuthType && b[5] == 1)
		is("C01 sum over all", finish(addSum(0, b)) == 0)
		is("U01 authentication data", bytes.Equal(b[16:], c.AuthData[:]))
		return
	}
	is("F09 F11 interval of 20 cs", b[4] == 0 && b[5] == 20)
	pseudo := bytes.Join([][]byte{f[26:34], {0, 112}, {0, byte(n)}, b}, nil)
	is("C03 C05 sum with pseudo header", finish(addSum(0, pseudo)) == 0)
}

func check6(t *testing.T, f []byte, mac net.HardwareAddr, c *Config) {
	t.Helper()
	b := f[54:]
	is := func(id string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %x", id, f)
		}
	}
	is("F01 next header", f[20] == 112)
	is("V01 group, MAC, hop limit", bytes.Equal(f[38:54], group6.AsSlice()) && bytes.Equal(f[:6], []byte{0x33, 0x33, 0, 0, 0, 0x12}) && f[21] == 255)
	is("V02 link-local source", bytes.Equal(f[22:38], self6.AsSlice()))
	is("F14 traffic class", f[14] == 0x6c && f[15]&0xf0 == 0)
	is("F06 F11", b[0] == 0x31 && b[1] == 51 && b[2] == 100 && b[4] == 0 && b[5] == 20)
	is("F10 F13 addresses", b[3] == 2 && len(b) == 8+32 && int(binary.BigEndian.Uint16(f[18:])) == len(b))
	is("V03 link-local first", bytes.Equal(b[8:24], vip6.AsSlice()))
	is("M06 the real MAC", bytes.Equal(f[6:12], mac))
	pseudo := bytes.Join([][]byte{f[22:54], {0, 0, 0, byte(len(b))}, {0, 0, 0, 112}, b}, nil)
	is("C06 C11 sum", finish(addSum(0, pseudo)) == 0)
}

// The whole way from the first advertisement to the stop: the address is there
// before the link hears of it, priority 0 goes out once, nothing is left.
func TestS07_S13_G01_G06_TakeOverAndStop(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v3").spec(100, self, high))
	f := p.next("gratuitous ARP", gratuitous(vip4))
	if !dut.owns(vip4) {
		t.Error("G06: announced before the address is there")
	}
	if !bytes.Equal(f[:6], broadcastMAC()) || !bytes.Equal(f[22:28], p.dut) || f[21] != 1 {
		t.Errorf("G01 G07: %x", f)
	}
	dut.stop()
	if dut.owns(vip4) {
		t.Error("S13: the address is left")
	}
	p.next("S07: advertisement of priority 0", func(f []byte) bool { return advert4(f) && payload4(f)[2] == 0 })
	noError(t, p.conn.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
	buf := make([]byte, 2000)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if err != nil {
			break
		}
		if bytes.Equal(buf[6:12], p.dut) && advert4(buf[:n]) {
			t.Errorf("S07: after priority 0: %x", buf[:n])
		}
	}
}

// Frames longer than their packet, and packets with IP options, count: the
// router yields to them. C08, R14: padding is no part of the message.
func TestR33_R18_R14_PaddedFramesAreAccepted(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v2").spec(100, self, high))
	p.next("advertisement", advert4)
	o := (&codec{cfg: wires["v2"]}).seal(epoch, 200, high)[0]
	p.send(o, 6)
	eventually(t, "R33: a padded frame is believed", func() bool { return dut.status().Role == Backup })
	before := dut.status().AdvertsReceived
	options := append(bytes.Clone(o.Header), 0x94, 4, 0, 0) // router alert
	options[0] = 0x46
	binary.BigEndian.PutUint16(options[2:], uint16(len(options)+len(o.Payload)))
	o.Header = options
	p.send(o, 2)
	eventually(t, "R18: options are stepped over", func() bool { return dut.status().AdvertsReceived == before+1 })
	for why, n := range dut.status().AdvertsRefused {
		if n > 0 {
			t.Errorf("%d refused: %s", n, why)
		}
	}
}

// R20 and R21 are partly the kernel's: it drops what has a group as source.
// R06 and R35: other virtual routers do not even wake us.
func TestR35_R06_OtherVirtualRoutersAreLeftToTheKernel(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v3").spec(100, self, high))
	p.next("advertisement", advert4)
	for vrid := 1; vrid <= 255; vrid++ {
		if vrid == 51 {
			continue
		}
		c := wireConfig(3, 4, func(c *Config) { c.VRID = uint8(vrid) })
		for range 40 {
			p.send((&codec{cfg: c}).seal(epoch, 254, high)[0], 0)
		}
	}
	mine := wireConfig(3, 4, nil)
	p.send((&codec{cfg: mine}).seal(epoch, 50, high)[0], 0) // arrives after them
	eventually(t, "our own VRID is heard", func() bool { return dut.status().AdvertsReceived == 1 })
	st := dut.status()
	if st.AdvertsRefused[RefusedVRID] > 0 || st.Role != Master {
		t.Errorf("%+v", st)
	}
}

// F04: with forwarding on, an advertisement stays on its link.
func TestF04_AdvertisementsAreNotForwarded(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	addVeth(t, dut.nl, "out0", "out1")
	addrAdd(t, dut.nl, "out0", "10.98.0.1/24")
	noError(t, within(dut.ns, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }))
	out := rawFrames(t, dut, "out1")
	p := newTester(t, peer, dut)
	dut.run(variantNamed(t, "v3").spec(100, self, high))
	p.next("advertisement", advert4)
	for range 50 {
		p.send((&codec{cfg: wires["v3"]}).seal(epoch, 50, high)[0], 0)
	}
	eventually(t, "all are heard", func() bool { return dut.status().AdvertsReceived == 50 })
	noError(t, out.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	buf := make([]byte, 2000)
	for {
		n, _, err := out.ReadFrom(buf)
		if err != nil {
			return
		}
		if advert4(buf[:n]) {
			t.Fatalf("crossed: %x", buf[:n])
		}
	}
}

// A backup is silent about the address, in every way.
func TestA01_A04_ABackupIsSilentAboutTheAddress(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	v := variantNamed(t, "v2") // seconds: a machine that is slow for a moment changes no master
	peer.run(v.spec(255, high, self))
	dut.run(v.spec(100, self, high))
	eventually(t, "the peer is master", func() bool { return peer.owns(vip4) && dut.status().Master == high && !dut.owns(vip4) })
	own := linkOf(t, peer.nl, "eth0").Attrs().HardwareAddr
	ask := bytes.Join([][]byte{broadcastMAC(), own, {8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, own, high.AsSlice(), make([]byte, 6), vip4.AsSlice()}, nil)
	askSelf := append(bytes.Clone(ask[:38]), self.AsSlice()...)
	for _, f := range [][]byte{ask, askSelf} { // the second one is answered: it marks the end
		_, err := p.conn.WriteTo(f, &packet.Addr{HardwareAddr: broadcastMAC()})
		noError(t, err)
	}
	f := p.next("ARP reply", func(f []byte) bool { return f[12] == 8 && f[13] == 6 && f[21] == 2 })
	if !bytes.Equal(f[28:32], self.AsSlice()) {
		t.Errorf("A01: the backup answers for the virtual address: %x", f)
	}
	for _, to := range []netip.Addr{vip4, self} { // echo requests to the backup's MAC
		icmp := []byte{8, 0, 0, 0, 0, 1, 0, 1}
		binary.BigEndian.PutUint16(icmp[2:], finish(addSum(0, icmp)))
		p.send(Outgoing{Src: high, Dst: to, Header: ipv4Header(high, to, 64, unix.IPPROTO_ICMP, 1, len(icmp)), Payload: icmp}, 0)
	}
	f = p.next("echo reply", func(f []byte) bool { return len(f) > 34 && f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_ICMP })
	if !bytes.Equal(f[26:30], self.AsSlice()) {
		t.Errorf("A03: the backup accepts packets to the virtual address: %x", f)
	}
}

// Two families and two interfaces have one VRID: four virtual routers that know
// nothing of each other.
func TestS21_R06_OneVRIDOnTwoInterfacesAndFamilies(t *testing.T) {
	t.Parallel()
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	addVeth(t, dut.nl, "eth1", "eth1p")
	addrAdd(t, dut.nl, "eth1", "10.98.0.5/24")
	v4, v6 := variantNamed(t, "v3").spec(100, self, high), variantNamed(t, "v3 IPv6").spec(100, self6, peer6)
	other := variantNamed(t, "v3").spec(100, self, high)
	other.Config.Name, other.Config.Interface = "VI_2", "eth1"
	vip := netip.MustParseAddr("10.98.0.100")
	other.Config.Addresses, other.Owned = []netip.Addr{vip}, []VirtualAddress{{Prefix: netip.PrefixFrom(vip, 24), Device: "eth1"}}
	v6.Config.Name = "VI_6"
	dut.runAll(Wanted{Routers: []RouterSpec{v4, v6, other}})
	roles := func() (s string) {
		for _, st := range dut.set.Status() {
			s += st.Role.String() + " "
		}
		return strings.TrimSpace(s)
	}
	eventually(t, "all are masters", func() bool {
		return roles() == "MASTER MASTER MASTER" && dut.owns(vip) && dut.owns(vip4) && dut.owns(vip6)
	})
	slow := wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MaxInterval })
	p.send((&codec{cfg: slow}).seal(epoch, 200, high)[0], 0)
	eventually(t, "only the one that heard it yields", func() bool { return roles() == "BACKUP MASTER MASTER" && !dut.owns(vip4) })
	if !dut.owns(vip) || !dut.owns(vip6) {
		t.Error("others lost their addresses")
	}
}
