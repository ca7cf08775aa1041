package vrrp

import (
	"slices"
	"strings"
	"time"
)

// ParamMatch says how the arguments of a process are compared.
type ParamMatch string

// Comparisons of keepalived.
const (
	MatchExact   ParamMatch = "exact"   // all, and no others
	MatchInitial ParamMatch = "initial" // all, but the last one may go on
	MatchPartial ParamMatch = "partial" // the first ones
)

// commLength is the number of octets of a process name that the kernel keeps
// (include/linux/sched.h, TASK_COMM_LEN less the final zero).
const commLength = 15

// TrackProcess is a vrrp_track_process.
type TrackProcess struct {
	Name string
	// Process is a process name as the kernel keeps it, or with FullCommand,
	// with Params, with a slash or with a ParamMatch other than MatchExact, the
	// first word of a command line.
	Process     string
	Params      []string
	ParamMatch  ParamMatch // empty: MatchExact
	FullCommand bool
	// Quorum and QuorumMax limit the number of processes, both included; a
	// negative QuorumMax is none.
	Quorum, QuorumMax int
	// ForkDelay and TerminateDelay are how long the state up, or down, has to
	// last before it is told.
	ForkDelay, TerminateDelay time.Duration
}

// process is one running program.
type process struct {
	comm string   // at most commLength octets
	argv []string // empty for a kernel thread, or when it is not needed
}

// needsArgv tells whether the command line decides.
func (c TrackProcess) needsArgv() bool {
	return c.FullCommand || len(c.Params) > 0 || strings.Contains(c.Process, "/") || c.matchNone()
}

// matchNone tells whether the process must have no arguments.
func (c TrackProcess) matchNone() bool {
	return len(c.Params) == 0 && (c.ParamMatch == MatchInitial || c.ParamMatch == MatchPartial)
}

// matches tells whether a process is one of those that count.
func (c TrackProcess) matches(p process) bool {
	if !c.needsArgv() {
		return p.comm == c.Process[:min(len(c.Process), commLength)]
	}
	if len(p.argv) == 0 || p.argv[0] != c.Process {
		return false
	}
	params := p.argv[1:]
	switch n := len(c.Params); {
	case c.matchNone():
		return len(params) == 0
	case n == 0:
		return true
	case c.ParamMatch == MatchPartial:
		return len(params) >= n && slices.Equal(params[:n], c.Params)
	case c.ParamMatch == MatchInitial:
		return len(params) == n && slices.Equal(params[:n-1], c.Params[:n-1]) && strings.HasPrefix(params[n-1], c.Params[n-1])
	default:
		return slices.Equal(params, c.Params)
	}
}

// quorate tells whether a number of processes is within the limits.
func (c TrackProcess) quorate(count int) bool {
	return count >= c.Quorum && (c.QuorumMax < 0 || count <= c.QuorumMax)
}

// delay gives the time for which the new state has to last.
func (c TrackProcess) delay(up bool) time.Duration {
	if up {
		return c.ForkDelay
	}
	return c.TerminateDelay
}

// processStat is what /proc/PID/stat says (proc_pid_stat(5)).
type processStat struct {
	comm   string
	zombie bool
}

// parseProcessStat reads the name, which may itself have parentheses and
// spaces, and the state behind it.
func parseProcessStat(stat string) (processStat, bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open || len(stat) < end+3 {
		return processStat{}, false
	}
	state := stat[end+2]
	return processStat{comm: stat[open+1 : end], zombie: state == 'Z' || state == 'X'}, true
}

// parseCmdline splits /proc/PID/cmdline, whose words end in a zero octet.
func parseCmdline(cmdline string) []string {
	if cmdline == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(cmdline, "\x00"), "\x00")
}
