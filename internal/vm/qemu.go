package vm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	defaultMemory = 1 << 30
	defaultCPUs   = 1
)

// DefaultLimit is how long a machine may be on when it does not say it.
const DefaultLimit = 5 * time.Minute

// qemu is one machine about to run.
type qemu struct {
	m      Machine
	kernel Kernel
	dir    string // its files
}

func (q qemu) image() string   { return filepath.Join(q.dir, "initramfs") }
func (q qemu) console() string { return filepath.Join(q.dir, "console") }
func (q qemu) line() string    { return filepath.Join(q.dir, "line") }

func (q qemu) args() []string {
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot",
		// KVM is not asked for even where it is: every run is the same machine.
		"-machine", "q35,accel=tcg", "-cpu", "max",
		"-smp", strconv.Itoa(cmp.Or(q.m.CPUs, defaultCPUs)),
		"-m", strconv.FormatInt(cmp.Or(q.m.Memory, defaultMemory)>>20, 10),
		"-kernel", q.kernel.Image, "-initrd", q.image(),
		// A panic reboots, which -no-reboot makes an end. Grace periods of RCU are
		// most of what loading a BPF program waits for.
		"-append", "console=ttyS0 loglevel=6 panic=-1 oops=panic random.trust_cpu=on mitigations=off rcupdate.rcu_expedited=1 net.ifnames=0",
		// Both serial ports are built into the kernels; virtio would need modules first.
		"-serial", "file:" + q.console(), "-serial", "file:" + q.line(),
	}
}

// run starts the machine and waits until it is off; at its limit it is killed.
// It gives the CPU time that emulation took.
func (q qemu) run(ctx context.Context) (cpu time.Duration, err error) {
	limit := cmp.Or(q.m.Limit, DefaultLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not off %v after power on: killed", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", q.args()...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 5 * time.Second
	// The machine dies with this process. The signal is tied to the thread that
	// started it, so the thread stays.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if p := cmd.ProcessState; p != nil {
		cpu = p.UserTime() + p.SystemTime()
	}
	if ctx.Err() != nil {
		return cpu, context.Cause(ctx)
	}
	if err != nil {
		return cpu, fmt.Errorf("run qemu-system-x86_64 (Debian package qemu-system-x86): %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return cpu, nil
}
