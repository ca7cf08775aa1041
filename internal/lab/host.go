package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is a machine of the lab: a namespace with lo and eth0.
type Host struct {
	lab   *Lab
	name  string
	n     int
	port  string // name of the switch's end of the cable
	ns    *namespace
	forks *forker
	ports atomic.Uint32 // given out so far

	mu      sync.Mutex
	closers []func() // of what runs on the host
}

func newHost(l *Lab, name string, n int) (*Host, error) {
	ns, err := newNamespace(l.prefix + name)
	if err != nil {
		return nil, err
	}
	h := &Host{lab: l, name: name, n: n, port: fmt.Sprintf("port%d", n), ns: ns}
	if err := h.build(); err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return h, nil
}

// quiet is what a host of the lab is, whatever the machine's own settings: it
// forwards nothing, checks no return path, and uses addresses at once.
var quiet = [][2]string{
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/all/arp_ignore", "0"},
	{"net/ipv4/conf/all/arp_announce", "0"},
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	{"net/ipv6/conf/all/forwarding", "0"},
	{"net/ipv6/conf/all/accept_dad", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	{"net/ipv6/conf/all/accept_ra", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
}

func (h *Host) build() error {
	for _, s := range quiet {
		if err := h.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	if err := h.lab.sw.connect(h.port, h.n, h.ns); err != nil {
		return err
	}
	if err := h.LinkUp("eth0"); err != nil {
		return err
	}
	var err error
	h.forks, err = newForker(h.ns)
	return err
}

// Name is the name given to AddHost.
func (h *Host) Name() string { return h.name }

// Namespace is the name for `ip netns exec`.
func (h *Host) Namespace() string { return h.ns.name }

// MAC is the hardware address of eth0.
func (h *Host) MAC() net.HardwareAddr { return mac(0, h.n) }

// Do runs f on a thread inside the host's namespace. What f opens itself stays
// in the namespace; goroutines that f starts are outside. Processes are started
// with Start, not here: a process dies with the thread that made it.
func (h *Host) Do(f func() error) error { return h.ns.do(f) }

// Sysctl sets a kernel setting of the host, named as in net/ipv4/ip_forward.
func (h *Host) Sysctl(name, value string) error { return h.ns.sysctl(name, value) }

// Listen opens a listener on the host.
func (h *Host) Listen(network, addr string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), network, addr)
		return err
	})
	return l, err
}

// Ports that the kernel does not give out of itself (ip_local_port_range).
const firstPort, lastPort = 10000, 32767

// freshPort is a local port that no connection of the host has had since the
// last 22768. A director remembers the ports of a client for minutes, and sends
// a port that comes again to the server that it had.
func (h *Host) freshPort() int {
	return firstPort + int(h.ports.Add(1)-1)%(lastPort-firstPort+1)
}

// DialContext connects from the host, each time from a fresh local port. addr
// must hold a literal address: names would be looked up outside.
func (h *Host) DialContext(ctx context.Context, network, addr string) (c net.Conn, err error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dial from host %q: %w", h.name, err)
	}
	err = h.Do(func() (err error) {
		d := net.Dialer{}
		if strings.HasPrefix(network, "tcp") {
			d.LocalAddr = &net.TCPAddr{Port: h.freshPort()}
		}
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// LinkUp sets a link of the host up.
func (h *Host) LinkUp(dev string) error { return h.setLink(dev, true) }

// LinkDown sets a link of the host down; IPv6 addresses on it are lost, as on
// any host.
func (h *Host) LinkDown(dev string) error { return h.setLink(dev, false) }

func (h *Host) setLink(dev string, up bool) error {
	link, err := h.ns.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find link %q of host %q: %w", dev, h.name, err)
	}
	set := h.ns.nl.LinkSetDown
	if up {
		set = h.ns.nl.LinkSetUp
	}
	if err := set(link); err != nil {
		return fmt.Errorf("switch link %q of host %q: %w", dev, h.name, err)
	}
	return nil
}

// SetMTU sets the longest IP packet of eth0 and of its port at the switch, in
// octets. The switch takes what its shortest port does: all hosts need it.
func (h *Host) SetMTU(octets int) error {
	link, err := h.ns.nl.LinkByName("eth0")
	if err == nil {
		err = h.ns.nl.LinkSetMTU(link, octets)
	}
	if err != nil {
		return fmt.Errorf("set MTU of host %q: %w", h.name, err)
	}
	return h.lab.sw.setMTU(h.port, octets)
}

// Unplug pulls the cable of eth0 at the switch: no traffic, no carrier.
func (h *Host) Unplug() error { return h.lab.sw.setPort(h.port, false) }

// Plug puts the cable back.
func (h *Host) Plug() error { return h.lab.sw.setPort(h.port, true) }

// Isolate cuts eth0 off with the carrier kept, like a switch that lost its
// configuration: the host cannot tell.
func (h *Host) Isolate() error { return h.lab.sw.setMember(h.port, false) }

// Join ends Isolate.
func (h *Host) Join() error { return h.lab.sw.setMember(h.port, true) }

// AddAddress puts an address on a link of the host, without duplicate address
// detection.
func (h *Host) AddAddress(dev string, p netip.Prefix) error {
	return h.changeAddress(dev, p, h.ns.nl.AddrAdd, "add")
}

// DelAddress takes an address away.
func (h *Host) DelAddress(dev string, p netip.Prefix) error {
	return h.changeAddress(dev, p, h.ns.nl.AddrDel, "delete")
}

func (h *Host) changeAddress(dev string, p netip.Prefix, change func(netlink.Link, *netlink.Addr) error, verb string) error {
	link, err := h.ns.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find link %q of host %q: %w", dev, h.name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := change(link, addr); err != nil {
		return fmt.Errorf("%s address %v on %q of host %q: %w", verb, p, dev, h.name, err)
	}
	return nil
}

// Addresses lists the addresses on a link of the host.
func (h *Host) Addresses(dev string) ([]netip.Prefix, error) {
	link, err := h.ns.nl.LinkByName(dev)
	if err != nil {
		return nil, fmt.Errorf("find link %q of host %q: %w", dev, h.name, err)
	}
	list, err := h.ns.nl.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses on %q of host %q: %w", dev, h.name, err)
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out, nil
}

// HasAddress tells whether the address is on the link.
func (h *Host) HasAddress(dev string, addr netip.Addr) (bool, error) {
	list, err := h.Addresses(dev)
	for _, p := range list {
		if p.Addr() == addr {
			return true, nil
		}
	}
	return false, err
}

// AddRoute adds a route through a gateway on eth0's network.
func (h *Host) AddRoute(dst netip.Prefix, via netip.Addr) error {
	route := &netlink.Route{Gw: via.AsSlice(),
		Dst: &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), dst.Addr().BitLen())}}
	if err := h.ns.nl.RouteAdd(route); err != nil {
		return fmt.Errorf("add route %v via %v on host %q: %w", dst, via, h.name, err)
	}
	return nil
}

// BeRealServer makes the host a direct-routing real server: the virtual
// addresses on lo, and no ARP for them.
func (h *Host) BeRealServer(vips ...netip.Addr) error {
	for _, dev := range []string{"all", "lo"} {
		if err := errors.Join(h.Sysctl("net/ipv4/conf/"+dev+"/arp_ignore", "1"), h.Sysctl("net/ipv4/conf/"+dev+"/arp_announce", "2")); err != nil {
			return err
		}
	}
	for _, v := range vips {
		if err := h.AddAddress("lo", netip.PrefixFrom(v, v.BitLen())); err != nil {
			return err
		}
	}
	return nil
}

// atClose runs f when the lab is closed.
func (h *Host) atClose(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, f)
}

func (h *Host) close() error {
	h.mu.Lock()
	closers := h.closers
	h.closers = nil
	h.mu.Unlock()
	for _, c := range closers {
		c()
	}
	h.forks.stop()
	return h.ns.close()
}
