package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockOne waits for an exclusive lock on one of the files, which it makes, and
// holds it until unlock is called or the process ends.
func lockOne(ctx context.Context, paths ...string) (unlock func(), err error) {
	// Asked for again and again: the system call that waits cannot be cancelled.
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		for _, path := range paths {
			f, err := tryLock(path)
			if err != nil {
				return nil, fmt.Errorf("lock %q: %w", path, err)
			}
			if f != nil {
				return func() { f.Close() }, nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %q: %w", paths[0], context.Cause(ctx))
		}
	}
}

// tryLock gives the file when it could be locked, nil when another has it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	return nil, err
}
