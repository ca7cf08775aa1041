// Package xdp is the XDP engine: it loads, pins and attaches the program of
// bpf/, keeps its tables as wanted, and its next hops fresh.
package xdp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cilium/ebpf/rlimit"

	"github.com/xvip-lb/xvip/dataplane"
)

// DefaultPinDir is where programs and maps are pinned if nothing is said.
const DefaultPinDir = "/sys/fs/bpf/xvip"

// Options say how the engine runs.
type Options struct {
	Interfaces    []string // to attach to at once
	Mode          string   // "auto" (or empty), "native" or "generic"
	PinDir        string   // empty: DefaultPinDir
	ConnTableSize int      // connections to remember; 0: about a million
	Log           *slog.Logger
}

// Engine implements dataplane.Engine. Its methods may be called by several
// goroutines.
type Engine struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	objs     *bpfObjects
	tables   *tables
	attacher *attacher
	closed   bool
	resolve  chan struct{} // wakes the resolver
}

var _ dataplane.Engine = (*Engine)(nil)

// New loads the program, takes over what an earlier daemon has pinned, and
// attaches to the interfaces. An interface that fails is logged, not an error;
// it is tried again with Attach.
func New(_ context.Context, opt Options) (*Engine, error) {
	if opt.PinDir == "" {
		opt.PinDir = DefaultPinDir
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain(fmt.Errorf("raise the limit of locked memory: %w", err))
	}
	if err := prepareDir(opt.PinDir); err != nil {
		return nil, explain(err)
	}
	objs, err := load(opt.PinDir, opt.ConnTableSize, opt.Log)
	if err != nil {
		return nil, explain(err)
	}
	e := &Engine{dir: opt.PinDir, log: opt.Log, objs: objs, resolve: make(chan struct{}, 1),
		attacher: &attacher{dir: opt.PinDir, mode: opt.Mode, prog: objs.Xvip, log: opt.Log, on: map[string]*attachment{}}}
	e.tables = newTables(&objs.bpfMaps)
	if err := e.tables.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read tables in %q: %w; remove that directory to start clean", opt.PinDir, err), objs.Close())
	}
	if n := len(e.tables.services); n > 0 {
		opt.Log.Info("took over what is pinned", "dir", opt.PinDir, "services", n, "real_servers", len(e.tables.reals))
	}
	if err := e.Attach(opt.Interfaces); err != nil {
		opt.Log.Error("XDP is not on every interface", "err", err)
	}
	return e, nil
}

// Name implements dataplane.Engine.
func (e *Engine) Name() string { return "xdp" }

// Attach makes the program run on exactly these interfaces.
func (e *Engine) Attach(names []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	return e.attacher.set(names)
}

var errClosed = errors.New("the XDP engine is closed")

// Supports implements dataplane.Engine.
func (e *Engine) Supports(s dataplane.VirtualService) error {
	switch {
	case s.FWMark != 0:
		return errors.New("services on a fwmark need IPVS")
	case !s.Address.Is4():
		return errors.New("IPv6 services are not carried")
	case s.Port == 0:
		return errors.New("services on all ports are not carried")
	case s.Protocol != dataplane.TCP && s.Protocol != dataplane.UDP:
		return fmt.Errorf("protocol %s is not carried", s.Protocol)
	case s.Scheduler != "rr" && s.Scheduler != "wrr":
		return fmt.Errorf("scheduler %s is not carried", s.Scheduler)
	case s.Persistence != 0:
		return errors.New("persistence is not carried")
	case s.OnePacket:
		return errors.New("one-packet scheduling is not carried")
	}
	for _, r := range s.RealServers {
		switch {
		case !r.Address.Is4():
			return fmt.Errorf("real server %s is not IPv4", r.Key())
		case r.UpperThreshold != 0 || r.LowerThreshold != 0:
			return fmt.Errorf("thresholds of real server %s need IPVS", r.Key())
		case isLocal(r.Address):
			if r.Port != s.Port {
				return fmt.Errorf("real server %s is this host and has another port than the service", r.Key())
			}
		case r.Method != dataplane.DR:
			return fmt.Errorf("forwarding method %s of real server %s is not carried", r.Method, r.Key())
		}
	}
	return nil
}

// Apply implements dataplane.Forwarder.
func (e *Engine) Apply(_ context.Context, want []dataplane.VirtualService) error {
	for _, s := range want {
		if err := e.Supports(s); err != nil {
			return fmt.Errorf("apply service %s: %w", s.Key, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	changed, err := e.tables.apply(want)
	if changed > 0 {
		err = errors.Join(err, e.resolveAll())
		e.wakeResolver()
	}
	return err
}

// Services implements dataplane.Forwarder.
func (e *Engine) Services(context.Context) ([]dataplane.VirtualService, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	return e.tables.list(), nil
}

// Stats implements dataplane.Forwarder.
func (e *Engine) Stats(context.Context) (dataplane.Stats, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return dataplane.Stats{}, errClosed
	}
	return e.tables.stats()
}

// Info implements dataplane.Engine.
func (e *Engine) Info() dataplane.EngineInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := dataplane.EngineInfo{Name: e.Name(), Available: !e.closed, Interfaces: e.attacher.infos()}
	var modes []string
	for _, i := range info.Interfaces {
		modes = append(modes, i.Mode)
	}
	slices.Sort(modes)
	switch modes = slices.Compact(modes); len(modes) {
	case 0:
		info.Reason = "the program is on no interface"
	case 1:
		info.Mode = modes[0]
	default:
		info.Mode = "mixed"
	}
	return info
}

// Close implements dataplane.Forwarder: what is pinned forwards on.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	return errors.Join(e.attacher.close(), e.objs.Close())
}

// Withdraw implements dataplane.Engine: detaches everywhere and removes the
// pinned tables.
func (e *Engine) Withdraw(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	err := e.attacher.set(nil)
	_, applied := e.tables.apply(nil)
	err = errors.Join(err, applied, removeMaps(e.dir))
	// Only an empty directory goes; one that others use too stays.
	_ = os.Remove(filepath.Clean(e.dir))
	return err
}

func (e *Engine) wakeResolver() {
	select {
	case e.resolve <- struct{}{}:
	default:
	}
}

// isLocal says that an address is this host's.
func isLocal(a netip.Addr) bool { return a.IsLoopback() || hostHas(a) }

// explain says what to do when the kernel does not let us use BPF.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("BPF is not permitted; run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (in containers CAP_SYS_ADMIN too): %w", err)
	}
	return err
}
