package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock is the promise that one daemon at a time uses a state directory. It ends
// with the process, however that ends, so a stale file never blocks a start.
type lock struct{ f *os.File }

// takeLock locks dir/xvip.lock and makes dir if it is missing.
func takeLock(dir string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	path := filepath.Join(dir, "xvip.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner := make([]byte, 32)
		n, _ := f.Read(owner)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another xvip (pid %s) uses state directory %q: stop it, or give this one its own with --state-dir", strings.TrimSpace(string(owner[:n])), dir)
		}
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	return &lock{f}, nil
}

func (l *lock) release() { l.f.Close() }

// writePid writes the pid to path by way of a temporary file, so that a reader
// never sees half and a link that someone planted is not followed.
func writePid(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".pid")
	if err != nil {
		return fmt.Errorf("write pid file %q: %w", path, err)
	}
	_, err = fmt.Fprintln(tmp, os.Getpid())
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write pid file %q: %w", path, err)
	}
	return nil
}
