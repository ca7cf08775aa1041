package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dial connects to Addr; network is tcp or udp, and the family is that of Addr.
// There is no keep-alive and no second address: a probe is one attempt.
func (c Connect) dial(ctx context.Context, network string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	c = c.unzoned()
	d := net.Dialer{KeepAlive: -1, ControlContext: c.control}
	bind := netip.AddrPortFrom(c.BindAddr, c.BindPort)
	if !bind.Addr().IsValid() && bind.Port() != 0 {
		bind = netip.AddrPortFrom(anyAddr(c.Addr.Addr()), bind.Port())
	}
	if bind.Addr().IsValid() {
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(bind)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(bind)
		}
	}
	conn, err := d.DialContext(ctx, network, c.Addr.String())
	if tcp, ok := conn.(*net.TCPConn); ok && c.BindPort != 0 {
		// A close by RST leaves no TIME-WAIT, in which the next probe from the
		// same port could not connect for a minute.
		tcp.SetLinger(0)
	}
	return conn, err
}

// control sets what must be set before bind and connect.
func (c Connect) control(_ context.Context, network, _ string, raw syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		err = c.setOptions(int(fd))
		if err == nil && strings.HasPrefix(network, "udp") {
			err = reportErrors(int(fd), strings.HasSuffix(network, "6"))
		}
	}
	if e := raw.Control(set); e != nil {
		return e
	}
	return err
}

func (c Connect) setOptions(fd int) error {
	if c.Mark != 0 {
		// The kernel takes all 32 bits; the cast keeps them on 32-bit machines.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(int32(c.Mark))); err != nil {
			return &optionError{"fwmark", err}
		}
	}
	if c.BindIf != "" {
		if err := unix.BindToDevice(fd, c.BindIf); err != nil {
			return &optionError{"bind_if " + c.BindIf, err}
		}
	}
	if c.BindPort != 0 {
		// Connections of others from that port may be in TIME-WAIT.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return &optionError{"bind_port", err}
		}
	}
	return nil
}

// reportErrors makes ICMP errors that the kernel takes for passing ones, such
// as "host unreachable", fail a connected datagram socket.
func reportErrors(fd int, v6 bool) error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	return unix.SetsockoptInt(fd, level, option, 1)
}

type optionError struct {
	option string
	err    error
}

func (e *optionError) Error() string { return "set " + e.option + ": " + e.err.Error() }
func (e *optionError) Unwrap() error { return e.err }

// anyAddr is the unspecified address of the family of a.
func anyAddr(a netip.Addr) netip.Addr {
	if a.Is4() || a.Is4In6() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// failure turns the error of a probe into its result. What only tells that
// this host has run out of something is no verdict on the server.
func failure(err error) Result {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return Result{Inconclusive: true, Reason: "cannot probe: " + err.Error()}
		}
	}
	reason := strip(err)
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, net.ErrClosed): // by the end of the probe's time, a hair before the deadline
		reason = "timed out: " + strings.Replace(reason, net.ErrClosed.Error(), os.ErrDeadlineExceeded.Error(), 1)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		reason = "timed out: " + reason
	}
	return Result{Reason: clip(reason)}
}

// clip bounds a text that may be the server's to write.
func clip(text string) string {
	const most = 240
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// strip removes the addresses that package net repeats: reasons are shown
// beside the checker, and an ephemeral source port would make each one new.
func strip(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Err == nil {
		return err.Error()
	}
	text := op.Err.Error()
	// os.SyscallError: "connect: connection refused"
	if op.Op != "" && !strings.HasPrefix(text, op.Op) {
		text = op.Op + ": " + text
	}
	return strings.Replace(err.Error(), op.Error(), text, 1)
}
