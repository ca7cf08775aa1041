package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts in order. A kernel without a file system of the optional ones still
// makes a machine.
var mounts = []struct {
	kind, at, options string
	optional          bool
}{
	{kind: "proc", at: "/proc"},
	{kind: "sysfs", at: "/sys"},
	{kind: "devtmpfs", at: "/dev"},
	{kind: "devpts", at: "/dev/pts", options: "ptmxmode=0666", optional: true},
	{kind: "tmpfs", at: "/dev/shm", options: "mode=1777"},
	{kind: "tmpfs", at: "/run", options: "mode=0755"},
	{kind: "tmpfs", at: "/tmp", options: "mode=1777"},
	{kind: "bpf", at: "/sys/fs/bpf", optional: true},
	{kind: "cgroup2", at: "/sys/fs/cgroup", optional: true},
	{kind: "debugfs", at: "/sys/kernel/debug", optional: true},
	{kind: "tracefs", at: "/sys/kernel/tracing", optional: true},
}

func mountAll() error {
	for _, m := range mounts {
		// Where sysfs has no place for it, the kernel lacks the file system.
		err := os.MkdirAll(m.at, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.at, m.kind, 0, m.options)
		}
		if err != nil && !m.optional {
			return fmt.Errorf("mount %q at %q: %w", m.kind, m.at, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2", "/var/run": "/run",
	} {
		if err := os.Symlink(target, link); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// openPort opens the line to the host, raw: no byte of ours is changed.
func openPort() (*os.File, error) {
	line, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open line to host: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("make %q raw: %w", port, err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	if err := unix.IoctlSetTermios(int(line.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("make %q raw: %w", port, err)
	}
	return line, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// release is what uname -r says.
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
