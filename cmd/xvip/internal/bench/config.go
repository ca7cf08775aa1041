// Package bench measures what is not a packet: how fast a configuration is read.
package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// ConfigOptions say how large the file is and how often it is read.
type ConfigOptions struct {
	Services int // virtual servers
	Servers  int // real servers of each
	Rounds   int
	Self     string // path of the xvip binary
}

// reading is one run of a program over the file.
type reading struct {
	wall, cpu time.Duration
	memory    int64 // largest resident set, bytes
}

// Config has `xvip -t` and `keepalived -t` read the same generated file, one
// after the other in every round, and writes what each took. Without
// keepalived it measures xvip alone and says so.
func Config(ctx context.Context, opt ConfigOptions, out io.Writer) error {
	if opt.Services < 1 || opt.Servers < 1 || opt.Rounds < 1 {
		return errors.New("measure reading: services, real servers and rounds are at least 1")
	}
	dir, err := os.MkdirTemp("", "xvip-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "keepalived.conf")
	size, err := writeConfig(file, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "config: %d virtual servers, %d real servers with a TCP_CHECK each, %.1f MiB, %d rounds\n", opt.Services, opt.Services*opt.Servers, float64(size)/(1<<20), opt.Rounds)
	programs := []string{opt.Self}
	if path, err := exec.LookPath("keepalived"); err == nil {
		programs = append(programs, path)
	} else {
		fmt.Fprintln(out, "keepalived is not installed: there is nothing to compare with")
	}
	results := make([][]reading, len(programs))
	for range opt.Rounds {
		for i, p := range programs {
			r, err := read(ctx, p, file)
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
		}
	}
	return report(out, programs, results)
}

// writeConfig writes the file and gives its size in bytes.
func writeConfig(name string, opt ConfigOptions) (int64, error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("create configuration: %w", err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i := range opt.Services {
		fmt.Fprintf(w, "virtual_server 10.%d.%d.%d 80 {\n    delay_loop 6\n    lvs_sched wrr\n    lvs_method DR\n    protocol TCP\n", 1+i>>16, i>>8&255, i&255)
		for j := range opt.Servers {
			fmt.Fprintf(w, "    real_server 172.%d.%d.%d 80 {\n        weight %d\n        TCP_CHECK {\n            connect_timeout 3\n            retry 2\n        }\n    }\n", 16+i%16, j>>8&255, j&255, j%100+1)
		}
		fmt.Fprintln(w, "}")
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("write configuration: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at configuration: %w", err)
	}
	return st.Size(), nil
}

// read runs one program with -t. Exit codes that mean "would run" count.
func read(ctx context.Context, program, file string) (reading, error) {
	cmd := exec.CommandContext(ctx, program, "-t", "-f", file)
	start := time.Now()
	text, err := cmd.CombinedOutput()
	wall := time.Since(start)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 5) {
		return reading{}, fmt.Errorf("read configuration with %s: %w: %.300s", filepath.Base(program), err, text)
	}
	r := reading{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = ru.Maxrss << 10 // Linux counts KiB
	}
	return r, nil
}

// report writes a line a program, and how many times as long the second takes.
func report(out io.Writer, programs []string, results [][]reading) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\ttime, median (least to most)\tCPU time\tmemory")
	for i, p := range programs {
		wall := spread(results[i], func(r reading) float64 { return r.wall.Seconds() * 1e3 })
		cpu := spread(results[i], func(r reading) float64 { return r.cpu.Seconds() * 1e3 })
		mem := spread(results[i], func(r reading) float64 { return float64(r.memory) / (1 << 20) })
		fmt.Fprintf(w, "%s -t\t%.0f ms (%.0f to %.0f)\t%.0f ms\t%.0f MiB\n", filepath.Base(p), wall[1], wall[0], wall[2], cpu[1], mem[2])
	}
	if len(results) == 2 {
		n := len(results[0])
		ratios := make([]reading, n)
		ratio := func(of func(reading) time.Duration) [3]float64 {
			for i := range n {
				ratios[i].wall = time.Duration(float64(of(results[1][i])) / float64(max(of(results[0][i]), 1)) * 1e6)
			}
			return spread(ratios, func(r reading) float64 { return float64(r.wall) / 1e6 })
		}
		wall, cpu := ratio(func(r reading) time.Duration { return r.wall }), ratio(func(r reading) time.Duration { return r.cpu })
		fmt.Fprintf(w, "keepalived / xvip\t%.1f times (%.1f to %.1f)\t%.1f times (%.1f to %.1f)\t\n", wall[1], wall[0], wall[2], cpu[1], cpu[0], cpu[2])
	}
	return w.Flush()
}

// spread gives least, median and most.
func spread(list []reading, of func(reading) float64) [3]float64 {
	v := make([]float64, len(list))
	for i, r := range list {
		v[i] = of(r)
	}
	slices.Sort(v)
	return [3]float64{v[0], v[len(v)/2], v[len(v)-1]}
}
