// Package lab makes small networks out of network namespaces: a switch, hosts
// with one cable each, processes and web servers on them, probes that measure
// what a client sees. Tests, `xvip demo` and benchmarks run in it. It needs
// root and nothing but the kernel: no iproute2.
//
// A Lab leaves nothing behind. Close removes everything; when the process dies
// before it can close (Ctrl-C, panic, SIGKILL), a guard process removes it; when
// the guard dies too, the next New sweeps.
package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Lab is one network: a switch and the hosts plugged into it. Its methods may
// be called from several goroutines.
type Lab struct {
	name   string
	prefix string // of every namespace: xviplab-PID-NAME-
	dir    string
	guard  *guard
	sw     *bridge

	mu     sync.Mutex
	hosts  []*Host
	bpffs  string
	closed bool
}

// labs are the names in use in this process, so that parallel tests may ask
// for the same one.
var labs = struct {
	sync.Mutex
	used map[string]bool
}{used: map[string]bool{}}

// New makes a lab with a switch and no hosts. name becomes part of the names
// of its namespaces: xviplab-PID-NAME-HOST. What dead processes left is removed
// first.
func New(name string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("make lab: network namespaces need root")
	}
	if name == "" || strings.ContainsAny(name, "/- ") {
		return nil, fmt.Errorf("make lab %q: want a name without slash, dash or space", name)
	}
	if err := Sweep(); err != nil {
		return nil, fmt.Errorf("make lab %q: %w", name, err)
	}
	l := &Lab{name: reserve(name)}
	l.prefix = fmt.Sprintf("%s%d-%s-", namePrefix, os.Getpid(), l.name)
	if err := l.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make lab %q: %w", name, err), l.Close())
	}
	return l, nil
}

func (l *Lab) build() (err error) {
	if l.dir, err = os.MkdirTemp("", strings.TrimSuffix(l.prefix, "-")+"-"); err != nil {
		return err
	}
	if l.guard, err = startGuard(l.prefix, l.dir); err != nil {
		return err
	}
	l.sw, err = newBridge(l.prefix + "switch")
	return err
}

func reserve(name string) string {
	labs.Lock()
	defer labs.Unlock()
	free := name
	for n := 2; labs.used[free]; n++ {
		free = fmt.Sprintf("%s%d", name, n)
	}
	labs.used[free] = true
	return free
}

// Dir is a directory of the lab for logs, sockets and state; Close removes it.
func (l *Lab) Dir() string { return l.dir }

// BPFFS mounts a BPF file system of the lab's own, once, and gives its path.
func (l *Lab) BPFFS() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bpffs != "" {
		return l.bpffs, nil
	}
	path := filepath.Join(l.dir, "bpf")
	if err := mountBPFFS(path); err != nil {
		return "", err
	}
	l.bpffs = path
	return path, nil
}

// AddHost makes a host called name and plugs its eth0 into the switch. The
// addresses are those of eth0, with the length of their network.
func (l *Lab) AddHost(name string, addrs ...netip.Prefix) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("add host %q: the lab is closed", name)
	}
	if name == "" || name == "switch" || strings.ContainsAny(name, "/ ") {
		return nil, fmt.Errorf("add host %q: want a name without slash or space, and not \"switch\"", name)
	}
	if slices.ContainsFunc(l.hosts, func(h *Host) bool { return h.name == name }) {
		return nil, fmt.Errorf("add host %q: there is one already", name)
	}
	h, err := newHost(l, name, len(l.hosts)+1)
	if err != nil {
		return nil, fmt.Errorf("add host %q: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	for _, a := range addrs {
		if err := h.AddAddress("eth0", a); err != nil {
			return nil, fmt.Errorf("add host %q: %w", name, err)
		}
	}
	return h, nil
}

// Close ends every process of the lab and removes its namespaces and its
// directory. It may be called again, and on a half-built lab.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.close())
	}
	if l.sw != nil {
		errs = append(errs, l.sw.close())
	}
	errs = append(errs, removeNamespaces(l.prefix))
	if l.dir != "" {
		errs = append(errs, unmountAndRemove(l.dir))
	}
	if l.guard != nil {
		errs = append(errs, l.guard.dismiss())
	}
	labs.Lock()
	delete(labs.used, l.name)
	labs.Unlock()
	return errors.Join(errs...)
}
