package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where `ip netns` looks for named namespaces.
const netnsDir = "/run/netns"

// namespace is a named network namespace with a netlink handle into it.
type namespace struct {
	name string
	nl   *netlink.Handle

	mu     sync.RWMutex // a handle closed in use would be another file's number
	handle netns.NsHandle
}

// newNamespace makes a named namespace with lo up. The caller's namespace does
// not change.
func newNamespace(name string) (*namespace, error) {
	n := &namespace{name: name, handle: netns.None()}
	made := make(chan error, 1)
	onOwnThread(func() {
		var err error
		n.handle, err = netns.NewNamed(name)
		made <- err
	})
	err := <-made
	if err != nil {
		return nil, fmt.Errorf("make namespace %q: %w", name, err)
	}
	if n.nl, err = netlink.NewHandleAt(n.handle); err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %q: %w", name, err), n.close())
	}
	lo, err := n.nl.LinkByName("lo")
	if err == nil {
		err = n.nl.LinkSetUp(lo)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set lo up in %q: %w", name, err), n.close())
	}
	return n, nil
}

func (n *namespace) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nl != nil {
		n.nl.Close()
	}
	if n.handle.IsOpen() {
		return n.handle.Close()
	}
	return nil
}

// do runs f with the calling thread in the namespace and puts the thread back.
// Only sockets and files that f opens itself, not in goroutines it starts,
// belong to the namespace.
func (n *namespace) do(f func() error) error {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read own namespace: %w", err)
	}
	defer before.Close()
	if err := n.enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that cannot go back stays locked: the runtime ends it with
		// its goroutine instead of giving it to another one.
		if err := netns.Set(before); err == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// enter moves the calling thread into the namespace.
func (n *namespace) enter() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.handle.IsOpen() {
		return fmt.Errorf("enter namespace %q: the lab is closed", n.name)
	}
	if err := netns.Set(n.handle); err != nil {
		return fmt.Errorf("enter namespace %q: %w", n.name, err)
	}
	return nil
}

// sysctl writes a value, with the name in the form net/ipv4/ip_forward.
func (n *namespace) sysctl(name, value string) error {
	return n.do(func() error {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("set sysctl in %q: %w", n.name, err)
		}
		return nil
	})
}

// onOwnThread runs f on a thread that ends afterwards, so that f may leave it
// in another namespace. It is never the main thread, which does not end and
// whose namespace others take for that of the whole process.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		began := make(chan struct{})
		onOwnThread(func() {
			close(began)
			f()
		})
		<-began // this goroutine has kept the main thread for itself until now
		runtime.UnlockOSThread()
	}()
}

// removeNamespace takes the name away; the namespace itself ends with its last
// process, socket or handle.
func removeNamespace(name string) error {
	path := filepath.Join(netnsDir, name)
	// EINVAL: the file is there but nothing is mounted on it.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmount %q: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove namespace: %w", err)
	}
	return nil
}

func mountBPFFS(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make directory for bpffs: %w", err)
	}
	if err := unix.Mount("bpf", path, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs on %q: %w", path, err)
	}
	return nil
}

// unmountAndRemove removes a lab's directory, the BPF file system in it first.
func unmountAndRemove(dir string) error {
	err := unix.Unmount(filepath.Join(dir, "bpf"), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("unmount bpffs of %q: %w", dir, err)
	}
	return os.RemoveAll(dir)
}
