package dataplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// None is the engine name of a service that nothing carries.
const None = "none"

// Assignment says which engine carries a service and why not a better one.
type Assignment struct {
	Engine string // Engine.Name, or None
	Reason string // why the engines before it in order could not; empty for the first choice
}

// Choose gives each service the first engine that supports it. The slice of
// engines is in order of preference; unavailable says why an engine that the
// configuration wishes is missing, keyed by engine name.
func Choose(want []VirtualService, engines []Engine, unavailable map[string]string) map[Key]Assignment {
	out := make(map[Key]Assignment, len(want))
	for _, svc := range want {
		out[svc.Key] = chooseOne(svc, engines, unavailable)
	}
	return out
}

func chooseOne(svc VirtualService, engines []Engine, unavailable map[string]string) Assignment {
	var reasons []string
	for _, name := range []string{"xdp", "ipvs"} {
		if why, ok := unavailable[name]; ok {
			reasons = append(reasons, name+": "+why)
			continue
		}
		for _, e := range engines {
			if e.Name() != name {
				continue
			}
			err := e.Supports(svc)
			if err == nil {
				return Assignment{Engine: name, Reason: strings.Join(reasons, "; ")}
			}
			reasons = append(reasons, fmt.Sprintf("%s: %v", name, err))
		}
	}
	if len(reasons) == 0 {
		reasons = []string{"no forwarding engine is enabled"}
	}
	return Assignment{Engine: None, Reason: strings.Join(reasons, "; ")}
}

// Chooser is the Forwarder that spreads services over engines. It is safe for
// use by several goroutines; Apply is meant for one caller.
type Chooser struct {
	mu          sync.Mutex
	engines     []Engine
	unavailable map[string]string
	assigned    map[Key]Assignment
	parts       map[string][]VirtualService // what each engine was given last
}

// Sharing is an Engine whose kernel tables other programs fill too. It is told
// which services another engine carries, and gives those up whoever made them.
type Sharing interface {
	ApplyBeside(ctx context.Context, want []VirtualService, elsewhere []Key) error
}

// NewChooser makes a Chooser; see Choose for its arguments.
func NewChooser(engines []Engine, unavailable map[string]string) *Chooser {
	return &Chooser{engines: engines, unavailable: unavailable, assigned: map[Key]Assignment{}}
}

// SetEngines replaces the engines; the next Apply uses them. An engine that is
// no longer named keeps what it holds; one that is named and also unavailable
// hands its services over in the next Apply, and can then be left out.
func (c *Chooser) SetEngines(engines []Engine, unavailable map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engines, c.unavailable = engines, unavailable
}

func (c *Chooser) current() ([]Engine, map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.engines, c.unavailable
}

// Apply hands each engine its services. An engine that fails does not keep the
// others from theirs; the errors come back joined. A service that no engine
// supports is not an error here: Assignments tells it. A service that moves
// is made in its new engine before it goes from the old one.
func (c *Chooser) Apply(ctx context.Context, want []VirtualService) error {
	engines, unavailable := c.current()
	assigned := Choose(want, engines, unavailable)
	parts := make(map[string][]VirtualService)
	for _, svc := range want {
		name := assigned[svc.Key].Engine
		parts[name] = append(parts[name], svc)
	}
	c.mu.Lock()
	before := c.parts
	c.assigned, c.parts = assigned, parts
	c.mu.Unlock()
	var errs []error
	if both := overlap(before, parts, assigned); both != nil {
		for _, e := range engines {
			if err := e.Apply(ctx, both[e.Name()]); err != nil {
				errs = append(errs, fmt.Errorf("apply to %s: %w", e.Name(), err))
			}
		}
	}
	for _, e := range engines {
		if err := applyOne(ctx, e, parts[e.Name()], assigned); err != nil {
			errs = append(errs, fmt.Errorf("apply to %s: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// overlap gives each engine its services and, as they were, those that move to
// another engine; nil when none moves.
func overlap(before, now map[string][]VirtualService, assigned map[Key]Assignment) map[string][]VirtualService {
	out := map[string][]VirtualService{}
	moves := false
	for name, services := range now {
		out[name] = append(out[name], services...)
	}
	for name, services := range before {
		for _, s := range services {
			a, wanted := assigned[s.Key]
			if name == None || !wanted || a.Engine == name || a.Engine == None {
				continue
			}
			moves = true
			out[name] = append(out[name], s)
		}
	}
	if !moves {
		return nil
	}
	return out
}

// applyOne hands an engine its services, and tells a sharing one what others
// carry.
func applyOne(ctx context.Context, e Engine, want []VirtualService, assigned map[Key]Assignment) error {
	s, ok := e.(Sharing)
	if !ok {
		return e.Apply(ctx, want)
	}
	var elsewhere []Key
	for k, a := range assigned {
		if a.Engine != e.Name() && a.Engine != None {
			elsewhere = append(elsewhere, k)
		}
	}
	return s.ApplyBeside(ctx, want, elsewhere)
}

// Assignments tells which engine carries each service since the last Apply.
func (c *Chooser) Assignments() map[Key]Assignment {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[Key]Assignment, len(c.assigned))
	for k, a := range c.assigned {
		out[k] = a
	}
	return out
}

// Services reads back all engines.
func (c *Chooser) Services(ctx context.Context) ([]VirtualService, error) {
	engines, _ := c.current()
	var all []VirtualService
	var errs []error
	for _, e := range engines {
		got, err := e.Services(ctx)
		all = append(all, got...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// Stats joins the readings of all engines.
func (c *Chooser) Stats(ctx context.Context) (Stats, error) {
	engines, _ := c.current()
	all := Stats{Services: map[Key]ServiceStats{}}
	var errs []error
	for _, e := range engines {
		s, err := e.Stats(ctx)
		for k, v := range s.Services {
			all.Services[k] = v
		}
		all.Verdicts = append(all.Verdicts, s.Verdicts...)
		all.Maps = append(all.Maps, s.Maps...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// Infos tells the state of the two engines, whether running or not.
func (c *Chooser) Infos() []EngineInfo {
	engines, unavailable := c.current()
	var out []EngineInfo
	for _, e := range engines {
		if _, off := unavailable[e.Name()]; !off {
			out = append(out, e.Info())
		}
	}
	for _, name := range []string{"xdp", "ipvs"} {
		if why, ok := unavailable[name]; ok {
			out = append(out, EngineInfo{Name: name, Reason: why})
		}
	}
	return out
}

// Withdraw removes everything from the kernel: a clean stop.
func (c *Chooser) Withdraw(ctx context.Context) error {
	engines, _ := c.current()
	var errs []error
	for _, e := range engines {
		errs = append(errs, e.Withdraw(ctx))
	}
	return errors.Join(errs...)
}

// Close lets go of all engines; what is pinned stays.
func (c *Chooser) Close() error {
	engines, _ := c.current()
	var errs []error
	for _, e := range engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
