package vrrp

import "context"

// gatedOwner tells someone before addresses are taken and after they were
// released: packets must find the forwarder ready, or this host's own stack
// answers them, with resets.
type gatedOwner struct {
	Owner
	told func(ctx context.Context, owned bool) // waits until it acts, a bounded time
}

// Take implements Owner.
func (g gatedOwner) Take(ctx context.Context) error {
	g.told(ctx, true)
	return g.Owner.Take(ctx)
}

// Release implements Owner.
func (g gatedOwner) Release(ctx context.Context) error {
	err := g.Owner.Release(ctx)
	g.told(ctx, false)
	return err
}
