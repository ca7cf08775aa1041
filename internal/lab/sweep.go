package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namePrefix begins the names of namespaces and directories of labs, and of
// nothing else, because Sweep removes what bears it.
const namePrefix = "xviplab-"

// Sweep removes namespaces and directories of labs whose process is dead, and
// ends what still runs in them. Labs of living processes are left alone.
func Sweep() error {
	var errs []error
	for _, pattern := range []string{netnsDir, os.TempDir()} {
		paths, err := filepath.Glob(filepath.Join(pattern, namePrefix+"*-*"))
		if err != nil {
			return err
		}
		for _, p := range paths {
			prefix, ok := leftover(filepath.Base(p))
			if !ok {
				continue
			}
			if pattern == netnsDir {
				errs = append(errs, removeNamespaces(prefix))
			} else {
				errs = append(errs, unmountAndRemove(p))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep old labs: %w", err)
	}
	return nil
}

// leftover reads a name such as xviplab-PID-LAB-HOST and tells whether that
// process is dead; then prefix is the part that its lab's names share.
func leftover(name string) (prefix string, ok bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return "", false
	}
	parts := strings.SplitN(rest, "-", 3)
	pid, err := strconv.Atoi(parts[0])
	if len(parts) < 3 || err != nil || pid <= 0 {
		return "", false
	}
	// A process that had our number before us is dead, too.
	mine := pid == os.Getpid()
	if mine {
		labs.Lock()
		defer labs.Unlock()
		mine = labs.used[parts[1]]
	}
	alive := mine || pid != os.Getpid() && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	return fmt.Sprintf("%s%d-%s-", namePrefix, pid, parts[1]), !alive
}

// removeNamespaces removes every namespace whose name begins with prefix, and
// kills what runs in them.
func removeNamespaces(prefix string) error {
	paths, err := filepath.Glob(filepath.Join(netnsDir, prefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range paths {
		if err := killInside(p); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, removeNamespace(filepath.Base(p)))
	}
	return errors.Join(errs...)
}

// killInside ends the processes in the namespace mounted on path. Daemons put
// children into groups of their own, which the group of the first one does not
// reach; the namespace is ours alone, so is all that runs in it.
func killInside(path string) error {
	pids, err := pidsInside(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d in %q: %w", pid, path, err)
		}
	}
	return err
}

// pidsInside lists the processes in the namespace mounted on path, without
// ourselves.
func pidsInside(path string) ([]int, error) {
	var ns unix.Stat_t
	if err := unix.Stat(path, &ns); err != nil {
		return nil, fmt.Errorf("read namespace %q: %w", path, err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range procs {
		var st unix.Stat_t
		if unix.Stat(p, &st) != nil || st.Ino != ns.Ino || st.Dev != ns.Dev {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(p, "/")[2]); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// guard is a process that outlives ours and removes the lab when we are gone:
// the end of its standard input tells it.
type guard struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// guardScript gets the namespaces' prefix and the lab's directory. It waits
// for the end of our process first, so that no thread of ours holds a mount. The
// switch goes before its namespace: see KeepSwitches.
const guardScript = `cat >/dev/null
for ns in "$1"*; do nsenter --net="$ns" ip link del switch 2>/dev/null; umount -l "$ns" 2>/dev/null; rm -f "$ns"; done
umount -l "$2/bpf" 2>/dev/null
rm -rf "$2"`

func startGuard(prefix, dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "sh", filepath.Join(netnsDir, prefix), dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us, not for it
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return &guard{cmd: cmd, stdin: stdin}, nil
}

// dismiss lets the guard find nothing left to do and waits for it.
func (g *guard) dismiss() error {
	g.stdin.Close()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("end guard: %w", err)
	}
	return nil
}
