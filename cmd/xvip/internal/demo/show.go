package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// show tells the story. On a terminal the line of the running step is
// rewritten; elsewhere it appears now and then.
type show struct {
	out      io.Writer
	terminal bool
	began    time.Time

	stepAt  time.Time
	last    time.Time // of the progress line
	results []result
}

type result struct {
	step step
	obs  observation
	took time.Duration
	err  error
}

// How often the line of progress appears.
const (
	terminalPace = 100 * time.Millisecond
	plainPace    = 5 * time.Second
)

func newShow(out io.Writer) *show {
	s := &show{out: out, began: time.Now()}
	if f, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		s.terminal = err == nil
	}
	return s
}

func (w *show) printf(format string, args ...any) { fmt.Fprintf(w.out, format, args...) }

func (w *show) title(s *site) {
	w.printf("xvip demo: the pair of docs/examples on real packets, every machine a network namespace\n\n")
	t := tabwriter.NewWriter(w.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "  %s\t192.168.166.10\tasks %s, every %d ms, each time over a new connection\n", s.client.Name(), vipURL, pace.Milliseconds())
	for _, d := range s.directors() {
		fmt.Fprintf(t, "  %s\t%v\txvip with %s, and a sorry server\n", d.host.Name(), d.addr, d.file)
	}
	for _, h := range s.webs {
		fmt.Fprintf(t, "  %s\t%v\tweb server, has the address on lo (direct routing)\n", h.host.Name(), h.addr)
	}
	t.Flush()
	w.printf("\n")
}

func (w *show) begin(n, of int, st step) {
	w.stepAt = time.Now()
	w.last = w.stepAt
	w.printf("%d/%d  %s\n     expected  %s\n", n, of, st.name, st.want)
}

// progress is called often; it prints seldom.
func (w *show) progress(waited, limit time.Duration, what string, err error) {
	every := plainPace
	if w.terminal {
		every = terminalPace
	}
	if err == nil || time.Since(w.last) < every {
		return
	}
	w.last = time.Now()
	line := fmt.Sprintf("     … %s: %s of at most %s (%v)", what, seconds(waited), seconds(limit), err)
	if w.terminal {
		const width = 118 // a line that wraps cannot be rewritten
		if r := []rune(line); len(r) > width {
			line = string(r[:width-1]) + "…"
		}
		w.printf("\r%s\x1b[K", line)
		return
	}
	w.printf("%s\n", line)
}

func (w *show) clear() {
	if w.terminal {
		w.printf("\r\x1b[K")
	}
}

func (w *show) end(st step, obs observation, err error) {
	w.clear()
	took := time.Since(w.stepAt)
	w.results = append(w.results, result{st, obs, took, err})
	if obs.seen != "" {
		w.printf("     seen      %s\n", obs.seen)
	}
	if r := obs.client; len(r) > 0 {
		w.printf("     client    %d requests, %d failed, longest gap %d ms\n", len(r), r.Failures(), r.LongestGap().Milliseconds())
	}
	if err != nil {
		w.printf("     FAILED    %v\n\n", err)
		return
	}
	w.printf("     ok        %s\n\n", seconds(took))
}

func (w *show) interrupted() {
	w.clear()
	w.printf("     interrupted; removing the lab\n")
}

// tail is how much of each log is shown after a failure.
const tail = 40

func (w *show) logs(s *site) {
	for _, d := range s.directors() {
		b, err := os.ReadFile(d.logFile())
		if err != nil {
			continue // it was never started
		}
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		w.printf("the last lines of %s's log:\n", d.host.Name())
		for _, l := range lines[max(0, len(lines)-tail):] {
			w.printf("    %s\n", l)
		}
		w.printf("\n")
	}
}

// summary is the table at the end, and what the directors say of themselves.
func (w *show) summary(ctx context.Context, s *site) {
	t := tabwriter.NewWriter(w.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "STEP\tRESULT\tTOOK\tREQUESTS\tFAILED\tLONGEST GAP\n")
	for _, r := range w.results {
		verdict, requests, failed, gap := "ok", "-", "-", "-"
		if r.err != nil {
			verdict = "FAILED"
		}
		if c := r.obs.client; len(c) > 0 {
			requests, failed = fmt.Sprint(len(c)), fmt.Sprint(c.Failures())
			gap = fmt.Sprintf("%d ms", c.LongestGap().Milliseconds())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.step.name, verdict, seconds(r.took), requests, failed, gap)
	}
	t.Flush()
	for _, d := range s.directors() {
		if d.proc == nil || ctx.Err() != nil {
			continue
		}
		w.printf("\n%s: ", d.host.Name())
		st, err := d.status(ctx)
		if err == nil {
			err = st.WriteText(w.out)
		}
		if err != nil {
			w.printf("%v\n", err)
		}
	}
	w.printf("\n%s in all\n", seconds(time.Since(w.began)))
}

// invite tells how to play with a lab that is kept.
func (w *show) invite(s *site) {
	ns := s.client.Namespace()
	w.printf("\nThe lab stays up until Ctrl-C. In another terminal, as root:\n\n")
	w.printf("  ip netns exec %s curl -s %s                        # ask as the client\n", ns, vipURL)
	w.printf("  ip netns exec %s sh                                # or look around there\n", ns)
	for _, d := range s.directors() {
		if d.proc == nil {
			continue
		}
		name := d.host.Name()
		w.printf("\n  # %s, process %d, log %s\n", name, d.proc.Pid(), d.logFile())
		w.printf("  %s status --control-socket %s\n", d.argv[0], d.socket)
		w.printf("  ip netns exec %s curl -s http://127.0.0.1:9650/metrics\n", d.host.Namespace())
		w.printf("  ip netns exec %s tcpdump -ni eth0 vrrp\n", d.host.Namespace())
		w.printf("  kill -9 %d                                          # and see who answers; start it again with:\n", d.proc.Pid())
		w.printf("  ip netns exec %s %s\n", d.host.Namespace(), strings.Join(d.argv, " "))
	}
	w.printf("\n")
}
