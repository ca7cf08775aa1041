package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running program. It costs no thread: thousands of checks that
// hang must not run into the limit of the runtime, which would end the daemon.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the program is a zombie, not yet reaped
}

// forker gives the way to the one thread that starts all programs. The kernel
// sends the parent-death signal when the thread that forked ends, not when the
// process does (prctl(2), PR_SET_PDEATHSIG), and the runtime ends threads: this
// one belongs to a goroutine that stays.
var forker = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

// Thread gives the number of the thread that starts all programs. A child has the
// scheduling of the thread that forks it.
func Thread() int {
	tid := make(chan int)
	forker() <- func() { tid <- unix.Gettid() }
	return <-tid
}

// startProcess starts the program and watches for its end.
func startProcess(c Command, out *cappedBuffer) (*process, error) {
	p := &process{cmd: newCmd(c, out), exited: make(chan struct{})}
	started := make(chan error, 1)
	forker() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	end, err := watchExit(p.cmd.Process.Pid)
	if err != nil {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		_ = p.cmd.Wait()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		end()
	}()
	return p, nil
}

// watchExit gives a function that returns when the child has ended, and leaves
// it unreaped, so that its number cannot be given to another process group
// meanwhile. It waits in the runtime's poller by a pidfd (Linux 5.10).
func watchExit(pid int) (wait func(), err error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch process: %w", os.NewSyscallError("pidfd_open", err))
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch process: %w", err), file.Close())
	}
	return func() {
		defer file.Close()
		if err := raw.Read(func(fd uintptr) bool { return hasExited(int(fd), unix.WNOHANG) }); err != nil {
			hasExited(fd, 0) // the runtime's poller cannot: wait by a thread
		}
	}, nil
}

// hasExited tells whether the child behind a pidfd is a zombie, at once with
// WNOHANG, else when it is one. A child that cannot be asked about is taken for
// one: there is nothing left to wait for.
func hasExited(pidfd, hang int) bool {
	for {
		var info unix.Siginfo // stays zero while the child runs
		err := unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED|unix.WNOWAIT|hang, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN): // a nonblocking pidfd of a running child
			if hang == unix.WNOHANG {
				return false
			}
			// Without WNOHANG a nonblocking pidfd does not wait either.
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
			continue
		}
		return err != nil || info.Signo == int32(unix.SIGCHLD)
	}
}

// wait ends the group on time-out or cancellation, reaps and reports.
func (p *process) wait(ctx context.Context, timeout time.Duration) Outcome {
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
	<-p.exited // SIGKILL is not waited for by a thread either
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
