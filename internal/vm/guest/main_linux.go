// Command guest is the init of a test machine (see internal/vm): it mounts what
// a system has, does the plan of its initramfs, tells the host over the second
// serial port, and switches the machine off.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/xvip-lb/xvip/internal/vm/wire"
	"golang.org/x/sys/unix"
)

const port = "/dev/ttyS1"

// Process 1 only starts the one that works and buries orphans; os/exec in it
// would fight with that over exit statuses.
func main() {
	if os.Getpid() != 1 {
		work()
		return
	}
	if err := mountAll(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	} else if err := superviseWorker(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	panic(fmt.Sprintf("guest: power off: %v", err))
}

func superviseWorker() error {
	worker, err := os.StartProcess("/proc/self/exe", []string{"guest"}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Env: environment,
	})
	if err != nil {
		return err
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		if pid == worker.Pid || err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "TMPDIR=/tmp", "LC_ALL=C.UTF-8", "XVIP_VM=1",
}

func work() {
	line, err := openPort()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return
	}
	defer line.Close()
	code, err := carryOut(line)
	if err != nil {
		code = -1
		err = wire.Write(line, wire.Frame{Kind: wire.Failed, Data: []byte(err.Error())})
	}
	status := binary.BigEndian.AppendUint32(nil, uint32(int32(code)))
	err = errors.Join(err, wire.Write(line, wire.Frame{Kind: wire.Exit, Data: status}))
	// Power goes off next: wait until the port has sent everything (tcdrain).
	if err = errors.Join(err, unix.IoctlSetInt(int(line.Fd()), unix.TCSBRK, 1)); err != nil {
		fmt.Fprintln(os.Stderr, "guest: tell host:", err)
	}
}

// carryOut does the plan and gives the command's exit status.
func carryOut(line *os.File) (int, error) {
	var plan wire.Plan
	text, err := os.ReadFile(wire.PlanPath)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return 0, fmt.Errorf("read plan: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return 0, fmt.Errorf("set lo up: %w", err)
	}
	for _, m := range plan.Modules {
		if out, err := exec.Command("modprobe", m).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("load module %q: %w: %s", m, err, bytes.TrimSpace(out))
		}
	}
	if err := wire.Write(line, wire.Frame{Kind: wire.Ready, Data: []byte(release())}); err != nil {
		return 0, err
	}
	code, err := run(line, plan)
	return code, errors.Join(err, collect(line, plan.Collect))
}

// run runs the command of the plan; what it writes goes to the host.
func run(line *os.File, plan wire.Plan) (int, error) {
	if len(plan.Argv) == 0 {
		return 0, errors.New("run command: the plan has none")
	}
	cmd := exec.Command(plan.Argv[0], plan.Argv[1:]...)
	cmd.Env = append(os.Environ(), plan.Env...)
	if cmd.Dir = plan.Dir; cmd.Dir == "" {
		cmd.Dir = "/root"
	}
	if err := os.MkdirAll(cmd.Dir, 0o755); err != nil {
		return 0, err
	}
	out := framer{line}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return 128 + int(status.Signal()), nil // as a shell says it
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

type framer struct{ line *os.File }

func (f framer) Write(p []byte) (int, error) {
	if err := wire.Write(f.line, wire.Frame{Kind: wire.Output, Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func collect(line *os.File, patterns []string) error {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("collect %q: %w", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("collect: %w", err)
			}
			if err := wire.Write(line, wire.Frame{Kind: wire.File, Data: append([]byte(path+"\x00"), data...)}); err != nil {
				return err
			}
		}
	}
	return nil
}
