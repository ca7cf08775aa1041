package vrrp

import (
	"context"
	"errors"
	"fmt"
)

// Leftovers gives the names of routers whose addresses are all on this host
// already. Before Run these are of an earlier life; each keeps them until a
// Master is known. It gives what it found also with an error.
func (s *Set) Leftovers() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = map[string]bool{}
	var names []string
	var errs []error
	for i := range s.wanted.Routers {
		spec := &s.wanted.Routers[i]
		o := NewAddressOwner(s.nl, spec.Owned, s.log)
		found, err := o.Leftovers()
		if err != nil {
			errs = append(errs, fmt.Errorf("look for addresses of %q: %w", spec.Config.Name, err))
		}
		if len(found) > 0 && len(found) == len(spec.Owned) {
			s.left[spec.Config.Name] = true
			names = append(names, spec.Config.Name)
		}
	}
	return names, errors.Join(errs...)
}

// Resume has routers go on as Master when Run starts them: until now they were
// Master in another process of this host, with these effective priorities, by
// name. They do not wait for their trackers.
func (s *Set) Resume(priorities map[string]uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumes = priorities
}

// clean keeps what an earlier life left until a Master is known, if it left all:
// a lone host has no gap. A part of it is removed, for nothing is to be added
// while nobody is Master.
func (r *router) clean(ctx context.Context) {
	if r.resume != 0 {
		return
	}
	left, err := r.owner.Leftovers()
	if err != nil {
		r.log.Warn("addresses of an earlier life not looked for", "err", err)
	}
	switch {
	case len(left) > 0 && len(left) == len(r.owner.Addresses()):
		r.log.Warn("keeping addresses of an earlier life until a master is heard", "addresses", fmt.Sprint(left))
		r.inherits = true
		return
	case len(left) > 0:
		r.log.Warn("removing addresses of an earlier life", "addresses", fmt.Sprint(left))
		if err := r.owner.Release(ctx); err != nil {
			r.log.Error("addresses of an earlier life not removed", "err", err)
		}
	}
	if r.primed {
		r.owned(ctx, false)
	}
}
