package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// forker is a thread inside a namespace that lives as long as the host. Every
// process of the host is started by it: the parent-death signal comes when the
// thread that forked ends, not the process.
type forker struct {
	jobs chan func()
	once sync.Once
}

func newForker(ns *namespace) (*forker, error) {
	f := &forker{jobs: make(chan func())}
	ready := make(chan error, 1)
	onOwnThread(func() {
		ready <- ns.enter()
		for job := range f.jobs {
			job()
		}
	})
	if err := <-ready; err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (f *forker) run(job func() error) error {
	done := make(chan error)
	f.jobs <- func() { done <- job() }
	return <-done
}

func (f *forker) stop() { f.once.Do(func() { close(f.jobs) }) }

// Command is a process to start on a host.
type Command struct {
	Argv []string
	Env  []string  // added to ours
	Dir  string    // working directory; ours when empty
	Out  io.Writer // both outputs; discarded when nil
}

// Process runs on a host, in a process group of its own. It dies with us.
type Process struct {
	argv []string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done
}

// Start starts a process on the host.
func (h *Host) Start(c Command) (*Process, error) {
	if len(c.Argv) == 0 {
		return nil, fmt.Errorf("start on host %q: no command", h.name)
	}
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, c.Out, c.Out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe of Out
	if err := h.forks.run(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %q on host %q: %w", c.Argv[0], h.name, err)
	}
	p := &Process{argv: c.Argv, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	h.atClose(p.Kill)
	return p, nil
}

// Run runs a command on the host to its end and gives what it wrote on both
// outputs. When ctx ends first, the command is killed.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	p, err := h.Start(Command{Argv: argv, Out: &out})
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return out.String(), fmt.Errorf("run %q on host %q: %w", strings.Join(argv, " "), h.name, context.Cause(ctx))
	}
	if p.err != nil {
		return out.String(), fmt.Errorf("run %q on host %q: %w: %s", strings.Join(argv, " "), h.name, p.err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// Pids lists the processes on the host, whoever started them.
func (h *Host) Pids() ([]int, error) { return pidsInside(filepath.Join(netnsDir, h.ns.name)) }

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err is nil while the process runs and after exit code 0, otherwise how it
// ended (*exec.ExitError).
func (p *Process) Err() error {
	if p.Running() {
		return nil
	}
	return p.err
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %q: %w", s, p.argv[0], err)
	}
	return nil
}

// Kill ends the process and its group at once and waits for it.
func (p *Process) Kill() {
	if p.Running() {
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL) // it may have ended meanwhile
	}
	<-p.done
}

// Stop asks the process to end by SIGTERM and waits. When ctx ends first, it is
// killed and ctx's error is returned.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop %q: killed: %w", p.argv[0], context.Cause(ctx))
	}
}
