package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Marks in the environment of processes that xvip starts of itself.
const (
	childMark = "XVIP_READY_FD" // number of the pipe that tells the parent
	nsMark    = "XVIP_NETNS"    // namespace that was entered
)

// Privileged gives an error that says what to do when the process may not do a
// director's work.
func Privileged() error {
	var hdr = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	effective := uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_NET_RAW, "CAP_NET_RAW"}} {
		if effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s missing: run xvip as root, or grant it (systemd: AmbientCapabilities=)", strings.Join(missing, " and "))
	}
	return nil
}

// EnterNamespace makes the whole process run in the named network namespace:
// the thread enters it and the program starts again from there, because only a
// thread can change its namespace.
func EnterNamespace(name string) error {
	if os.Getenv(nsMark) == name {
		return nil
	}
	runtime.LockOSThread()
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("enter network namespace %q: %w (ip netns add makes one)", name, err)
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter network namespace %q: %w", name, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if err := unix.Exec(self, os.Args, append(os.Environ(), nsMark+"="+name)); err != nil {
		return fmt.Errorf("start again in network namespace %q: %w", name, err)
	}
	return errors.New("unreachable: exec returned")
}

// IsChild says that this process is the one that goes on in the background.
func IsChild() bool { return os.Getenv(childMark) != "" }

// Fork starts this program again in the background, in a session of its own,
// and returns when it is ready or has failed; its first words on stderr are
// then in the error.
func Fork() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe to the background process: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), childMark+"=3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = w // errors before the log is open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return fmt.Errorf("start the background process: %w", err)
	}
	w.Close()
	return waitReady(r)
}

const readyLine = "ready\n"

func waitReady(r io.Reader) error {
	var said strings.Builder
	br := bufio.NewReader(io.LimitReader(r, 1<<20))
	for {
		line, err := br.ReadString('\n')
		if line == readyLine {
			return nil
		}
		said.WriteString(line)
		if err != nil {
			msg := strings.TrimSpace(said.String())
			if msg == "" {
				msg = "it ended without a word"
			}
			return fmt.Errorf("the background process did not start: %s", strings.TrimPrefix(msg, "xvip: "))
		}
	}
}

// TellParent reports readiness to the process that forked this one, if any,
// and lets go of its terminal.
func TellParent() {
	if !IsChild() {
		return
	}
	os.Unsetenv(childMark)
	w := os.NewFile(3, "ready")
	_, _ = io.WriteString(w, readyLine)
	w.Close()
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		_ = unix.Dup2(int(null.Fd()), 2)
		null.Close()
	}
}
