// Package ipvs is the IPVS engine: it keeps the kernel's own load balancer
// (net/netfilter/ipvs) as wanted, over generic netlink.
package ipvs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// Options say how the engine runs.
type Options struct {
	// NetNS is the file of the network namespace to work in, such as
	// /run/netns/NAME; empty is the current one.
	NetNS string
	// StateFile remembers which services this engine made, so that what a
	// crash leaves can be told from what others made; empty remembers nothing.
	StateFile string
	Flush     bool // remove every service at the start, whoever made it
	Log       *slog.Logger
}

// Engine implements dataplane.Engine. Its methods may be called by several
// goroutines.
type Engine struct {
	log     *slog.Logger
	version string

	mu       sync.Mutex
	c        client
	own      *owned
	settings settings
	names    map[dataplane.Key]map[dataplane.RealKey]dataplane.RealKey // see heldPort: as held, as configured
	closed   bool
	broken   error // the last Apply's, for Info

	// held is what the last Apply left in the kernel, nil when that is not known;
	// audited is when the kernel was read.
	held    []entry
	given   map[dataplane.Key]bool // what it made sure of that it is not there
	audited time.Time
	turn    int // of the audits
	now     func() time.Time
}

var _ dataplane.Engine = (*Engine)(nil)

var errClosed = errors.New("the IPVS engine is closed")

// New opens IPVS, loading its module if need be. It changes nothing in the
// kernel's tables unless Flush is set. The error names what is missing.
func New(ctx context.Context, opt Options) (*Engine, error) {
	return open(ctx, opt, func() (transport, error) { return dial(opt.NetNS) }, loadModule)
}

// open is New with the kernel as a value.
func open(ctx context.Context, opt Options, dial func() (transport, error), load func(context.Context) error) (*Engine, error) {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	e := &Engine{log: opt.Log, now: time.Now, c: client{dial: dial}, own: loadOwned(opt.StateFile, opt.Log)}
	var err error
	if _, err = e.c.open(); errors.Is(err, errNoFamily) {
		if lerr := load(ctx); lerr != nil {
			return nil, fmt.Errorf("%w, and cannot be loaded: %w", err, lerr)
		}
		_, err = e.c.open()
	}
	if err != nil {
		return nil, explain(err)
	}
	if e.version, err = e.c.version(); err != nil {
		return nil, explain(errors.Join(err, e.c.close()))
	}
	if opt.Flush {
		if err := e.c.flush(); err != nil {
			return nil, explain(errors.Join(err, e.c.close()))
		}
		opt.Log.Info("IPVS flushed")
	}
	return e, nil
}

// Name implements dataplane.Engine.
func (e *Engine) Name() string { return "ipvs" }

// Apply implements dataplane.Forwarder.
func (e *Engine) Apply(ctx context.Context, want []dataplane.VirtualService) error {
	return e.ApplyBeside(ctx, want, nil)
}

// ApplyBeside is Apply on a node where another engine carries the services
// elsewhere: IPVS gives those up, whoever made them, so that it does not catch
// what the other engine passes to the stack.
func (e *Engine) ApplyBeside(_ context.Context, want []dataplane.VirtualService, elsewhere []dataplane.Key) error {
	entries, keys, err := toEntries(want)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.names = renamed(want)
	e.broken = errors.Join(e.apply(entries, keys, elsewhere), e.applySettings())
	return e.broken
}

func toEntries(want []dataplane.VirtualService) ([]entry, map[dataplane.Key]bool, error) {
	entries := make([]entry, 0, len(want))
	keys := make(map[dataplane.Key]bool, len(want))
	for _, s := range want {
		if err := supports(s); err != nil {
			return nil, nil, fmt.Errorf("apply service %s: %w", s.Key, err)
		}
		s.Key = normalKey(s.Key)
		if keys[s.Key] {
			continue // the first of two equal identities counts
		}
		keys[s.Key] = true
		entries = append(entries, toEntry(s))
	}
	return entries, keys, nil
}

// renamed gives the real servers whose identity in the kernel is another than
// in the configuration.
func renamed(want []dataplane.VirtualService) map[dataplane.Key]map[dataplane.RealKey]dataplane.RealKey {
	out := map[dataplane.Key]map[dataplane.RealKey]dataplane.RealKey{}
	for _, s := range want {
		for _, r := range s.RealServers {
			held := dataplane.RealKey{Address: r.Address.Unmap(), Port: heldPort(s.Key, r)}
			if held == r.Key() {
				continue
			}
			k := normalKey(s.Key)
			if out[k] == nil {
				out[k] = map[dataplane.RealKey]dataplane.RealKey{}
			}
			if _, taken := out[k][held]; !taken {
				out[k][held] = r.Key()
			}
		}
	}
	return out
}

// configured gives the identity that a real server has in the configuration.
func (e *Engine) configured(k dataplane.Key, held dataplane.RealKey) dataplane.RealKey {
	if name, ok := e.names[k][held]; ok {
		return name
	}
	return held
}

const (
	// auditEvery bounds how long what the kernel should hold is believed without
	// a look while changes keep coming; when nothing changes, every Apply looks.
	auditEvery = 5 * time.Minute
	// auditMost bounds of how many services a look reads the real servers, which
	// takes a request for each; the others have their turn at the next one.
	auditMost = 500
)

// apply moves the tables to want: from what the last Apply left, if that was
// lately, there is something to change and nothing is refused, or else from
// what the kernel says.
func (e *Engine) apply(want []entry, keys map[dataplane.Key]bool, elsewhere []dataplane.Key) error {
	gone := maps.Clone(e.own.keys)
	known := e.held != nil && e.now().Sub(e.audited) < auditEvery
	for _, k := range elsewhere {
		if k = normalKey(k); !keys[k] {
			known = known && e.given[k] // if not, others may have made it
			gone[k] = true
		}
	}
	ours := func(k dataplane.Key) bool { return gone[k] }
	var steps []step
	if known {
		steps = plan(e.held, want, ours)
	}
	if err := e.own.add(keys); err != nil { // a crash in between must not leave services that nobody owns
		e.log.Warn("IPVS services would not be known again after a crash", "err", err)
	}
	if !known || len(steps) == 0 || e.quickly(steps) != nil {
		if err := e.reconcile(want, keys, ours, !known || len(steps) == 0); err != nil {
			return err
		}
	}
	e.held, e.given = want, gone
	if err := e.own.set(keys); err != nil {
		e.log.Warn("IPVS services would not be known again after a crash", "err", err)
	}
	return nil
}

// reconcile moves the tables to want from what the kernel says, quickly first if
// that may go well; after a refusal nothing is believed any more.
func (e *Engine) reconcile(want []entry, keys map[dataplane.Key]bool, ours func(dataplane.Key) bool, quick bool) error {
	for {
		if !quick {
			e.held = nil
		}
		steps, err := e.audit(want, keys, ours)
		if err != nil {
			return err
		}
		e.held = nil
		if !quick {
			return e.carryOut(steps)
		}
		if e.quickly(steps) == nil {
			return nil
		}
		quick = false
	}
}

// audit gives the steps from what the kernel holds. Where the last Apply is
// known, real servers are read in turns.
func (e *Engine) audit(want []entry, keys map[dataplane.Key]bool, ours func(dataplane.Key) bool) ([]step, error) {
	now := e.now()
	have, err := e.c.readServices(func(k dataplane.Key) bool { return keys[k] || ours(k) })
	if err != nil {
		return nil, err
	}
	believed := make(map[dataplane.Key][]dest, len(e.held))
	for _, h := range e.held {
		believed[h.key] = h.dests
	}
	turns := (len(have) + auditMost - 1) / auditMost
	held := make([]entry, len(have))
	for i, r := range have {
		dests, known := believed[r.key]
		if !known || i/auditMost == e.turn%turns {
			if r.dests, err = e.c.readDests(r.key); err != nil {
				return nil, err
			}
			dests = r.entry().dests
		}
		held[i] = entry{service: r.service, dests: dests}
	}
	e.audited = now
	e.turn++
	return plan(held, want, ours), nil
}

// errorsShown bounds the refusals that one error tells.
const errorsShown = 5

// quickly does many steps without an answer to each; after an error some may have
// been done.
func (e *Engine) quickly(steps []step) error {
	if len(steps) < batch {
		return e.carryOut(steps)
	}
	cs, err := commands(steps)
	if err != nil {
		return err
	}
	return e.c.try(cs...)
}

func commands(steps []step) ([]command, error) {
	cs := make([]command, len(steps))
	for i, s := range steps {
		var err error
		if cs[i], err = s.command(); err != nil {
			return nil, err
		}
	}
	return cs, nil
}

// carryOut does all steps that can be done, whatever becomes of the others.
func (e *Engine) carryOut(steps []step) error {
	if len(steps) == 0 {
		return nil
	}
	cs, err := commands(steps)
	if err != nil {
		return err
	}
	results, err := e.c.do(cs...)
	var refusals []error
	var more int
	for i, r := range results {
		switch {
		case r == nil || steps[i].done(r):
		case len(refusals) < errorsShown:
			refusals = append(refusals, fmt.Errorf("%s: %w", steps[i], steps[i].explain(r)))
		default:
			more++
		}
	}
	if more > 0 {
		refusals = append(refusals, fmt.Errorf("and %d more changes were refused", more))
	}
	e.log.Debug("IPVS changed", "steps", len(steps), "refused", len(refusals)+more)
	return errors.Join(append(refusals, err)...)
}

// done says that a refusal means that the step is not needed any more: someone
// else was faster to remove it.
func (s step) done(err error) bool {
	return (s.cmd == cmdDelService || s.cmd == cmdDelDest) && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT))
}

// explain gives the kernel's number its meaning for this step.
func (s step) explain(err error) error {
	switch {
	case !s.isDest() && s.cmd != cmdDelService && errors.Is(err, unix.ENOENT) && s.svc.pe != "":
		return fmt.Errorf("the kernel lacks module ip_vs_%s or ip_vs_pe_%s: %w", s.svc.sched, s.svc.pe, err)
	case !s.isDest() && s.cmd != cmdDelService && errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the kernel lacks module ip_vs_%s: %w", s.svc.sched, err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("the kernel's IPVS has no IPv6: %w", err)
	}
	return explain(err)
}

// Services implements dataplane.Forwarder: those this engine made or adopted.
func (e *Engine) Services(context.Context) ([]dataplane.VirtualService, error) {
	rs, err := e.readings()
	out := make([]dataplane.VirtualService, 0, len(rs))
	for _, r := range rs {
		out = append(out, r.entry().virtualService())
	}
	return out, err
}

// readings reads the services of this engine, their real servers named as in
// the configuration.
func (e *Engine) readings() ([]reading, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	rs, err := e.c.read(func(k dataplane.Key) bool { return e.own.keys[k] })
	for _, r := range rs {
		for i := range r.dests {
			r.dests[i].port = e.configured(r.key, r.dests[i].key()).Port
		}
	}
	return rs, err
}

// Stats implements dataplane.Forwarder.
func (e *Engine) Stats(context.Context) (dataplane.Stats, error) {
	rs, err := e.readings()
	s := dataplane.Stats{Services: make(map[dataplane.Key]dataplane.ServiceStats, len(rs))}
	for _, r := range rs {
		svc := dataplane.ServiceStats{Counters: r.counters, RealServers: make(map[dataplane.RealKey]dataplane.RealStats, len(r.dests))}
		for _, d := range r.dests {
			svc.RealServers[d.key()] = d.RealStats
		}
		s.Services[r.key] = svc
	}
	return s, err
}

// Withdraw implements dataplane.Engine: removes the services this engine made
// or adopted, and undoes its settings.
func (e *Engine) Withdraw(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.settings.want = Settings{}
	return errors.Join(e.apply(nil, nil, nil), e.applySettings())
}

// Flush removes every service from the kernel, whoever made it.
func (e *Engine) Flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.held = nil
	if err := e.c.flush(); err != nil {
		return err
	}
	return e.own.set(nil)
}

// Info implements dataplane.Engine.
func (e *Engine) Info() dataplane.EngineInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := dataplane.EngineInfo{Name: e.Name(), Available: !e.closed}
	switch {
	case e.closed:
		info.Reason = errClosed.Error()
	case e.broken != nil:
		info.Reason = e.broken.Error()
	}
	return info
}

// Version is that of the kernel's IPVS, such as 1.2.1.
func (e *Engine) Version() string { return e.version }

// Close implements dataplane.Forwarder: the services stay and forward on.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	return e.c.close()
}

// explain says what to do when the kernel does not let us.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("IPVS is not permitted; run as root, or grant CAP_NET_ADMIN: %w", err)
	}
	return err
}
