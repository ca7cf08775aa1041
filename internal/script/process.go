package script

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running program. The goroutine that started it stays locked to
// its thread until wait returns: the kernel sends the parent-death signal when
// the thread that forked ends, not the process (prctl(2), PR_SET_PDEATHSIG), and
// a thread that some other goroutine polluted and abandoned would take the
// program with it.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the program is a zombie, not yet reaped
}

// startProcess forks on the calling thread and locks it; wait unlocks it.
func startProcess(c Command, out *cappedBuffer) (*process, error) {
	p := &process{cmd: newCmd(c, out), exited: make(chan struct{})}
	runtime.LockOSThread()
	if err := p.cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		waitExited(p.cmd.Process.Pid)
	}()
	return p, nil
}

// waitExited returns when the child has ended and leaves it unreaped, so that
// its number cannot be given to another process group meanwhile.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// wait ends the group on time-out or cancellation, reaps and reports.
func (p *process) wait(ctx context.Context, timeout time.Duration) Outcome {
	defer runtime.UnlockOSThread()
	var limit <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		limit = t.C
	}
	var o Outcome
	select {
	case <-p.exited:
	case <-limit:
		o.TimedOut = true
		p.terminate()
	case <-ctx.Done():
		o.Err = context.Cause(ctx)
		p.terminate()
	}
	// The error says no more than the state does: it is an exit status, a
	// signal, or output held open by a child in the background.
	_ = p.cmd.Wait()
	o.ExitCode = p.cmd.ProcessState.ExitCode()
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		o.Signal = ws.Signal()
	}
	return o
}

// terminate ends the process group: SIGTERM, then SIGKILL for what is left.
func (p *process) terminate() {
	group := -p.cmd.Process.Pid
	_ = unix.Kill(group, unix.SIGTERM)
	t := time.NewTimer(Grace)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
	}
	_ = unix.Kill(group, unix.SIGKILL)
}
