package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fifoLogGap is the least time between two log lines about lost events.
const fifoLogGap = 10 * time.Second

// FIFO is a named pipe to which events are written, a line each. It is open for
// reading too, so that a line may wait for a reader that comes later.
type FIFO struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	fd     int // -1 when closed
	lost   uint64
	logged time.Time
}

// OpenFIFO makes the named pipe with mode 0600 for uid and gid, or takes one
// that an earlier life has left. Anything else at that path, also a symbolic
// link or a pipe of another user, is refused.
func OpenFIFO(path string, uid, gid uint32, log *slog.Logger) (*FIFO, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make fifo %q: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open fifo %q: %w", path, err)
	}
	if err := claimFIFO(fd, uid, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("open fifo %q: %w", path, err), unix.Close(fd))
	}
	return &FIFO{path: path, log: log, fd: fd}, nil
}

// claimFIFO makes sure that the open file is a pipe of ours and gives it away.
func claimFIFO(fd int, uid, gid uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return errors.New("the file is there and is not a fifo")
	}
	if st.Uid != uid && st.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("the fifo is there and belongs to uid %d", st.Uid)
	}
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return err
	}
	if st.Uid == uid && st.Gid == gid {
		return nil
	}
	return unix.Fchown(fd, int(uid), int(gid))
}

// Path is the name of the pipe.
func (f *FIFO) Path() string { return f.path }

// Lost is the number of lines that found the pipe full.
func (f *FIFO) Lost() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// Write writes a line, to which it adds the end. It never waits: when the pipe
// is full because nobody reads, the line is lost and the log says so.
func (f *FIFO) Write(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return
	}
	// Lines are shorter than PIPE_BUF, so they are written whole or not at all.
	_, err := unix.Write(f.fd, []byte(line+"\n"))
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Write(f.fd, []byte(line+"\n"))
	}
	if err == nil {
		return
	}
	f.lost++
	if now := time.Now(); now.Sub(f.logged) >= fifoLogGap {
		f.logged = now
		f.log.Warn("cannot write an event to the fifo", "fifo", f.path, "line", line, "lost", f.lost, "err", err)
	}
}

// Close closes the pipe and removes it.
func (f *FIFO) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, unix.Close(fd))
}

func (f *FIFO) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fd < 0
}

// RunReader runs the program that reads the pipe, with the pipe's path as its last
// argument, until ctx ends or it ends after Close. One that ends is started again, at first after a
// second, later after up to a minute.
func (f *FIFO) RunReader(ctx context.Context, c Command) error {
	const least, most = time.Second, time.Minute
	c.Capture = false
	pause := least
	for {
		start := time.Now()
		o := Run(ctx, c.With(f.path), 0)
		if ctx.Err() != nil || f.closed() {
			return nil
		}
		if time.Since(start) > most {
			pause = least
		}
		f.log.Warn("the reader of the fifo ended, it is started again", "fifo", f.path, "command", c, "result", o, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, most)
	}
}
