package lab

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridge is the switch: a bridge in a namespace of its own, where one port a
// host ends.
type bridge struct {
	*namespace
	link *netlink.Bridge
	pass *ebpf.Program // on every port
}

func newBridge(name string) (*bridge, error) {
	ns, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	// The kernel's own bridge is a quiet wire: no address, no neighbour
	// discovery, and multicast goes everywhere, because snooping drops what
	// nobody asked for and there is no querier here.
	off := false
	b := &bridge{namespace: ns, link: &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}, MulticastSnooping: &off}}
	err = errors.Join(
		ns.sysctl("net/ipv6/conf/all/disable_ipv6", "1"),
		ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1"),
	)
	if err == nil {
		err = ns.nl.LinkAdd(b.link)
	}
	if err == nil {
		err = ns.nl.LinkSetUp(b.link)
	}
	if err == nil {
		spec := ebpf.ProgramSpec{Name: "lab_pass", Type: ebpf.XDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}}
		if b.pass, err = ebpf.NewProgram(&spec); err != nil { // before Linux 5.18
			spec.Flags = 0
			b.pass, err = ebpf.NewProgram(&spec)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make switch: %w", err), ns.close())
	}
	return b, nil
}

// xdpPass is XDP_PASS of include/uapi/linux/bpf.h.
const xdpPass = 2

// keepSwitches is set by KeepSwitches.
var keepSwitches atomic.Bool

// KeepSwitches has labs leave their switch to the end of the process. While the
// kernel removes a bridge it holds the lock of all networks, for seconds on a
// busy machine (the rcu_barrier in br_multicast_dev_del), and labs that measure
// failovers beside the one that closes would see it.
func KeepSwitches() { keepSwitches.Store(true) }

// close returns when the bridge is gone, or leaves it to an open file that
// nobody closes.
func (b *bridge) close() error {
	var err error
	switch {
	case !b.handle.IsOpen():
	case keepSwitches.Load():
		_, err = unix.FcntlInt(uintptr(b.handle), unix.F_DUPFD_CLOEXEC, 0)
	default:
		err = b.nl.LinkDel(b.link)
	}
	if err != nil {
		err = fmt.Errorf("leave switch: %w", err)
	}
	return errors.Join(err, b.pass.Close(), b.namespace.close())
}

// connect lays a cable from port (the name of its end at the switch) to eth0
// in the host's namespace.
func (b *bridge) connect(port string, n int, host *namespace) error {
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: port, HardwareAddr: mac(1, n)},
		PeerName:         "eth0",
		PeerHardwareAddr: mac(0, n),
		PeerNamespace:    netlink.NsFd(int(host.handle)),
	}
	if err := b.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("lay cable: %w", err)
	}
	// Checksums are written at once: a veth promises them to hardware that it
	// has not, and XDP would see the promise.
	err := errors.Join(
		b.do(func() error { return transmitChecksumsOff(port) }),
		host.do(func() error { return transmitChecksumsOff("eth0") }),
	)
	if err != nil {
		return err
	}
	// A veth that sends frames back by XDP_TX wakes the other end only if that
	// has a program, too (veth_xdp_flush in drivers/net/veth.c): without it
	// they wait for the next packet of another kind.
	if err := b.do(func() error { return netlink.LinkSetXdpFd(veth, b.pass.FD()) }); err != nil {
		return fmt.Errorf("attach program to port %q: %w", port, err)
	}
	if err := b.nl.LinkSetMaster(veth, b.link); err != nil {
		return fmt.Errorf("plug %q in: %w", port, err)
	}
	if err := b.nl.LinkSetUp(veth); err != nil {
		return fmt.Errorf("set port %q up: %w", port, err)
	}
	return nil
}

// setPort makes the port carry traffic or not. The host at the other end sees
// its carrier go.
func (b *bridge) setPort(port string, up bool) error {
	link, err := b.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port %q: %w", port, err)
	}
	if up {
		err = b.nl.LinkSetUp(link)
	} else {
		err = b.nl.LinkSetDown(link)
	}
	if err != nil {
		return fmt.Errorf("switch port %q: %w", port, err)
	}
	return nil
}

// setMTU sets the longest packet of a port.
func (b *bridge) setMTU(port string, octets int) error {
	link, err := b.nl.LinkByName(port)
	if err == nil {
		err = b.nl.LinkSetMTU(link, octets)
	}
	if err != nil {
		return fmt.Errorf("set MTU of port %q: %w", port, err)
	}
	return nil
}

// setMember puts the port into the switch or takes it out with the carrier
// kept, so that the host does not notice.
func (b *bridge) setMember(port string, in bool) error {
	link, err := b.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port %q: %w", port, err)
	}
	if in {
		err = b.nl.LinkSetMaster(link, b.link)
	} else {
		err = b.nl.LinkSetNoMaster(link)
	}
	if err != nil {
		return fmt.Errorf("change port %q of the switch: %w", port, err)
	}
	return nil
}

// mac gives the address of an end of the n-th cable: end 0 is the host's.
func mac(end, n int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x78, byte(end), 0, byte(n >> 8), byte(n)}
}
