package vrrp

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// dumpTries bounds the repetition of a dump that the kernel marks as
	// inconsistent because the table changed meanwhile (NLM_F_DUMP_INTR).
	dumpTries = 10
	// netlinkTimeout bounds a wait for the kernel's answer; it answers at once.
	netlinkTimeout = 5 * time.Second
)

// Netlink is the way to the addresses, links, routes and rules of one network
// namespace. Its methods may be called from any goroutine.
type Netlink struct {
	h  *netlink.Handle
	ns netns.NsHandle
	// foreign says that the namespace is not the process's own, so that
	// sockets have to be opened by a thread that is moved there.
	foreign bool
}

// OpenNetlink opens the network namespace of the calling thread, which is the
// process's own unless the caller has moved a locked thread.
func OpenNetlink() (*Netlink, error) {
	ns, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	own, err := processNS()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open network namespace of the process: %w", err), ns.Close())
	}
	foreign := !ns.Equal(own)
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err = errors.Join(err, own.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink: %w", err), ns.Close())
	}
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		h.Close()
		return nil, errors.Join(fmt.Errorf("set netlink timeout: %w", err), ns.Close())
	}
	return &Netlink{h: h, ns: ns, foreign: foreign}, nil
}

// processNS gives the namespace of the threads that carry goroutines at large.
// It asks on such a thread: /proc/PID/ns/net is that of the first thread, which
// may be the very one that a caller has locked and moved.
func processNS() (ns netns.NsHandle, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the namespace is asked for by thread id: it must not end meanwhile
		defer runtime.UnlockOSThread()
		ns, err = netns.Get()
	}()
	<-done
	return ns, err
}

// Close releases the sockets.
func (n *Netlink) Close() error {
	n.h.Close()
	return n.ns.Close()
}

// Do runs fn on a thread that is in the namespace, so that the sockets fn opens
// belong there.
func (n *Netlink) Do(fn func() error) error {
	if !n.foreign {
		return fn()
	}
	runtime.LockOSThread()
	back, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer back.Close()
	if err := netns.Set(n.ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	err = fn()
	if backErr := netns.Set(back); backErr != nil {
		// The thread stays locked and ends with its goroutine: it must
		// not carry others into the wrong namespace.
		return errors.Join(err, fmt.Errorf("leave network namespace: %w", backErr))
	}
	runtime.UnlockOSThread()
	return err
}

// dump repeats a listing until the kernel says that it is consistent.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var err error
	for range dumpTries {
		var got []T
		if got, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return got, err
		}
	}
	return nil, err
}

// links lists all links.
func (n *Netlink) links() ([]netlink.Link, error) {
	got, err := dump(n.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return got, nil
}

// addrs lists the addresses of both families on all links, in the kernel's order.
func (n *Netlink) addrs() ([]netlink.Addr, error) {
	got, err := dump(func() ([]netlink.Addr, error) { return n.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return got, nil
}

// index gives the number of a link.
func (n *Netlink) index(device string) (int, error) {
	link, err := n.h.LinkByName(device)
	if err != nil {
		return 0, fmt.Errorf("find interface %q: %w", device, err)
	}
	return link.Attrs().Index, nil
}

// isNotFound tells errors that mean the object is gone already.
func isNotFound(err error) bool {
	return errors.As(err, &netlink.LinkNotFoundError{}) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}
