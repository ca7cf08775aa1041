package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Ping is PING_CHECK: one ICMP echo request that is answered. The ports of its
// Connect mean nothing.
type Ping struct {
	connect Connect
	seq     uint16
}

// NewPing returns a PING_CHECK.
func NewPing(c Connect) *Ping { return &Ping{connect: c} }

// Limit is the connect timeout.
func (p *Ping) Limit() time.Duration { return p.connect.timeout() }

func (p *Ping) String() string { return "PING_CHECK " + p.connect.Addr.Addr().String() }

// Check sends one echo request and waits for its reply.
func (p *Ping) Check(ctx context.Context) Result {
	socket, raw, err := p.open()
	if err != nil {
		return failure(fmt.Errorf("open ICMP socket: %w", err))
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })()
	if ctx.Err() != nil {
		return failure(ctx.Err())
	}
	p.seq++
	echo := &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: int(p.seq), Data: make([]byte, 24)}
	rand.Read(echo.Data) // never fails; tells our reply from those to others
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: echo}
	if p.v6() {
		request.Type = ipv6.ICMPTypeEchoRequest
	}
	packet, err := request.Marshal(nil) // the kernel does the checksum of ICMPv6
	if err == nil {
		_, err = socket.Write(packet)
	}
	if err != nil {
		return failure(fmt.Errorf("send echo request: %w", cause(err)))
	}
	return p.await(socket, raw, echo)
}

// await reads until the reply to echo comes or the deadline.
func (p *Ping) await(socket *os.File, raw bool, echo *icmp.Echo) Result {
	protocol, want := unix.IPPROTO_ICMP, icmp.Type(ipv4.ICMPTypeEchoReply)
	if p.v6() {
		protocol, want = unix.IPPROTO_ICMPV6, ipv6.ICMPTypeEchoReply
	}
	buffer := make([]byte, 1500)
	for {
		n, err := socket.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return Result{Reason: "timed out: no echo reply"}
		}
		if err != nil {
			return failure(fmt.Errorf("await echo reply: %w", cause(err)))
		}
		packet := buffer[:n]
		if raw && !p.v6() { // the kernel leaves the IPv4 header on, checked
			packet = packet[min(n, int(packet[0]&0xf)*4):]
		}
		m, err := icmp.ParseMessage(protocol, packet)
		if err != nil || m.Type != want {
			continue
		}
		if reply, ok := m.Body.(*icmp.Echo); ok && reply.Seq == echo.Seq && bytes.Equal(reply.Data, echo.Data) {
			return Result{OK: true, Reason: "echo reply"}
		}
	}
}

// open returns a connected ICMP socket. The datagram kind needs no privilege
// but the consent of net.ipv4.ping_group_range; where that is missing a raw
// socket does, rather than changing a setting of the host as keepalived does.
func (p *Ping) open() (socket *os.File, raw bool, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if p.v6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|flags, protocol)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		raw = true
		fd, err = unix.Socket(family, unix.SOCK_RAW|flags, protocol)
	}
	if err != nil {
		return nil, raw, err
	}
	if err := p.prepare(fd); err != nil {
		unix.Close(fd)
		return nil, raw, err
	}
	return os.NewFile(uintptr(fd), "ping"), raw, nil
}

// prepare sets options, the source and the peer.
func (p *Ping) prepare(fd int) error {
	c := p.connect.unzoned()
	c.BindPort = 0
	if err := errors.Join(c.setOptions(fd), reportErrors(fd, p.v6())); err != nil {
		return err
	}
	if c.BindAddr.IsValid() {
		if err := unix.Bind(fd, sockaddr(c.BindAddr)); err != nil {
			return fmt.Errorf("bind to %s: %w", c.BindAddr, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(c.Addr.Addr())); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func (p *Ping) v6() bool { return !p.connect.Addr.Addr().Unmap().Is4() }

// sockaddr gives an address to the kernel, with port 0.
func sockaddr(a netip.Addr) unix.Sockaddr {
	if a = a.Unmap(); a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

// cause removes the path that package os puts before an error.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
