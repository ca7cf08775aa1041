package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// step is one scene: what should happen, and how to make it happen and look.
type step struct {
	name string
	want string
	run  func(context.Context, *site) (observation, error)
}

// observation is what happened in a step.
type observation struct {
	seen   string
	client lab.Report // empty when the client was not asking
}

var steps = []step{
	{"election", "director1 has the higher priority: it becomes master and takes the address", election},
	{"balancing", "answers alternate strictly; XDP forwards every packet, the kernel none", balancing},
	{"one web server dies", "taken out within 9 s (delay_loop 6, 3 retries 1 s apart); then no request fails", oneDies},
	{"the other one dies, too", "the sorry server on the director answers", bothDie},
	{"both come back", "back in rotation at their next check, in strict turn again", bothReturn},
	{"the master loses power", "director2 answers within 3 × advert_int + skew = 3.65 s", masterDies},
	{"the master returns", "it has the higher priority and takes the address back", masterReturns},
	{"the master is stopped", "a clean stop hands over in under 1 s", masterStops},
	{"the master starts again", "the pair is whole", masterReturns},
}

func election(ctx context.Context, s *site) (observation, error) {
	for _, d := range s.directors() {
		if err := d.start(s.webs); err != nil {
			return observation{}, err
		}
	}
	took, err := s.await(ctx, 15*time.Second, "waiting for a master", func() error { return s.owner(ctx, s.first) })
	if err != nil {
		return observation{}, err
	}
	_, err = s.await(ctx, 5*time.Second, "waiting for the first answer", func() error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		_, err := s.client.Fetch(ctx, vipURL)
		return err
	})
	return observation{seen: fmt.Sprintf("director1 is master after %s, director2 is backup; the address is on director1 alone", seconds(took))}, err
}

// turns is how many requests show the rotation.
const turns = 40

func balancing(ctx context.Context, s *site) (observation, error) {
	before, err := s.first.status(ctx)
	if err != nil {
		return observation{}, err
	}
	obs := observation{client: s.client.FetchN(ctx, vipURL, turns, timeout)}
	if err := alternate(obs.client.Sequence(), "web1", "web2"); err != nil {
		return obs, fmt.Errorf("%w (%v)", err, obs.client.FirstError())
	}
	var packets uint64
	_, err = s.await(ctx, 3*time.Second, "reading counters", func() error {
		after, err := s.first.status(ctx)
		if err == nil {
			packets, err = forwarded(before, after, turns)
		}
		return err
	})
	if err != nil {
		return obs, err
	}
	kernel, allowed, err := s.first.kernelForwarded()
	if err == nil && (allowed || kernel != "0") {
		err = fmt.Errorf("the director's kernel forwarded %s packets (ip_forward on: %v)", kernel, allowed)
	}
	obs.seen = fmt.Sprintf("web1 web2 web1 web2 … %d times; XDP forwarded %d packets, the kernel %s (ip_forward is off)", turns, packets, kernel)
	return obs, err
}

func oneDies(ctx context.Context, s *site) (observation, error) {
	_, err := s.await(ctx, delayLoop+slack, "waiting for the first checks", s.checked)
	if err != nil {
		return observation{}, err
	}
	return s.killWeb(ctx, s.webs[0], s.webs[1].host.Name(), s.webs[1])
}

func bothDie(ctx context.Context, s *site) (observation, error) {
	return s.killWeb(ctx, s.webs[1], s.first.host.Name())
}

// killWeb ends a web server and checks that left is what stays in rotation, in
// keepalived's time, and that answerer alone answers from then on.
func (s *site) killWeb(ctx context.Context, victim *webServer, answerer string, left ...*webServer) (obs observation, err error) {
	probe := s.watch()
	defer func() { obs.client = probe.Stop() }()
	died := time.Now()
	victim.Down()
	name := victim.host.Name()
	took, err := s.await(ctx, takeOut+slack, "waiting until "+name+" is taken out", func() error { return s.inRotation(ctx, s.first, left...) })
	if err != nil {
		return obs, err
	}
	if took < retries*retryDelay {
		return obs, fmt.Errorf("%s was taken out after %s, before its %d retries were over", name, seconds(took), retries)
	}
	out := time.Now()
	if err := s.rest(ctx, 2*time.Second, "looking for failures after that"); err != nil {
		return obs, err
	}
	after := probe.Stop().Since(out.Add(pace)) // the kernel's tables follow the decision
	obs.seen = fmt.Sprintf("out after %s; after that %d requests, all answered by %s", seconds(out.Sub(died)), len(after), answerer)
	return obs, onlyFrom(after, answerer)
}

func bothReturn(ctx context.Context, s *site) (obs observation, err error) {
	probe := s.watch()
	defer func() { obs.client = probe.Stop() }()
	for _, w := range s.webs {
		if err := w.Up(); err != nil {
			return obs, err
		}
	}
	took, err := s.await(ctx, delayLoop+slack, "waiting until both are in", func() error {
		for _, d := range s.directors() {
			if err := s.inRotation(ctx, d, s.webs...); err != nil {
				return fmt.Errorf("%s: %w", d.host.Name(), err)
			}
		}
		return nil
	})
	if err != nil {
		return obs, err
	}
	probe.Stop() // its requests would take turns with ours
	r := s.client.FetchN(ctx, vipURL, turns, timeout)
	obs.seen = fmt.Sprintf("in after %s; web1 web2 web1 web2 … %d times", seconds(took), turns)
	return obs, alternate(r.Sequence(), "web1", "web2")
}

func masterDies(ctx context.Context, s *site) (obs observation, err error) {
	probe := s.watch()
	defer func() { obs.client = probe.Stop() }()
	if err := s.rest(ctx, 300*time.Millisecond, "the client asks"); err != nil {
		return obs, err
	}
	if err := s.first.kill(); err != nil {
		return obs, err
	}
	_, err = s.await(ctx, masterDown+slack, "waiting for director2", func() error {
		st, err := s.second.state(ctx)
		if err == nil && (st.state != "MASTER" || !st.hasVIP) {
			err = fmt.Errorf("%s is %s", st.name, st.state)
		}
		return err
	})
	if err != nil {
		return obs, err
	}
	if err := s.rest(ctx, time.Second, "looking at the answers"); err != nil {
		return obs, err
	}
	r := probe.Stop()
	gap := r.LongestGap()
	obs.seen = fmt.Sprintf("director2 is master; the longest silence was %d ms", gap.Milliseconds())
	if err := settled(r); err != nil {
		return obs, err
	}
	// The gap includes the client's pace and the first connection.
	return obs, gapWithin(r, masterDown+200*time.Millisecond)
}

func masterReturns(ctx context.Context, s *site) (obs observation, err error) {
	probe := s.watch()
	defer func() { obs.client = probe.Stop() }()
	if err := s.first.start(s.webs); err != nil {
		return obs, err
	}
	// The daemon is up before the cable: what its dead predecessor left on the
	// host must be gone by then.
	_, err = s.await(ctx, 10*time.Second, "waiting for director1's daemon", func() error { return s.first.ready(ctx) })
	if err != nil {
		return obs, err
	}
	if err := s.first.host.Plug(); err != nil {
		return obs, err
	}
	took, err := s.await(ctx, masterDown+3*time.Second, "waiting until director1 is master", func() error { return s.owner(ctx, s.first) })
	if err != nil {
		return obs, err
	}
	if err := s.rest(ctx, time.Second, "looking at the answers"); err != nil {
		return obs, err
	}
	r := probe.Stop()
	obs.seen = fmt.Sprintf("director1 is master again after %s", seconds(took))
	if err := settled(r); err != nil {
		return obs, err
	}
	return obs, gapWithin(r, time.Second)
}

func masterStops(ctx context.Context, s *site) (obs observation, err error) {
	probe := s.watch()
	defer func() { obs.client = probe.Stop() }()
	if err := s.rest(ctx, 300*time.Millisecond, "the client asks"); err != nil {
		return obs, err
	}
	if err := s.first.stop(ctx); err != nil {
		return obs, fmt.Errorf("stop the daemon of director1: %w", err)
	}
	_, err = s.await(ctx, 2*time.Second, "waiting for director2", func() error { return s.owner(ctx, s.second) })
	if err != nil {
		return obs, err
	}
	if err := s.rest(ctx, time.Second, "looking at the answers"); err != nil {
		return obs, err
	}
	r := probe.Stop()
	obs.seen = fmt.Sprintf("director2 is master; the longest silence was %d ms", r.LongestGap().Milliseconds())
	if err := settled(r); err != nil {
		return obs, err
	}
	return obs, gapWithin(r, time.Second)
}

// settled checks that the last half second went without a failure.
func settled(r lab.Report) error {
	if len(r) == 0 {
		return fmt.Errorf("the client sent no request")
	}
	late := r.Since(r[len(r)-1].Sent.Add(-500 * time.Millisecond))
	if n := late.Failures(); n > 0 {
		return fmt.Errorf("%d of the last %d requests failed: %w", n, len(late), late.FirstError())
	}
	return nil
}

func seconds(d time.Duration) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
}
