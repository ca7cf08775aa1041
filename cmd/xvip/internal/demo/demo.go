// Package demo shows the whole of xvip on real packets: the pair of directors
// of docs/examples on the addresses their files name, two web servers and a
// client, each in a network namespace. Every step says what is expected, what
// happened, and what the client noticed.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/xvip-lb/xvip/internal/lab"
)

// Options of a run.
type Options struct {
	Binary string    // xvip; our own when empty
	Keep   bool      // wait at the end with the lab up, until ctx ends
	Out    io.Writer // where the story is told
}

// Run builds the lab, takes the steps and removes the lab. The error tells the
// step that did not hold; ctx ends the run early.
func Run(ctx context.Context, opt Options) (err error) {
	if opt.Binary == "" {
		if opt.Binary, err = os.Executable(); err != nil {
			return fmt.Errorf("find own binary: %w", err)
		}
	}
	l, err := lab.New("demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := newSite(l, opt.Binary, newShow(opt.Out))
	if err != nil {
		return err
	}
	s.show.title(s)
	err = s.take(ctx, steps)
	s.show.summary(ctx, s)
	if opt.Keep && ctx.Err() == nil {
		s.show.invite(s)
		<-ctx.Done()
	}
	return err
}

// take runs the steps in order up to the first that does not hold.
func (s *site) take(ctx context.Context, steps []step) error {
	for i, st := range steps {
		s.show.begin(i+1, len(steps), st)
		obs, err := st.run(ctx, s)
		if ctx.Err() != nil {
			s.show.interrupted()
			return fmt.Errorf("step %d (%s) was interrupted", i+1, st.name)
		}
		s.show.end(st, obs, err)
		if err != nil {
			s.show.logs(s)
			return fmt.Errorf("step %d (%s) did not hold: %w", i+1, st.name, err)
		}
	}
	return nil
}
