package dataplane

import (
	"context"
	"slices"
	"sync"
)

// Fake is an Engine in memory, for tests of what stands above an engine. The
// zero value carries everything.
type Fake struct {
	EngineName string
	Refuse     func(VirtualService) error // Supports; nil is yes to all

	mu      sync.Mutex
	held    []VirtualService
	applied int
	fail    error
}

// FailWith makes every later Apply fail with err; nil ends that.
func (f *Fake) FailWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// Applied counts the calls of Apply that succeeded.
func (f *Fake) Applied() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied
}

// Name implements Engine.
func (f *Fake) Name() string {
	if f.EngineName == "" {
		return "xdp"
	}
	return f.EngineName
}

// Supports implements Engine.
func (f *Fake) Supports(s VirtualService) error {
	if f.Refuse == nil {
		return nil
	}
	return f.Refuse(s)
}

// Apply implements Forwarder.
func (f *Fake) Apply(_ context.Context, want []VirtualService) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.held = slices.Clone(want)
	f.applied++
	return nil
}

// Services implements Forwarder.
func (f *Fake) Services(context.Context) ([]VirtualService, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.held), nil
}

// Stats implements Forwarder with zero counters for what it holds.
func (f *Fake) Stats(ctx context.Context) (Stats, error) {
	held, _ := f.Services(ctx)
	s := Stats{Services: map[Key]ServiceStats{}}
	for _, svc := range held {
		rs := map[RealKey]RealStats{}
		for _, r := range svc.RealServers {
			rs[r.Key()] = RealStats{}
		}
		s.Services[svc.Key] = ServiceStats{RealServers: rs}
	}
	return s, nil
}

// Withdraw implements Engine.
func (f *Fake) Withdraw(ctx context.Context) error { return f.Apply(ctx, nil) }

// Info implements Engine.
func (f *Fake) Info() EngineInfo { return EngineInfo{Name: f.Name(), Available: true, Mode: "fake"} }

// Close implements Forwarder.
func (f *Fake) Close() error { return nil }
