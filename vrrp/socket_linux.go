package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is the way of one virtual router onto its link.
type Conn interface {
	// Send sends one packet.
	Send(o Outgoing) error
	// Glance has fn look at each packet first, in the goroutine that reads the
	// socket; fn must not wait. One that it has taken is not Pending.
	Glance(fn func(p Packet) (taken bool))
	// Ready has a value when something may have arrived for the router, or the
	// way has failed.
	Ready() <-chan struct{}
	// Err is why the way has failed; nil while it works.
	Err() error
	// Collect asks the kernel for what has arrived: after a long pause Ready may
	// not know it yet.
	Collect()
	// Pending gives the next packet that has been collected, without waiting.
	Pending() (Packet, bool)
	Close() error
}

// maxPacket is more than the longest advertisement: 255 addresses of IPv6.
const maxPacket = 6144

// receiveBuffer holds what arrives in a tenth of a second at 10,000 packets a
// second, in octets as the kernel counts them.
const receiveBuffer = 1 << 20

// rawConn is a raw socket bound to one interface. It is not with the runtime's
// poller, which would wake for each packet: Serve waits for it with a thread.
type rawConn struct {
	file   *os.File
	fd     int // of file, for the goroutine of Serve
	endMu  sync.Mutex
	end    int // eventfd: Serve is to end; -1: it has
	raw    syscall.RawConn
	key    hubKey
	closed atomic.Bool
	buf    []byte
	oob    []byte
}

// DialRaw opens a socket for one virtual router: bound to the interface, joined
// to the group unless there are unicast peers, deaf to other virtual routers.
// Call it within the network namespace of the interface.
func DialRaw(c *Config) (Conn, error) { return newHubs(nil).open(c, c.Interface) }

// dialRaw opens the socket of a hub for routers such as c.
func dialRaw(c *Config, key hubKey) (*rawConn, error) {
	domain, protocol := unix.AF_INET, protocolNumber
	if c.Family == 6 {
		domain = unix.AF_INET6
	} else if key.ah {
		protocol = ahProtocol
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	setUp := setUp4
	if c.Family == 6 {
		setUp = setUp6
	}
	for _, set := range []func() error{
		func() error { return filterVRIDs(fd, key, nil) }, // until the first router joins
		func() error { return unix.BindToDevice(fd, key.device) },
		func() error { return setUp(fd, key.index, c) },
		func() error { return sendForeign(fd, key) },
	} {
		if err := set(); err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "vrrp:"+key.device)
	raw, err := file.SyscallConn()
	if err == nil { // only now, or the runtime's poller would have it
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(end), file.Close())
	}
	return &rawConn{file: file, fd: fd, end: end, raw: raw, key: key, buf: make([]byte, maxPacket), oob: make([]byte, 128)}, nil
}

// setUp4 lets us write the IP header, and joins the group.
func setUp4(fd, index int, c *Config) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_HDRINCL, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_HDRINCL", err)
	}
	if len(c.Peers) > 0 {
		return nil
	}
	mreq := &unix.IPMreqn{Ifindex: int32(index)}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreq); err != nil {
		return os.NewSyscallError("setsockopt IP_MULTICAST_IF", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0); err != nil {
		return os.NewSyscallError("setsockopt IP_MULTICAST_LOOP", err)
	}
	mreq.Multiaddr = c.Group.As4()
	return os.NewSyscallError("setsockopt IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq))
}

func setUp6(fd, index int, c *Config) error {
	type option struct {
		name       string
		opt, value int
	}
	options := []option{
		{"IPV6_TCLASS", unix.IPV6_TCLASS, advertTOS},
		{"IPV6_RECVPKTINFO", unix.IPV6_RECVPKTINFO, 1},
		{"IPV6_RECVHOPLIMIT", unix.IPV6_RECVHOPLIMIT, 1},
	}
	if len(c.Peers) > 0 {
		hops := advertTTL
		if c.UnicastTTL != 0 {
			hops = int(c.UnicastTTL)
		}
		options = append(options, option{"IPV6_UNICAST_HOPS", unix.IPV6_UNICAST_HOPS, hops})
	} else {
		options = append(options, option{"IPV6_MULTICAST_IF", unix.IPV6_MULTICAST_IF, index},
			option{"IPV6_MULTICAST_LOOP", unix.IPV6_MULTICAST_LOOP, 0},
			option{"IPV6_MULTICAST_HOPS", unix.IPV6_MULTICAST_HOPS, advertTTL})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, o.opt, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	if len(c.Peers) > 0 {
		return nil
	}
	mreq := &unix.IPv6Mreq{Multiaddr: c.Group.As16(), Interface: uint32(index)}
	return os.NewSyscallError("setsockopt IPV6_JOIN_GROUP", unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, mreq))
}

// sendForeign lets a socket on another device than the interface send from the
// interface's link-local address. IPv4, whose header is ours, needs no leave.
func sendForeign(fd int, key hubKey) error {
	if key.family != 6 || !key.foreign {
		return nil
	}
	return os.NewSyscallError("setsockopt IPV6_FREEBIND", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
}

// filterVRIDs leaves other virtual routers to the kernel. The filter of a raw
// IPv4 socket sees the IP header first, that of an IPv6 one does not (raw_rcv,
// rawv6_rcv_skb).
func filterVRIDs(fd int, key hubKey, vrids []uint8) error {
	offset := uint32(1)
	if key.ah {
		offset += ahLen
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: offset},
	}
	if key.family == 6 {
		program = []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: offset}}
	}
	for _, vrid := range vrids { // a jump reaches 255 instructions, so each has its end beside it
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(vrid), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1<<31 - 1})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	fprog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog))
}

// receive sets how much the socket holds, in octets. A flood is not to push the
// advertisements of a master out; without the privilege the usual size has to
// do.
func (c *rawConn) receive(octets int) {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets) })
}

// unfilter lets the packets of all virtual routers in.
func (c *rawConn) unfilter() error {
	var err error
	controlErr := c.raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_DETACH_FILTER", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
	})
	if errors.Is(err, unix.ENOENT) { // there is none
		err = nil
	}
	return errors.Join(controlErr, err)
}

// filter lets packets of these virtual routers in, and of no others.
func (c *rawConn) filter(vrids []uint8) error {
	var filterErr error
	err := c.raw.Control(func(fd uintptr) { filterErr = filterVRIDs(int(fd), c.key, vrids) })
	return errors.Join(err, filterErr)
}

// Close ends Serve, which closes the socket.
func (c *rawConn) Close() error {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	c.closed.Store(true)
	if c.end < 0 {
		return nil
	}
	_, err := unix.Write(c.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return os.NewSyscallError("end the reader of a socket", err)
}

// Send sends one packet.
func (c *rawConn) Send(o Outgoing) error {
	var sendErr error
	err := c.raw.Control(func(fd uintptr) {
		if c.key.family == 6 {
			info := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: o.Src.As16(), Ifindex: uint32(c.key.index)})
			sendErr = unix.Sendmsg(int(fd), o.Payload, info, &unix.SockaddrInet6{Addr: o.Dst.As16(), ZoneId: uint32(c.key.index)}, unix.MSG_DONTWAIT)
			return
		}
		sendErr = unix.Sendto(int(fd), append(o.Header, o.Payload...), unix.MSG_DONTWAIT, &unix.SockaddrInet4{Addr: o.Dst.As4()})
	})
	if err = errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("send advertisement to %s: %w", o.Dst, err)
	}
	return nil
}

// Serve calls collect whenever there may be something to receive, at the earliest
// after the rest that the last call gave, until it gives an error; it ends with
// net.ErrClosed after Close. Then the socket is closed.
func (c *rawConn) Serve(collect func() (rest time.Duration, err error)) error {
	defer func() {
		c.endMu.Lock()
		defer c.endMu.Unlock()
		_, _ = c.file.Close(), unix.Close(c.end) // nothing is buffered in them
		c.end = -1
	}()
	for {
		err := c.wait()
		if c.closed.Load() {
			return net.ErrClosed
		}
		var rest time.Duration
		if err == nil {
			rest, err = collect()
		}
		if err != nil {
			return fmt.Errorf("wait for advertisements: %w", err)
		}
		if rest > 0 {
			time.Sleep(rest)
		}
	}
}

// wait returns when there is something to receive, or after Close.
func (c *rawConn) wait() error {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.end), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
	}
}

// errNothing says that no packet is waiting.
var errNothing = errors.New("nothing has arrived")

// Pending receives a packet that has arrived already, or gives errNothing. It
// asks the kernel, not the runtime's poller: after a long pause the poller may
// not know yet what the socket holds.
func (c *rawConn) Pending() (p Packet, err error) {
	controlErr := c.raw.Control(func(fd uintptr) {
		if c.key.family == 4 { // sender and TTL are in the packet
			n, readErr := unix.Read(int(fd), c.buf)
			if err = readErr; err == nil {
				p = packet4(append([]byte(nil), c.buf[:n]...))
			}
			return
		}
		n, oobn, _, from, recvErr := unix.Recvmsg(int(fd), c.buf, c.oob, unix.MSG_DONTWAIT)
		if err = recvErr; err != nil {
			return
		}
		var sender netip.Addr
		if sa, is6 := from.(*unix.SockaddrInet6); is6 {
			sender = netip.AddrFrom16(sa.Addr)
		}
		p = packet6(append([]byte(nil), c.buf[:n]...), c.oob[:oobn], sender)
	})
	switch {
	case controlErr != nil:
		return p, controlErr
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return p, errNothing
	}
	return p, err
}

// packet4 takes an IPv4 packet apart; what is too short comes out empty and is
// refused for that.
func packet4(b []byte) Packet {
	if len(b) < ipv4HeaderLen || int(b[0]&0x0f)*4 < ipv4HeaderLen || len(b) < int(b[0]&0x0f)*4 {
		return Packet{}
	}
	n := int(b[0]&0x0f) * 4
	from, _ := netip.AddrFromSlice(b[12:16])
	to, _ := netip.AddrFromSlice(b[16:20])
	return Packet{From: from, To: to, TTL: int(b[8]), Header: b[:n], Payload: b[n:]}
}

// packet6 reads destination and hop limit from the control messages (RFC 3542).
func packet6(b, oob []byte, from netip.Addr) Packet {
	p := Packet{From: from, Payload: b}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return p
	}
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IPV6 {
			continue
		}
		switch {
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.TTL = int(binary.NativeEndian.Uint32(m.Data))
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			p.To = netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return p
}
