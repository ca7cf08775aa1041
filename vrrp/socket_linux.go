package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Packet is one received IP packet of protocol 112.
type Packet struct {
	From, To netip.Addr
	TTL      int
	Payload  []byte // after the IP header
}

// Conn is the way of one virtual router onto its link. Receive is for one
// goroutine; the others may be called from any.
type Conn interface {
	// Send sends one advertisement from that source to the group.
	Send(src netip.Addr, payload []byte) error
	// Receive waits for a packet; ErrClosed after Close.
	Receive() (Packet, error)
	// Pending gives a packet that has arrived already, without waiting.
	Pending() (Packet, bool)
	// Destination is the multicast group.
	Destination() netip.Addr
	Close() error
}

// multicastConn is a raw socket bound to one interface and joined to a group.
type multicastConn struct {
	pc    *ipv4.PacketConn
	raw   syscall.RawConn
	link  *net.Interface
	group netip.Addr
}

// maxPacket is more than the longest advertisement: 255 addresses.
const maxPacket = 2048

// DialMulticast opens the socket of a virtual router on an IPv4 link.
func DialMulticast(ctx context.Context, device string, group netip.Addr) (Conn, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %q: %w", device, err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var bindErr error
		if err := c.Control(func(fd uintptr) { bindErr = unix.BindToDevice(int(fd), device) }); err != nil {
			return err
		}
		return bindErr
	}}
	conn, err := lc.ListenPacket(ctx, fmt.Sprintf("ip4:%d", protocolNumber), "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %q: %w", device, err)
	}
	pc := ipv4.NewPacketConn(conn)
	dst := &net.IPAddr{IP: group.AsSlice()}
	for _, set := range []func() error{
		func() error { return pc.JoinGroup(link, dst) },
		func() error { return pc.SetMulticastInterface(link) },
		func() error { return pc.SetMulticastTTL(advertTTL) },
		func() error { return pc.SetMulticastLoopback(false) },
		func() error { return pc.SetTOS(advertTOS) },
		func() error { return pc.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagInterface, true) },
	} {
		if err := set(); err != nil {
			return nil, errors.Join(fmt.Errorf("set up VRRP socket on %q: %w", device, err), conn.Close())
		}
	}
	raw, err := conn.(*net.IPConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &multicastConn{pc: pc, raw: raw, link: link, group: group}, nil
}

func (c *multicastConn) Destination() netip.Addr { return c.group }

func (c *multicastConn) Close() error { return c.pc.Close() }

func (c *multicastConn) Send(src netip.Addr, payload []byte) error {
	cm := &ipv4.ControlMessage{Src: src.AsSlice(), IfIndex: c.link.Index}
	if _, err := c.pc.WriteTo(payload, cm, &net.IPAddr{IP: c.group.AsSlice()}); err != nil {
		return fmt.Errorf("send advertisement on %q: %w", c.link.Name, err)
	}
	return nil
}

func (c *multicastConn) Receive() (Packet, error) {
	b := make([]byte, maxPacket)
	n, cm, from, err := c.pc.ReadFrom(b)
	if err != nil {
		return Packet{}, fmt.Errorf("receive on %q: %w", c.link.Name, err)
	}
	p := Packet{Payload: b[:n]}
	if cm != nil {
		p.TTL = cm.TTL
		p.To, _ = netip.AddrFromSlice(cm.Dst.To4())
	}
	if a, ok := from.(*net.IPAddr); ok {
		p.From, _ = netip.AddrFromSlice(a.IP.To4())
	}
	return p, nil
}

// Pending reads without waiting, and without the runtime's poller: after a long
// pause the poller may not know yet what the socket holds.
func (c *multicastConn) Pending() (Packet, bool) {
	b := make([]byte, maxPacket)
	n := 0
	// Control, not Read: Read waits for the goroutine that is in Receive.
	err := c.raw.Control(func(fd uintptr) {
		var err error
		n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT)
		if err != nil {
			n = 0
		}
	})
	if err != nil || n < 20 {
		return Packet{}, false
	}
	header := int(b[0]&0x0f) * 4 // a raw socket gives the IP header too (raw(7))
	if n < header {
		return Packet{}, false
	}
	from, _ := netip.AddrFromSlice(b[12:16])
	to, _ := netip.AddrFromSlice(b[16:20])
	return Packet{From: from, To: to, TTL: int(b[8]), Payload: b[header:n]}, true
}
