package vrrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// fileTextLimit is the number of octets read: a number has 11 at most.
	fileTextLimit = 64
	// fileReread is the time between readings without an event: the file may be
	// a symbolic link to somewhere else, or on a file system of another host.
	fileReread = time.Second
)

// TrackFile is a track_file.
type TrackFile struct {
	Name string
	Path string
	// Init creates the file with InitValue at the start; with Overwrite also
	// when there is one.
	Init      bool
	InitValue int
	Overwrite bool
}

// FileTracker follows the number in a file that some other program writes. A
// file that is missing or holds no number counts as 0.
type FileTracker struct {
	cfg   TrackFile
	log   *slog.Logger
	last  string // the trouble logged last
	value *cell[int]
}

// NewFileTracker creates the file if that is asked for, and reads it.
func NewFileTracker(cfg TrackFile, log *slog.Logger) *FileTracker {
	t := &FileTracker{cfg: cfg, log: log.With("track_file", cfg.Name, "path", cfg.Path)}
	if cfg.Init {
		if err := t.init(); err != nil {
			t.log.Error("cannot initialise the tracked file", "err", err)
		}
	}
	value, err := readNumber(cfg.Path)
	t.report(err)
	t.value = newCell(value)
	return t
}

// Value is the number read last, within 32 bits.
func (t *FileTracker) Value() int { return t.value.get() }

// Watch calls fn with the number, now and after each change, until stop is
// called. fn must return at once and not call the tracker.
func (t *FileTracker) Watch(fn func(int)) (stop func()) { return t.value.watch(fn) }

func (t *FileTracker) init() error {
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NOFOLLOW
	if t.cfg.Overwrite {
		flags |= os.O_TRUNC
	} else {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(t.cfg.Path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) && !t.cfg.Overwrite {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\n", t.cfg.InitValue)
	return errors.Join(err, f.Close())
}

// Run reads the file after each change until ctx ends. It watches the directory,
// so that a file that is replaced is followed.
func (t *FileTracker) Run(ctx context.Context) error {
	dir, err := newDirWatch(filepath.Dir(t.cfg.Path))
	if err != nil {
		return fmt.Errorf("watch tracked file %q: %w", t.cfg.Path, err)
	}
	events := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		dir.run(filepath.Base(t.cfg.Path), events)
	}()
	defer func() { dir.close(); <-ended }()
	tick := time.NewTicker(fileReread)
	defer tick.Stop()
	t.read(true) // it may have changed since the first reading
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			t.read(true)
		case <-tick.C:
			dir.add() // the directory may have come into being
			t.read(false)
		}
	}
}

// read takes the number over. Between events an empty file is left alone: its
// writer has cut it and not yet written.
func (t *FileTracker) read(closed bool) {
	value, err := readNumber(t.cfg.Path)
	if errors.Is(err, errEmptyFile) && !closed {
		return
	}
	t.report(err)
	if old := t.value.get(); old != value {
		t.log.Info("tracked file changed", "was", old, "value", value)
	}
	t.value.set(value)
}

// report logs a trouble once.
func (t *FileTracker) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != t.last {
		t.log.Warn("tracked file counts as 0", "err", err)
	}
	t.last = text
}

var errEmptyFile = errors.New("the file is empty")

// readNumber gives the number at the beginning of a file, cut to 32 bits.
func readNumber(path string) (int, error) {
	// Without O_NONBLOCK opening a pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, errors.Join(err, fmt.Errorf("read %q: not a regular file", path))
	}
	text, err := io.ReadAll(io.LimitReader(f, fileTextLimit))
	if err != nil {
		return 0, err
	}
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return 0, errEmptyFile
	}
	value, err := strconv.ParseInt(words[0], 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("read %q: %q is no number", path, words[0])
	}
	return int(value), nil
}

// dirWatch is an inotify(7) watch of one directory.
type dirWatch struct {
	path string
	file *os.File
}

func newDirWatch(path string) (*dirWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &dirWatch{path: path, file: os.NewFile(uintptr(fd), "inotify")}
	w.add()
	return w, nil
}

// add watches the directory, again if it was made anew; one that is not there
// is tried again by the caller.
func (w *dirWatch) add() {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) {
		_, _ = unix.InotifyAddWatch(int(fd), w.path,
			unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE|unix.IN_ONLYDIR)
	})
}

func (w *dirWatch) close() { _ = w.file.Close() }

// run tells of each event for the name, or when the kernel has lost some, until
// the watch is closed.
func (w *dirWatch) run(name string, events chan<- struct{}) {
	buf := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		if inotifyConcerns(buf[:n], name) {
			select {
			case events <- struct{}{}:
			default:
			}
		}
	}
}
