// Package vm runs programs in virtual machines with Debian's kernels: the rung
// of the tests where IPVS exists and where XDP programs meet old verifiers.
//
// A machine is QEMU without KVM (its emulation runs everywhere), a kernel that
// apt fetched (Fetch), and an initramfs made here of the kernel's network
// modules, programs of this host with their libraries, and the caller's files.
// It runs one command and switches itself off. docs/decisions has the reasons.
package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/internal/vm/wire"
)

// Machine says what a virtual machine is made of. Only Kernel must be given.
type Machine struct {
	Kernel   string        // a release of Kernels: "6.1"
	Modules  []string      // loaded before the command, in this order; others load when the kernel asks for them
	Programs []string      // programs of this host, by name or path, taken along with their libraries; modprobe, sh, cat, rm, mount, umount, sleep and true always are
	Files    []File        // files of the guest
	Dir      string        // working directory of the command, made; /root when empty
	Env      []string      // added to the command's environment, "NAME=value"
	Collect  []string      // patterns (path.Match) of guest files to bring back when the command has ended
	Memory   int64         // bytes; 1 GiB when 0. Files and /tmp take from it.
	CPUs     int           // 1 when 0
	Limit    time.Duration // from power on to power off, then it is killed; DefaultLimit when 0
}

// Result is what came out of a machine.
type Result struct {
	Output   []byte            // what the command wrote, both of its streams
	ExitCode int               // of the command; 128+n when signal n ended it
	Files    map[string][]byte // what Collect asked for
	Release  string            // uname -r
	Console  []byte            // the kernel's messages
	Took     time.Duration     // from power on to power off
	CPU      time.Duration     // of this host, that emulation took; Took says more about its other work
}

// Run boots a machine, runs argv in it (as root; argv[0] by PATH or absolute)
// and waits until it is off. The error says why there is no exit status:
// something is missing on this host, the kernel panicked, the time was over. In
// these cases the result has what the machine had said, if it was started.
func Run(ctx context.Context, m Machine, argv ...string) (*Result, error) {
	r, err := run(ctx, m, argv)
	if err != nil {
		return r, fmt.Errorf("run %q on kernel %s: %w", strings.Join(argv, " "), m.Kernel, err)
	}
	return r, nil
}

func run(ctx context.Context, m Machine, argv []string) (*Result, error) {
	k, err := Fetch(ctx, m.Kernel)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "xvip-vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	q := qemu{m: m, kernel: k, dir: dir}
	if err := writeImage(ctx, q.image(), k, m, argv); err != nil {
		return nil, err
	}
	unlock, err := takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	start := time.Now()
	cpu, err := q.run(ctx)
	r := &Result{Took: time.Since(start), CPU: cpu, ExitCode: -1, Files: map[string][]byte{}}
	return r, errors.Join(err, r.read(q))
}

// takeTurn lets as many machines of this user run at a time as the host has
// CPUs, whatever process started them: emulation takes one whole, and the limit
// of a machine must not run out while it waits for others.
func takeTurn(ctx context.Context) (unlock func(), err error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	var turns []string
	for n := range runtime.NumCPU() {
		turns = append(turns, filepath.Join(cache, fmt.Sprintf("machine-%d.lock", n)))
	}
	return lockOne(ctx, turns...)
}

// read takes the result from what a machine has left.
func (r *Result) read(q qemu) error {
	var err error
	if r.Console, err = os.ReadFile(q.console()); err != nil {
		return err
	}
	line, err := os.Open(q.line())
	if err != nil {
		return err
	}
	defer line.Close()
	frames, err := wire.ReadAll(line)
	if err != nil {
		return err
	}
	ended := false
	for _, f := range frames {
		switch f.Kind {
		case wire.Ready:
			r.Release = string(f.Data)
		case wire.Output:
			r.Output = append(r.Output, f.Data...)
		case wire.File:
			name, data, _ := bytes.Cut(f.Data, []byte{0})
			r.Files[string(name)] = data
		case wire.Failed:
			err = errors.Join(err, fmt.Errorf("in the machine: %s", f.Data))
		case wire.Exit:
			ended = len(f.Data) == 4
			if ended {
				r.ExitCode = int(int32(binary.BigEndian.Uint32(f.Data)))
			}
		}
	}
	if !ended {
		return errors.Join(err, fmt.Errorf("the machine ended before its command; its console ends with\n%s", tail(r.Console, 80)))
	}
	return err
}

// tail gives the last n lines.
func tail(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
