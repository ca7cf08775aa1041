package vm

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// archive writes an initramfs: cpio in the "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
// Directories are made as they are needed.
type archive struct {
	w    io.Writer
	err  error // the first; later writes do nothing
	n    int64 // bytes written, for the padding to 4
	ino  int
	have map[string]bool
}

// File types of st_mode.
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
	modeChar    = 0o020000
)

func newArchive(w io.Writer) *archive {
	return &archive{w: w, have: map[string]bool{"/": true}}
}

// file adds a regular file with permission bits. The second of one name is
// left out: what a caller names goes before what is added for all.
func (a *archive) file(name string, data []byte, perm uint32) {
	a.entry(name, modeRegular|perm, data, 0, 0)
}

func (a *archive) link(name, target string) { a.entry(name, modeLink|0o777, []byte(target), 0, 0) }

func (a *archive) dir(name string) { a.entry(name, modeDir|0o755, nil, 0, 0) }

func (a *archive) device(name string, major, minor uint32) {
	a.entry(name, modeChar|0o600, nil, major, minor)
}

func (a *archive) entry(name string, mode uint32, data []byte, major, minor uint32) {
	name = path.Clean("/" + name)
	if a.have[name] {
		return
	}
	a.have[name] = true
	if parent := path.Dir(name); !a.have[parent] {
		a.dir(parent)
	}
	a.ino++
	a.record(strings.TrimPrefix(name, "/"), a.ino, mode, data, major, minor)
}

func (a *archive) record(name string, ino int, mode uint32, data []byte, major, minor uint32) {
	if int64(len(data)) > 1<<32-1 && a.err == nil {
		a.err = fmt.Errorf("write %q into the archive: longer than 4 GiB", name)
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
	// rdevmajor, rdevminor, namesize (with the NUL), check
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	a.write([]byte(header + name + "\x00"))
	a.pad()
	a.write(data)
	a.pad()
}

// close writes the trailer and gives the first error.
func (a *archive) close() error {
	a.record("TRAILER!!!", 0, 0, nil, 0, 0)
	return a.err
}

func (a *archive) pad() { a.write(make([]byte, -a.n&3)) }

func (a *archive) write(p []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(p)
	a.n += int64(n)
	a.err = err
}
