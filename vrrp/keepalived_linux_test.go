package vrrp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xvip-lb/xvip/internal/script"
	"golang.org/x/sys/unix"
)

// startKeepalived runs the real one in the test's namespace with a
// configuration; end stops it cleanly and waits.
func startKeepalived(t *testing.T, dir, config string) (end func()) {
	t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		t.Skip("keepalived is not installed")
	}
	file := filepath.Join(dir, "keepalived.conf")
	writeFile(t, file, config)
	c := exec.Command(path, "-n", "-l", "-P", "-f", file, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	noError(t, c.Start())
	end = sync.OnceFunc(func() {
		noError(t, c.Process.Signal(syscall.SIGTERM))
		if err := c.Wait(); err != nil {
			t.Errorf("keepalived: %v\n%s", err, &log)
		}
	})
	t.Cleanup(end)
	return end
}

// recorder gives a script that appends its arguments to a file.
func recorder(t *testing.T, dir string) (path, out string) {
	t.Helper()
	path, out = filepath.Join(dir, "notify.sh"), filepath.Join(dir, "told")
	noError(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" >>%s\n", out), 0o755))
	return path, out
}

// fifoLines reads a pipe, once it is there, until the test ends.
func fifoLines(t *testing.T, path string) (lines func() string) {
	t.Helper()
	eventually(t, "there is no fifo", func() bool { _, err := os.Stat(path); return !errors.Is(err, fs.ErrNotExist) })
	f, err := os.OpenFile(path, os.O_RDWR, 0) // also for writing: never at its end
	noError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	out := &logBuffer{}
	go func() {
		for in := bufio.NewScanner(f); in.Scan(); {
			fmt.Fprintln(out, in.Text())
		}
	}()
	return out.String
}

// life is what was told of backup, master, stop.
type life struct {
	scripts []string // sorted: some run side by side
	fifo    string
}

const keepalivedLife = `
global_defs {
	script_user root
	vrrp_notify_fifo DIR/fifo
}
vrrp_instance VI_1 {
	state BACKUP
	version 3
	interface v0
	virtual_router_id 51
	priority 150
	advert_int 0.1
	notify_master "NOTIFY specific master"
	notify_stop "NOTIFY specific stop"
	notify "NOTIFY generic"
	virtual_ipaddress {
		192.0.2.100/24
	}
}
`

// keepalivedTells lets keepalived live, calling onMaster while it is master.
func keepalivedTells(t *testing.T, onMaster func()) life {
	t.Helper()
	dir := t.TempDir()
	notify, out := recorder(t, dir)
	end := startKeepalived(t, dir, strings.NewReplacer("DIR", dir, "NOTIFY", notify).Replace(keepalivedLife))
	lines := fifoLines(t, filepath.Join(dir, "fifo"))
	onMaster()
	heard := func(words ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("keepalived's scripts did not hear %q", words), func() bool {
			b, _ := os.ReadFile(out)
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(string(b), w) })
		})
	}
	heard("generic INSTANCE VI_1 MASTER 150", "specific master")
	end()
	heard("STOP", "specific stop")
	eventually(t, "keepalived's fifo did not hear of STOP", func() bool { return strings.Contains(lines(), "STOP") })
	return life{sortedLines(t, out), lines()}
}

// weTell is the same life told by a Notifier.
func weTell(t *testing.T) life {
	t.Helper()
	dir := t.TempDir()
	notify, out := recorder(t, dir)
	log, _ := testLog()
	fifo, err := script.OpenFIFO(filepath.Join(dir, "fifo"), 0, 0, log)
	noError(t, err)
	defer fifo.Close()
	lines := fifoLines(t, fifo.Path())
	n := NewNotifier(NotifyInstance, "VI_1", NotifyScripts{Master: cmd(notify, "specific", "master"), Stop: cmd(notify, "specific", "stop"),
		Any: cmd(notify, "generic")}, []LineWriter{fifo}, script.Start, log)
	for _, state := range []NotifyState{NotifyBackup, NotifyMaster, NotifyStop} {
		n.Notify(state, 150)
	}
	n.Finish()
	noError(t, n.Run(t.Context()))
	eventually(t, "our fifo did not hear of STOP", func() bool { return strings.Contains(lines(), "STOP") })
	return life{sortedLines(t, out), lines()}
}

// What scripts, the FIFO and the link hear of us is what they hear of
// keepalived, for the same life: backup, master, stop.
func TestToldAsByKeepalived(t *testing.T) {
	nl, _, s := newTestSockets(t)
	in := sniff(t, "v1", unix.ETH_P_ARP)
	isGratuitous := func(f []byte) bool {
		return len(f) >= 42 && bytes.Equal(f[38:42], []byte{192, 0, 2, 100}) && bytes.Equal(f[28:32], f[38:42])
	}
	var theirARP []byte
	theirs := keepalivedTells(t, func() { theirARP = in.next(isGratuitous) })
	if d := cmp.Diff(theirs, weTell(t), cmp.AllowUnexported(life{})); d != "" {
		t.Errorf("scripts and fifo (-keepalived +ours):\n%s", d)
	}

	o, _ := newTestOwner(nl, vip("v0", "192.0.2.100/24"))
	noError(t, o.Take(t.Context()))
	in = sniff(t, "v1", unix.ETH_P_ARP)
	noError(t, s.Send(t.Context(), o.Addresses(), 1))
	const length = 42 // what follows is padding, which the kernel may leave to the card
	if got := in.next(isGratuitous); !bytes.Equal(got[:length], theirARP[:length]) {
		t.Errorf("gratuitous ARP:\nkeepalived %x\nours       %x", theirARP, got)
	}
}

// sortedLines takes away the order of scripts that run side by side.
func sortedLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	noError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Sort(lines)
	return lines
}
