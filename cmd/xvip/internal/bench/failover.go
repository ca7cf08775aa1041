package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// FailoverOptions say what is measured and how often.
type FailoverOptions struct {
	Intervals []time.Duration // advert_int
	Runs      int             // of every scenario, program and interval
	Self      string          // path of the xvip binary
}

// pingEvery is the pace of the client, and so the least gap that is seen.
const pingEvery = time.Millisecond

// outcome is what the client saw of one scenario.
type outcome struct {
	gap  time.Duration // longest time without an answer
	lost int           // pings without an answer
}

// scenario is something that happens to a pair of which the first is Master.
type scenario struct {
	name string
	goal string
	// act returns when it has happened; owner is who answers in the end, and
	// mend brings the pair back without being watched.
	act   func(ctx context.Context, p *pair) error
	owner func(p *pair) *member
	mend  func(ctx context.Context, p *pair) error
}

func scenarios() []scenario {
	first := func(p *pair) *member { return p.first }
	second := func(p *pair) *member { return p.second }
	again := func(ctx context.Context, p *pair) error { return p.first.start() }
	nothing := func(context.Context, *pair) error { return nil }
	return []scenario{
		{"nothing happens", "", nothing, first, nothing},
		{"reload", "0 lost", func(_ context.Context, p *pair) error { return p.first.reload() }, first, nothing},
		{"clean stop", "≤ 5 ms", func(ctx context.Context, p *pair) error { return p.first.stop(ctx) }, second, nothing},
		{"return, preempts", "≤ 5 ms", again, first, nothing},
		{"daemon killed", "≤ 50 ms at 1 s", func(_ context.Context, p *pair) error { return p.first.killDaemon() }, second, again},
		{"host lost", "≤ keepalived + 2 %", func(_ context.Context, p *pair) error { return p.first.powerOff() }, second,
			func(_ context.Context, p *pair) error { return errors.Join(p.first.host.Plug(), p.first.start()) }},
	}
}

// Failover has pairs of daemons on the same kind of network go through the same
// scenarios in turn, while a client pings their address every millisecond, and
// writes for each the longest gap and the pings lost. Without keepalived it
// measures xvip alone and says so.
func Failover(ctx context.Context, opt FailoverOptions, out io.Writer) error {
	if opt.Runs < 1 || len(opt.Intervals) == 0 {
		return errors.New("measure failovers: want at least one interval and one run")
	}
	programs := []string{"xvip", "keepalived"}
	theirs, err := exec.LookPath("keepalived")
	if err != nil {
		fmt.Fprintln(out, "keepalived is not installed: there is nothing to compare with")
		programs = programs[:1]
	}
	paths := map[string]string{"xvip": opt.Self, "keepalived": theirs}
	fmt.Fprintf(out, "failover: a pair of one kind, VRRP version 3, one address; longest gap in ms and pings lost, %d runs, a ping every %v\n", opt.Runs, pingEvery)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "advert_int\tscenario\tprogram\tgap, median (least to most)\tlost, median (most)\tgoal")
	for _, every := range opt.Intervals {
		results, err := failoverAt(ctx, every, opt.Runs, programs, paths, out)
		if err != nil {
			return err
		}
		for i, s := range scenarios() {
			for _, program := range programs {
				fmt.Fprintf(w, "%v\t%s\t%s\t%s\t%s\n", every, s.name, program, cell(results[program][i]), goalOf(s, program))
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func goalOf(s scenario, program string) string {
	if program != "xvip" {
		return ""
	}
	return s.goal
}

func cell(list []outcome) string {
	gaps, lost := make([]time.Duration, len(list)), make([]int, len(list))
	for i, o := range list {
		gaps[i], lost[i] = o.gap, o.lost
	}
	slices.Sort(gaps)
	slices.Sort(lost)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	n := len(list)
	return fmt.Sprintf("%.1f (%.1f to %.1f)\t%d (%d)", ms(gaps[n/2]), ms(gaps[0]), ms(gaps[n-1]), lost[n/2], lost[n-1])
}

// failoverAt gives the outcomes by program and scenario. Each program's pair
// has its turn in every run; the other one is not running then. A run in which a
// pair does not do what is asked of it is told and repeated once.
func failoverAt(ctx context.Context, every time.Duration, runs int, programs []string, paths map[string]string, out io.Writer) (map[string][][]outcome, error) {
	results := map[string][][]outcome{}
	for _, program := range programs {
		results[program] = make([][]outcome, len(scenarios()))
	}
	for range runs {
		for _, program := range programs {
			got, err := failoverOnce(ctx, every, program, paths[program])
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(out, "a run is repeated: %.300s\n", err)
				got, err = failoverOnce(ctx, every, program, paths[program])
			}
			if err != nil {
				return nil, err
			}
			for i, o := range got {
				results[program][i] = append(results[program][i], o)
			}
		}
	}
	return results, nil
}

// failoverOnce plays all scenarios with one pair.
func failoverOnce(ctx context.Context, every time.Duration, program, path string) (got []outcome, err error) {
	err = withPair(ctx, program, path, every, 1, func(p *pair) error {
		for _, s := range scenarios() {
			o, err := p.play(ctx, s)
			if err != nil {
				return fmt.Errorf("%s, advert_int %v, %s: %w", program, every, s.name, err)
			}
			got = append(got, o)
		}
		return nil
	})
	return got, err
}

// play lets one scenario happen under the eyes of the client.
func (p *pair) play(ctx context.Context, s scenario) (outcome, error) {
	pings, err := p.client.Ping(vip, pingEvery, time.Second)
	if err != nil {
		return outcome{}, err
	}
	rest := max(200*time.Millisecond, 3*p.every)
	err = pause(ctx, 100*time.Millisecond)
	if err == nil {
		err = s.act(ctx, p)
	}
	if err == nil {
		err = p.await(ctx, s.owner(p))
	}
	err = errors.Join(err, pause(ctx, rest))
	r := pings.Stop()
	if err != nil {
		return outcome{}, err
	}
	if err := s.mend(ctx, p); err != nil {
		return outcome{}, err
	}
	o := outcome{gap: r.LongestGap(), lost: r.Failures()}
	if s.owner(p) == p.second && s.name != "clean stop" {
		return o, p.await(ctx, p.first)
	}
	return o, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// await waits until one of the pair alone has the address and, where the other
// one runs, that this is Backup.
func (p *pair) await(ctx context.Context, want *member) error {
	limit := 20*time.Second + 10*p.every
	_, err := lab.Await(ctx, limit, func() error {
		for _, m := range []*member{p.first, p.second} {
			has, err := m.host.HasAddress("eth0", vip)
			if err != nil {
				return err
			}
			if has != (m == want) && !(has && m.dead) {
				return fmt.Errorf("%s has the address: %v", m.host.Name(), has)
			}
		}
		return nil
	})
	return err
}
