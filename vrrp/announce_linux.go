package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// AnnounceSockets sends gratuitous ARP and unsolicited neighbour advertisements
// for all virtual routers: one socket an interface and family, and one pace for
// the interfaces that share it. Its methods may be called from any goroutine.
type AnnounceSockets struct {
	nl    *Netlink
	links *LinkMonitor

	mu      sync.Mutex
	sockets map[string]*announceSocket
	paces   map[string]*pace
	garp    time.Duration // of interfaces without a pace set for them
	gna     time.Duration
}

// NewAnnounceSockets prepares the sender; sockets are opened when first used.
func NewAnnounceSockets(nl *Netlink, links *LinkMonitor) *AnnounceSockets {
	return &AnnounceSockets{nl: nl, links: links, sockets: map[string]*announceSocket{}, paces: map[string]*pace{}}
}

// Pace is the least time between two gratuitous ARPs and between two neighbour
// advertisements on some interfaces together (garp_group); 0 is none.
type Pace struct {
	Devices   []string
	GARP, GNA time.Duration
}

// SetPaces replaces what was set before: the interfaces of a group share its
// pace, each other interface has one of its own with the times garp and gna
// (vrrp_garp_interval and vrrp_gna_interval).
func (s *AnnounceSockets) SetPaces(garp, gna time.Duration, groups []Pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.garp, s.gna = garp, gna
	clear(s.paces)
	for _, g := range groups {
		p := newPace(g.GARP, g.GNA)
		for _, d := range g.Devices {
			s.paces[d] = p
		}
	}
}

// pace gives the pace of an interface.
func (s *AnnounceSockets) pace(device string) *pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paces[device]
	if p == nil {
		p = newPace(s.garp, s.gna)
		s.paces[device] = p
	}
	return p
}

// Close closes all sockets.
func (s *AnnounceSockets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for device, k := range s.sockets {
		errs = append(errs, k.close())
		delete(s.sockets, device)
	}
	return errors.Join(errs...)
}

// Send announces each address n times, all of them before any is repeated. An
// interface that fails is left out from then on; the joined errors name it.
// Interfaces without ARP are passed over. It returns when all is sent, which a
// pace makes long, or when ctx ends.
func (s *AnnounceSockets) Send(ctx context.Context, addrs []VirtualAddress, n int) error {
	var errs []error
	failed := map[string]bool{}
	for range n {
		for _, a := range addrs {
			if failed[a.Device] {
				continue
			}
			err := s.sendOne(ctx, a)
			if ctx.Err() != nil {
				return errors.Join(append(errs, ctx.Err())...)
			}
			if err != nil {
				failed[a.Device] = true
				errs = append(errs, fmt.Errorf("announce %q on %q: %w", a.Addr(), a.Device, err))
			}
		}
	}
	return errors.Join(errs...)
}

// sendOne waits for its turn and sends one packet.
func (s *AnnounceSockets) sendOne(ctx context.Context, a VirtualAddress) error {
	link := s.links.Get(a.Device)
	switch {
	case !link.Exists:
		return errors.New("no such interface")
	case !link.CanARP:
		return nil
	}
	if err := s.pace(a.Device).wait(ctx, a.Addr().Is4()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.socket(link)
	if err != nil {
		return err
	}
	send := k.neighborAdvertisement
	if a.Addr().Is4() {
		send = k.gratuitousARP
	}
	err = send(s.nl, a.Addr())
	if errors.Is(err, unix.ENETDOWN) && link.Up {
		// A packet socket keeps the error of an interface that went down and
		// gives it to the first send after it is up again (packet(7)).
		err = send(s.nl, a.Addr())
	}
	return err
}

// socket gives the sockets of an interface, new ones if it was made anew or got
// another hardware address. The lock is held.
func (s *AnnounceSockets) socket(link LinkState) (*announceSocket, error) {
	k := s.sockets[link.Name]
	if k != nil && k.ifi.Index == link.Index && k.link.HardwareAddr == link.HardwareAddr {
		k.link = link
		return k, nil
	}
	if k != nil {
		_ = k.close() // an interface that is gone has nothing to lose
		delete(s.sockets, link.Name)
	}
	mac := link.MAC()
	if len(mac) != 6 {
		return nil, fmt.Errorf("hardware address %q is not one of Ethernet", link.HardwareAddr)
	}
	k = &announceSocket{link: link, ifi: &net.Interface{Index: link.Index, MTU: link.MTU, Name: link.Name,
		HardwareAddr: mac, Flags: net.FlagUp | net.FlagBroadcast | net.FlagMulticast}}
	s.sockets[link.Name] = k
	return k, nil
}

// announceSocket is the sockets of one interface, each opened on first use.
type announceSocket struct {
	link LinkState
	ifi  *net.Interface
	arp  *arp.Client
	ndp  *ndp.Conn
	src6 netip.Addr // the address that ndp is bound to
}

func (k *announceSocket) close() error {
	var errs []error
	if k.arp != nil {
		errs = append(errs, k.arp.Close())
	}
	if k.ndp != nil {
		errs = append(errs, k.ndp.Close())
	}
	k.arp, k.ndp = nil, nil
	return errors.Join(errs...)
}

// broadcastMAC is the Ethernet broadcast address.
func broadcastMAC() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// gratuitousARP sends a broadcast ARP request in which sender and target are
// the address (RFC 5227 §3; RFC 9568 §6.4.2). The target hardware address, which
// a request leaves open, is the broadcast address as in keepalived.
func (k *announceSocket) gratuitousARP(nl *Netlink, addr netip.Addr) error {
	if k.arp == nil {
		if err := nl.Do(k.openARP); err != nil {
			return err
		}
	}
	p, err := arp.NewPacket(arp.OperationRequest, k.ifi.HardwareAddr, addr, broadcastMAC(), addr)
	if err != nil {
		return err
	}
	return k.arp.WriteTo(p, broadcastMAC())
}

// openARP opens a socket that receives nothing: nobody reads it.
func (k *announceSocket) openARP() error {
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	conn, err := packet.Listen(k.ifi, packet.Raw, unix.ETH_P_ARP, &packet.Config{Filter: nothing})
	if err != nil {
		return err
	}
	if k.arp, err = arp.New(k.ifi, conn); err != nil {
		k.arp = nil
		return errors.Join(err, conn.Close())
	}
	return nil
}

// neighborAdvertisement tells all nodes the address, with the router and
// override flags and without the solicited one (RFC 9568 §6.4.2, RFC 4861 §7.2.6).
func (k *announceSocket) neighborAdvertisement(nl *Netlink, addr netip.Addr) error {
	src := k.link.LinkLocal6
	if !src.IsValid() {
		src = addr // it is an address of the interface too
	}
	if k.ndp != nil && k.src6 != src {
		_ = k.ndp.Close()
		k.ndp = nil
	}
	if k.ndp == nil {
		if err := nl.Do(func() error { return k.openNDP(src) }); err != nil {
			return err
		}
	}
	na := &ndp.NeighborAdvertisement{Router: true, Override: true, TargetAddress: addr,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: k.ifi.HardwareAddr}}}
	return k.ndp.WriteTo(na, nil, netip.IPv6LinkLocalAllNodes())
}

// openNDP opens a socket that receives nothing: nobody reads it.
func (k *announceSocket) openNDP(src netip.Addr) error {
	// By number: for names the net package remembers numbers of other namespaces,
	// and of interfaces that have been made anew since.
	ifi := *k.ifi
	ifi.Name = strconv.Itoa(ifi.Index)
	conn, _, err := ndp.Listen(&ifi, ndp.Addr(src.WithZone("").String()))
	if err != nil {
		return err
	}
	nothing := &ipv6.ICMPFilter{}
	nothing.SetAll(true)
	if err := conn.SetICMPFilter(nothing); err != nil {
		return errors.Join(err, conn.Close())
	}
	k.ndp, k.src6 = conn, src
	return nil
}

// AddressAnnouncer announces the addresses of one virtual router.
type AddressAnnouncer struct {
	sockets *AnnounceSockets
	owner   *AddressOwner
}

// NewAddressAnnouncer announces what owner has in its list.
func NewAddressAnnouncer(sockets *AnnounceSockets, owner *AddressOwner) *AddressAnnouncer {
	return &AddressAnnouncer{sockets: sockets, owner: owner}
}

// Announce announces each address n times; see AnnounceSockets.Send.
func (a *AddressAnnouncer) Announce(ctx context.Context, n int) error {
	return a.sockets.Send(ctx, a.owner.Addresses(), n)
}

// AnnounceOnly announces those addresses n times, the ones just added.
func (a *AddressAnnouncer) AnnounceOnly(ctx context.Context, addrs []VirtualAddress, n int) error {
	return a.sockets.Send(ctx, slices.Clone(addrs), n)
}
