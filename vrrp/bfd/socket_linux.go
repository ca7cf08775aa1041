package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	singleHopPort = 3784 // RFC 5881 section 4
	multihopPort  = 4784 // RFC 5883 section 5
	// Source ports are from 49152 to 65535 (RFC 5881 section 4).
	firstSource = 49152
	sourcePorts = 65536 - firstSource
	sourceTries = 32
	controlTOS  = 0xc0 // CS6, network control
)

// listenKey is what sockets that receive differ in.
type listenKey struct {
	v6       bool
	multihop bool
}

func listenKeyOf(c *Config) listenKey { return listenKey{c.Neighbor.Is6(), c.Multihop} }

func (k listenKey) port() int {
	if k.multihop {
		return multihopPort
	}
	return singleHopPort
}

func (k listenKey) network() string {
	if k.v6 {
		return "udp6"
	}
	return "udp4"
}

// listen receives packets until ctx ends. A socket that fails is opened again.
func (s *Set) listen(ctx context.Context, key listenKey) {
	last := ""
	for {
		err := s.receive(ctx, key)
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != last {
			last = text
			s.log.Error("BFD packets cannot be received, trying again", "port", key.port(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(redialAfter):
		}
	}
}

func (s *Set) receive(ctx context.Context, key listenKey) error {
	var conn net.PacketConn
	err := s.enter(func() (err error) {
		conn, err = net.ListenUDP(key.network(), &net.UDPAddr{Port: key.port()})
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	read, err := reader(conn, key.v6)
	if err != nil {
		return err
	}
	buf := make([]byte, 512)
	for {
		n, ttl, from, err := read(buf)
		if err != nil {
			return fmt.Errorf("receive BFD packets: %w", err)
		}
		if addr, ok := from.(*net.UDPAddr); ok {
			s.deliver(addr.AddrPort().Addr().Unmap().WithZone(""), ttl, key.multihop, buf[:n])
		}
	}
}

// reader asks the kernel for the TTL of each packet; -1 when it does not tell.
func reader(conn net.PacketConn, v6 bool) (func([]byte) (n, ttl int, from net.Addr, err error), error) {
	if v6 {
		p := ipv6.NewPacketConn(conn)
		return func(b []byte) (int, int, net.Addr, error) {
			n, cm, from, err := p.ReadFrom(b)
			if cm == nil {
				return n, -1, from, err
			}
			return n, cm.HopLimit, from, err
		}, p.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	p := ipv4.NewPacketConn(conn)
	return func(b []byte) (int, int, net.Addr, error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm == nil {
			return n, -1, from, err
		}
		return n, cm.TTL, from, err
	}, p.SetControlMessage(ipv4.FlagTTL, true)
}

// udpSender sends from one port to the neighbor.
type udpSender struct {
	conn net.PacketConn
	to   net.Addr
}

// dial opens the socket that a session sends by.
func dial(c *Config) (sender, error) {
	key := listenKeyOf(c)
	var conn *net.UDPConn
	var err error
	for range sourceTries {
		local := &net.UDPAddr{Port: firstSource + rand.IntN(sourcePorts)}
		if c.Source.IsValid() {
			local.IP, local.Zone = c.Source.AsSlice(), c.Source.Zone()
		}
		if conn, err = net.ListenUDP(key.network(), local); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if key.v6 {
		p := ipv6.NewConn(conn)
		err = errors.Join(p.SetHopLimit(int(c.TTL)), p.SetTrafficClass(controlTOS))
	} else {
		p := ipv4.NewConn(conn)
		err = errors.Join(p.SetTTL(int(c.TTL)), p.SetTOS(controlTOS))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up socket: %w", err), conn.Close())
	}
	return &udpSender{conn, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Neighbor, uint16(key.port())))}, nil
}

// Send implements sender. The error that an earlier packet has caused, which
// UDP tells with the next one, is none of this packet.
func (u *udpSender) Send(b []byte) error {
	_, err := u.conn.WriteTo(b, u.to)
	if errors.Is(err, unix.ECONNREFUSED) {
		_, err = u.conn.WriteTo(b, u.to)
	}
	return err
}

// Close implements sender.
func (u *udpSender) Close() error { return u.conn.Close() }
