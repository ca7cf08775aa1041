package xdp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// apart runs what is measured on one CPU, for the feeder counts flows on each, and
// in a network namespace of its own, where test packets come in at lo, and
// clients are behind a router that is known.
func apart(run func() error) (err error) {
	runtime.LockOSThread()
	back, err := pinCPU()
	if err != nil {
		return err
	}
	defer back()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("find own network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	ns, err := netns.New()
	if err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	defer func() {
		returned := netns.Set(home)
		if returned == nil {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
		err = errors.Join(err, ns.Close(), returned)
	}()
	if err := routeClients(); err != nil {
		return fmt.Errorf("prepare the network of the benchmark: %w", err)
	}
	return run()
}

// pinCPU keeps this thread on the CPU it is on, until back is called.
func pinCPU() (back func(), err error) {
	var had, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &had); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	for i := range 1024 {
		if had.IsSet(i) {
			one.Set(i) // the last one: interrupts like the first
		}
		if one.Count() > 1 {
			one.Zero()
			one.Set(i)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("stay on one CPU: %w", err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &had) }, nil
}

func routeClients() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out0"}, PeerName: "out1"})); err != nil {
		return err
	}
	out, err := netlink.LinkByName("out0")
	if err != nil {
		return err
	}
	peer, err := netlink.LinkByName("out1")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr("203.0.113.1/24")
	if err != nil {
		return err
	}
	router := net.IPv4(203, 0, 113, 2)
	if err := errors.Join(netlink.LinkSetUp(out), netlink.LinkSetUp(peer), netlink.AddrAdd(out, addr)); err != nil {
		return err
	}
	return errors.Join(
		netlink.RouteAdd(&netlink.Route{LinkIndex: out.Attrs().Index, Gw: router}),
		netlink.NeighSet(&netlink.Neigh{LinkIndex: out.Attrs().Index, IP: router, HardwareAddr: net.HardwareAddr{2, 0xcc, 0, 0, 0, 1}, State: netlink.NUD_PERMANENT}),
		os.WriteFile("/proc/sys/net/ipv4/conf/all/forwarding", []byte("1"), 0o644),
	)
}
