package script

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func openFIFO(t *testing.T, path string) (*FIFO, *lockedBuffer) {
	t.Helper()
	buf := &lockedBuffer{}
	f, err := OpenFIFO(path, uint32(os.Geteuid()), uint32(os.Getegid()), slog.New(slog.NewTextHandler(buf, nil)))
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f, buf
}

func TestFIFOLinesWaitForTheReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	f, _ := openFIFO(t, path)
	f.Write(`INSTANCE "VI_1" MASTER 150`)
	f.Write(`GROUP "VG" BACKUP 0`)
	r, err := os.Open(path)
	must(t, err)
	defer r.Close()
	in := bufio.NewScanner(r)
	for _, want := range []string{`INSTANCE "VI_1" MASTER 150`, `GROUP "VG" BACKUP 0`} {
		if !in.Scan() || in.Text() != want {
			t.Errorf("got %q, %v, want %q", in.Text(), in.Err(), want)
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != os.ModeNamedPipe|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	must(t, f.Close())
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the fifo is still there: %v", err)
	}
	f.Write("after the end") // is no harm
}

func TestFIFOFullLosesLinesAndSaysSoOnce(t *testing.T) {
	f, logs := openFIFO(t, filepath.Join(t.TempDir(), "fifo"))
	line := strings.Repeat("x", 1000)
	for range 200 {
		f.Write(line)
	}
	if lost := f.Lost(); lost == 0 || lost >= 200 {
		t.Errorf("%d lines of 200 lost", lost)
	}
	if n := strings.Count(logs.String(), "cannot write an event"); n != 1 {
		t.Errorf("%d lines of log:\n%s", n, logs)
	}
}

func TestFIFOTakesItsOwnAndRefusesOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of other users need root")
	}
	dir := t.TempDir()
	own := filepath.Join(dir, "own")
	must(t, unix.Mkfifo(own, 0o666))
	_, _ = openFIFO(t, own)
	info, err := os.Stat(own)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}

	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("kept"), 0o600))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(own, link))
	foreign := filepath.Join(dir, "foreign")
	must(t, unix.Mkfifo(foreign, 0o600))
	must(t, os.Chown(foreign, 1234, 1234))
	for path, want := range map[string]string{
		file:                               "not a fifo",
		link:                               "symbolic link",
		foreign:                            "belongs to uid 1234",
		filepath.Join(dir, "none", "fifo"): "no such file",
	} {
		f, err := OpenFIFO(path, 0, 0, slog.New(slog.DiscardHandler))
		if err == nil {
			must(t, f.Close())
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "kept" {
		t.Errorf("the file is changed: %q", b)
	}

	given := filepath.Join(dir, "given")
	f, err := OpenFIFO(given, 1234, 1235, slog.New(slog.DiscardHandler))
	must(t, err)
	defer f.Close()
	var st unix.Stat_t
	must(t, unix.Stat(given, &st))
	if st.Uid != 1234 || st.Gid != 1235 {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
}

func TestFIFOReaderGetsThePathAndIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	f, logs := openFIFO(t, filepath.Join(dir, "fifo"))
	ctx, cancel := context.WithCancel(t.Context())
	out := filepath.Join(dir, "out")
	var wg sync.WaitGroup
	wg.Go(func() {
		c := Command{Argv: []string{"/bin/sh", "-c", `read line <"$2"; echo "$1 $line" >>"$0"`, out, "arg"}}
		if err := f.RunReader(ctx, c); err != nil {
			t.Error(err)
		}
	})
	for _, line := range []string{"one", "two"} {
		f.Write(line)
		waitFor(t, func() bool { b, _ := os.ReadFile(out); return strings.HasSuffix(string(b), "arg "+line+"\n") })
	}
	cancel()
	wg.Wait()
	if !strings.Contains(logs.String(), "started again") {
		t.Errorf("log: %s", logs)
	}
}
