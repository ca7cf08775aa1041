package vrrp

import (
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// numbers collects what a tracker tells.
type numbers struct {
	mu   sync.Mutex
	list []int
}

func (n *numbers) add(v int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, v)
}

func (n *numbers) get() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	noError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestFileTrackerFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "value")
	writeFile(t, path, "5\n")
	log, logs := testLog()
	f := NewFileTracker(TrackFile{Name: "tf", Path: path}, log)
	if f.Value() != 5 {
		t.Errorf("at the start: %d", f.Value())
	}
	runTask(t, f.Run)
	var got numbers
	defer f.Watch(got.add)()
	is := func(want int) {
		t.Helper()
		eventually(t, "the value is not told", func() bool { l := got.get(); return l[len(l)-1] == want })
	}
	writeFile(t, path, "-20")
	is(-20)
	writeFile(t, path+".new", "77 and more")
	noError(t, os.Rename(path+".new", path))
	is(77)
	noError(t, os.Remove(path))
	is(0)
	writeFile(t, path, "1")
	is(1)
	writeFile(t, path, "many")
	is(0)
	writeFile(t, path, "99999999999")
	is(1<<31 - 1)
	if want := []int{5, -20, 77, 0, 1, 0, 1<<31 - 1}; !slices.Equal(slices.Compact(got.get()), want) {
		t.Errorf("told %v, want %v", got.get(), want)
	}
	for _, want := range []string{"no such file", `\"many\" is no number`, "track_file=tf"} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, logs)
		}
	}
}

// The directory may come later, and the file may be a link into another one.
func TestFileTrackerWithoutEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path, target := filepath.Join(dir, "link"), filepath.Join(t.TempDir(), "target")
	f := NewFileTracker(TrackFile{Name: "tf", Path: path}, slog.New(slog.DiscardHandler))
	runTask(t, f.Run)
	writeFile(t, target, "3")
	noError(t, os.Mkdir(dir, 0o700))
	noError(t, os.Symlink(target, path))
	eventually(t, "the value is not 3", func() bool { return f.Value() == 3 })
	writeFile(t, target, "4")
	eventually(t, "the value is not 4", func() bool { return f.Value() == 4 })
}

func TestFileTrackerInit(t *testing.T) {
	dir := t.TempDir()
	read := func(path string) string {
		b, err := os.ReadFile(path)
		noError(t, err)
		return string(b)
	}
	log, logs := testLog()
	fresh := filepath.Join(dir, "new")
	if f := NewFileTracker(TrackFile{Path: fresh, Init: true, InitValue: -3}, log); f.Value() != -3 || read(fresh) != "-3\n" {
		t.Errorf("new: value %d, file %q", f.Value(), read(fresh))
	}
	old := filepath.Join(dir, "old")
	writeFile(t, old, "8")
	if f := NewFileTracker(TrackFile{Path: old, Init: true, InitValue: 1}, log); f.Value() != 8 {
		t.Errorf("without overwrite: value %d", f.Value())
	}
	if f := NewFileTracker(TrackFile{Path: old, Init: true, InitValue: 1, Overwrite: true}, log); f.Value() != 1 {
		t.Errorf("with overwrite: value %d", f.Value())
	}
	if logs.String() != "" {
		t.Errorf("log: %s", logs)
	}
	// A link that somebody else has put there is not written through.
	link := filepath.Join(dir, "link")
	noError(t, os.Symlink(old, link))
	NewFileTracker(TrackFile{Path: link, Init: true, InitValue: 9, Overwrite: true}, log)
	if read(old) != "1\n" || !strings.Contains(logs.String(), "cannot initialise") {
		t.Errorf("through a link: file %q, log %s", read(old), logs)
	}
	pipe := filepath.Join(dir, "pipe")
	noError(t, unix.Mkfifo(pipe, 0o600))
	if f := NewFileTracker(TrackFile{Path: pipe}, log); f.Value() != 0 || !strings.Contains(logs.String(), "not a regular file") {
		t.Errorf("a pipe: value %d, log %s", f.Value(), logs)
	}
}

func TestInotifyConcerns(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, inotifyHeader)
		binary.NativeEndian.PutUint32(b[4:], mask)
		if name != "" {
			padded := make([]byte, 16)
			copy(padded, name)
			binary.NativeEndian.PutUint32(b[12:], 16)
			b = append(b, padded...)
		}
		return b
	}
	other := event(unix.IN_CLOSE_WRITE, "values")
	tests := []struct {
		name string
		buf  []byte
		want bool
	}{
		{"empty", nil, false},
		{"other name", other, false},
		{"second event", append(slices.Clone(other), event(unix.IN_DELETE, "value")...), true},
		{"lost events", append(slices.Clone(other), event(unix.IN_Q_OVERFLOW, "")...), true},
		{"truncated", event(unix.IN_DELETE, "value")[:20], false},
		{"short header", make([]byte, 15), false},
	}
	for _, tt := range tests {
		if got := inotifyConcerns(tt.buf, "value"); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
