package health

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/xvip-lb/xvip/internal/script"
)

// MiscConfig is a MISC_CHECK.
type MiscConfig struct {
	Command script.Command
	Timeout time.Duration // misc_timeout; 0 means DefaultConnectTimeout (keepalived's default is delay_loop)
	Dynamic bool          // misc_dynamic: exit statuses 2..255 set the weight
	// ServerWeight is the configured weight of the real server, from which
	// misc_dynamic makes an offset.
	ServerWeight int
}

// Misc is MISC_CHECK: a program whose exit status is the verdict.
type Misc struct {
	config MiscConfig
	offset int // the last that the program asked for; status 0 changes nothing
}

// NewMisc returns a MISC_CHECK.
func NewMisc(c MiscConfig) *Misc {
	c.Command.Capture = true
	c.Timeout = cmp.Or(c.Timeout, DefaultConnectTimeout)
	return &Misc{config: c}
}

// Check runs the program.
func (m *Misc) Check(ctx context.Context) Result {
	out := script.Run(ctx, m.config.Command, m.config.Timeout)
	r := Result{Reason: out.String()}
	if line := firstLine(out.Output); line != "" {
		r.Reason += ": " + line
	}
	switch {
	case out.Err != nil:
		f := failure(out.Err)
		f.Reason = cmp.Or(r.Reason, f.Reason)
		return f
	case out.OK():
		r.OK = true
	case m.config.Dynamic && !out.TimedOut && out.ExitCode >= 2:
		r.OK = true
		m.offset = out.ExitCode - 2 - m.config.ServerWeight
		r.Reason = fmt.Sprintf("weight %d asked for by %s", out.ExitCode-2, r.Reason)
	}
	if r.OK && m.config.Dynamic {
		r.HasWeight, r.Weight = true, m.offset
	}
	return r
}

// Limit is the time limit of the program and the grace for ending it.
func (m *Misc) Limit() time.Duration { return m.config.Timeout + script.Grace + time.Second }

func (m *Misc) String() string { return "MISC_CHECK " + m.config.Command.String() }

// firstLine is the beginning of the first line of what a program wrote, fit
// for a log.
func firstLine(output []byte) string {
	const most = 120
	line, _, _ := bytes.Cut(bytes.TrimSpace(output), []byte("\n"))
	text := string(bytes.ToValidUTF8(line[:min(len(line), most)], []byte("?")))
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}
