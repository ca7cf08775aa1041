// Package xdp is the XDP engine: it loads, pins and attaches the program of
// bpf/, keeps its tables as wanted, and its next hops fresh.
package xdp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

// Timeouts are those of lvs_timeouts; 0 is the kernel's default.
type Timeouts struct{ TCP, FIN, UDP time.Duration }

// Settings may change while the engine runs.
type Settings struct {
	Timeouts Timeouts // of idle connections
	// Drain is how long flows of a service without memory stay with the real
	// server that had their slot before; 0: as long as idle TCP connections.
	Drain time.Duration
}

// Engine implements dataplane.Engine. Its methods may be called by several
// goroutines.
type Engine struct {
	dir  string
	log  *slog.Logger
	host hostAddresses
	// watched is whether somebody looks at dropped packets.
	watched atomic.Bool

	mu       sync.Mutex
	objs     *bpfObjects
	clock    *tickClock
	tables   *tables
	sweeper  *sweeper
	attacher *attacher
	closed   bool
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
	clock, err := newClock()
	if err != nil {
		return nil, explain(err)
	}
	objs, err := load(opt, clock)
	if err != nil {
		return nil, errors.Join(explain(err), clock.close())
	}
	e := &Engine{dir: opt.PinDir, log: opt.Log, objs: objs, clock: clock,
		sweeper:  &sweeper{prog: objs.Sweep, buckets: objs.Conns.MaxEntries()},
		attacher: &attacher{dir: opt.PinDir, mode: opt.Mode, prog: objs.Xvip, log: opt.Log, on: map[string]*attachment{}}}
	e.tables = newTables(&objs.bpfMaps, clock)
	if err := e.tables.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read tables in %q: %w; remove that directory to start clean", opt.PinDir, err), objs.Close(), clock.close())
	}
	if n := len(e.tables.services); n > 0 {
		opt.Log.Info("took over what is pinned", "dir", opt.PinDir, "services", n, "real_servers", len(e.tables.reals))
	}
	if err := e.Configure(Settings{}); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.Attach(opt.Interfaces); err != nil {
		opt.Log.Error("XDP is not on every interface", "err", err)
	}
	return e, nil
}

// Name implements dataplane.Engine.
func (e *Engine) Name() string { return "xdp" }

// Configure makes settings act; drains that run already keep their end.
func (e *Engine) Configure(s Settings) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.tables.drain = cmp.Or(s.Drain, s.Timeouts.TCP, timeoutTCP)
	return e.tables.setTimeouts(s.Timeouts)
}

// Attach makes the program run on exactly these interfaces.
func (e *Engine) Attach(names []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	err := e.attacher.set(names)
	return errors.Join(err, e.tables.answerByRedirect(e.attacher.onVeth()))
}

var errClosed = errors.New("the XDP engine is closed")

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
	_, err := e.tables.apply(want)
	return errors.Join(err, e.tables.resolveNew(newResolver(true)))
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
	return errors.Join(e.attacher.close(), e.objs.Close(), e.clock.close())
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

// explain says what to do when the kernel does not let us use BPF.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("BPF is not permitted; run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (in containers CAP_SYS_ADMIN too): %w", err)
	}
	return err
}
