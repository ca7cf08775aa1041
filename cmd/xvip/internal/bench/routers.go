package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// RoutersOptions say how many virtual routers a pair has.
type RoutersOptions struct {
	Routers int // at most 255
	Every   time.Duration
	Watch   time.Duration
	Runs    int
	Self    string
}

// Routers measures the CPU time of a pair with many virtual routers, as Master
// of all and as Backup of all, beside keepalived's.
func Routers(ctx context.Context, opt RoutersOptions, out io.Writer) error {
	if opt.Routers < 1 || opt.Routers > 255 || opt.Runs < 1 {
		return errors.New("measure many routers: want 1 to 255 of them and at least one run")
	}
	programs := []string{"xvip", "keepalived"}
	paths := map[string]string{"xvip": opt.Self}
	var err error
	if paths["keepalived"], err = exec.LookPath("keepalived"); err != nil {
		fmt.Fprintln(out, "keepalived is not installed: there is nothing to compare with")
		programs = programs[:1]
	}
	fmt.Fprintf(out, "routers: %d virtual routers on one interface, advert_int %v, CPU time of all processes over %v, %d runs\n", opt.Routers, opt.Every, opt.Watch, opt.Runs)
	used := map[string][2][]float64{}
	for range opt.Runs {
		for _, program := range programs {
			once := func() error {
				return withPair(ctx, program, paths[program], opt.Every, opt.Routers, func(p *pair) error {
					if err := p.awaitAll(ctx, opt.Routers); err != nil {
						return err
					}
					m, b, err := p.cpu(ctx, opt.Watch)
					u := used[program]
					u[0], u[1] = append(u[0], m), append(u[1], b)
					used[program] = u
					return err
				})
			}
			err := once()
			if err != nil { // a busy host may keep a pair from coming up
				fmt.Fprintf(out, "%s: a run is repeated: %.200s\n", program, err)
				err = once()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", program, err)
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\tmaster, % of a CPU, median (least to most)\tbackup")
	for _, program := range programs {
		fmt.Fprintf(w, "%s\t%s\t%s\n", program, percents(used[program][0]), percents(used[program][1]))
	}
	return w.Flush()
}

func percents(v []float64) string {
	slices.Sort(v)
	return fmt.Sprintf("%.1f (%.1f to %.1f)", v[len(v)/2], v[0], v[len(v)-1])
}

// awaitAll waits until the first host is Master of every router and the second
// of none.
func (p *pair) awaitAll(ctx context.Context, n int) error {
	_, err := lab.Await(ctx, time.Minute, func() error {
		for _, want := range []struct {
			m *member
			n int
		}{{p.first, n + 1}, {p.second, 1}} { // and the host's own
			list, err := want.m.host.Addresses("eth0")
			v4 := slices.DeleteFunc(slices.Clone(list), func(a netip.Prefix) bool { return a.Addr().Is6() })
			if err != nil || len(v4) != want.n {
				return fmt.Errorf("%s has %d addresses, want %d: %v", want.m.host.Name(), len(v4), want.n, err)
			}
		}
		return nil
	})
	return err
}

// cpu gives the share of one CPU, in percent, of the processes of both hosts.
func (p *pair) cpu(ctx context.Context, watch time.Duration) (first, second float64, err error) {
	before := [2]time.Duration{p.first.cpuTime(), p.second.cpuTime()}
	start := time.Now()
	if err := pause(ctx, watch); err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	share := func(m *member, since time.Duration) float64 {
		return 100 * (m.cpuTime() - since).Seconds() / took.Seconds()
	}
	return share(p.first, before[0]), share(p.second, before[1]), nil
}

// cpuTime is user and system time of all processes of the host: fields 14 and
// 15 of /proc/PID/stat, in hundredths of a second.
func (m *member) cpuTime() time.Duration {
	pids, _ := m.host.Pids()
	var ticks uint64
	for _, pid := range pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		for _, i := range []int{11, 12} {
			n, _ := strconv.ParseUint(f[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
