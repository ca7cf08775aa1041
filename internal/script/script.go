// Package script runs the programs that a configuration names: trackers,
// notifications and checks. A program gets no shell, no input, a process group
// of its own, a time limit that ends the whole group, and it dies with the
// daemon. Check refuses programs that others than root could have written.
package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Grace is the time between SIGTERM and SIGKILL for a group that has to end.
	Grace = 2 * time.Second
	// OutputLimit is the number of octets of output that Run keeps.
	OutputLimit = 4 << 10
	// drainTime is how long Run waits for the end of the output once the
	// program itself is gone: a child left in the background may hold it open.
	drainTime = 100 * time.Millisecond
)

// Command is one program with its identity.
type Command struct {
	// Argv is the program, a path or a name to be found in PATH, and its
	// arguments. It is never given to a shell.
	Argv []string
	// UID, GID and Groups are the identity when HasUser is set; otherwise the
	// program runs as the daemon does. Groups are the supplementary groups.
	UID, GID uint32
	Groups   []uint32
	HasUser  bool
	// Dir is the working directory, the daemon's when empty.
	Dir string
	// Capture keeps the first OutputLimit octets of stdout and stderr in
	// Outcome.Output. It suits programs that only look at something: what they
	// leave running in the background loses its stdout. Without it the output
	// goes to /dev/null, as services started by a notify script need.
	Capture bool
}

// String gives the argument vector, quoted where needed.
func (c Command) String() string {
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		if w == "" || strings.ContainsAny(w, " \t\n\"'\\") {
			w = strconv.Quote(w)
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// With returns the command with args appended; c is not changed.
func (c Command) With(args ...string) Command {
	argv := make([]string, 0, len(c.Argv)+len(args))
	c.Argv = append(append(argv, c.Argv...), args...)
	return c
}

// Outcome is how a run ended.
type Outcome struct {
	// ExitCode is the exit status 0..255, and -1 for a program that did not
	// start or that a signal ended.
	ExitCode int
	// Signal is the signal that ended the program, 0 when none did.
	Signal syscall.Signal
	// TimedOut says that the time limit ended it.
	TimedOut bool
	// Err is the reason why the program could not start, or the cause of a
	// cancelled context. An exit status other than 0 is not an error.
	Err error
	// Output is the beginning of stdout and stderr, in the order written.
	Output []byte
}

// OK says that the program ran to its end with exit status 0.
func (o Outcome) OK() bool { return o.ExitCode == 0 && !o.TimedOut && o.Err == nil }

// String describes the outcome for logs, such as "exit status 1" or "timed out".
func (o Outcome) String() string {
	switch {
	case o.Err != nil:
		return o.Err.Error()
	case o.TimedOut:
		return "timed out"
	case o.Signal != 0:
		return "ended by signal " + unix.SignalName(o.Signal)
	}
	return "exit status " + strconv.Itoa(o.ExitCode)
}

// Run starts the command and waits for its end. After timeout (0 means none),
// or when ctx ends, the process group gets SIGTERM and, Grace later or as soon
// as the program itself is gone, SIGKILL. What a program that ended in time has
// left in the background stays.
func Run(ctx context.Context, c Command, timeout time.Duration) Outcome {
	return run(ctx, c, timeout, func() {})
}

// Start is Run without the wait: it returns when the program has started, or
// could not, and the channel gives the outcome once. Programs started one after
// the other begin in that order.
func Start(ctx context.Context, c Command, timeout time.Duration) <-chan Outcome {
	started := make(chan struct{})
	done := make(chan Outcome, 1)
	go func() { done <- run(ctx, c, timeout, func() { close(started) }) }()
	<-started
	return done
}

// run calls started once, when the program has started or could not.
func run(ctx context.Context, c Command, timeout time.Duration, started func()) Outcome {
	if ctx.Err() != nil {
		started()
		return Outcome{ExitCode: -1, Err: context.Cause(ctx)}
	}
	out := &cappedBuffer{limit: OutputLimit}
	p, err := start(c, out)
	started()
	if err != nil {
		return Outcome{ExitCode: -1, Err: err}
	}
	o := p.wait(ctx, timeout)
	o.Output = out.data
	return o
}

// start runs the program; a text file without an interpreter line goes to
// /bin/sh, which is what execvp(3) does with it.
func start(c Command, out *cappedBuffer) (*process, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("start script: the command is empty")
	}
	p, err := startProcess(c, out)
	if errors.Is(err, unix.ENOEXEC) {
		if path, lookErr := exec.LookPath(c.Argv[0]); lookErr == nil {
			c.Argv = append([]string{"/bin/sh", path}, c.Argv[1:]...)
			p, err = startProcess(c, out)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start script %q: %w", c.Argv[0], err)
	}
	return p, nil
}

// newCmd translates the command; stdin is /dev/null.
func newCmd(c Command, out *cappedBuffer) *exec.Cmd {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,
		Pdeathsig: syscall.SIGTERM,
	}
	if c.HasUser && !isSelf(c) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: c.Groups}
	}
	if c.Capture {
		cmd.Stdout, cmd.Stderr = out, out
		cmd.WaitDelay = drainTime
	}
	return cmd
}

// isSelf tells whether an unprivileged daemon already has the identity, which
// it could not set again: setgroups(2) needs a privilege.
func isSelf(c Command) bool {
	return os.Geteuid() != 0 && int(c.UID) == os.Geteuid() && int(c.GID) == os.Getegid()
}

// cappedBuffer keeps the first octets and accepts all others, so that a
// program that writes much is never blocked and never fills the memory.
type cappedBuffer struct {
	data  []byte
	limit int
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if room := b.limit - len(b.data); room > 0 {
		b.data = append(b.data, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
