package vm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/xvip-lb/xvip/internal/vm/wire"
)

// File is one file that a machine has.
type File struct {
	Path string // in the guest, absolute
	From string // file or directory of the host to copy; when empty, Data
	Data []byte
	Perm uint32 // 0 means as From, else 0644
}

// base are programs of every machine: modprobe is also what the kernel runs
// when it wants a module, the rest is what small scripts use.
var base = []string{"modprobe", "sh", "cat", "rm", "mount", "umount", "sleep", "true"}

// etc is what name lookups of C programs read.
var etc = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"/etc/group":         "root:x:0:\nnogroup:x:65534:\n",
	"/etc/hosts":         "127.0.0.1 localhost vm\n::1 localhost\n",
	"/etc/hostname":      "vm\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
	"/etc/protocols":     "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nvrrp 112 VRRP\nsctp 132 SCTP\n",
	"/etc/services":      "domain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n",
}

// writeImage writes the initramfs of a machine.
func writeImage(ctx context.Context, path string, k Kernel, m Machine, argv []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(out)
	if err := fill(ctx, a, filepath.Dir(path), k, m, argv); err != nil {
		return err
	}
	if err := a.close(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func fill(ctx context.Context, a *archive, tmp string, k Kernel, m Machine, argv []string) error {
	for _, dir := range mergedDirs {
		a.dir("/usr/" + dir)
		a.link("/"+dir, "usr/"+dir)
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/lib"} {
		a.dir(dir)
	}
	a.device("/dev/console", 5, 1) // where the kernel points process 1's output
	a.device("/dev/null", 1, 3)
	for _, file := range m.Files {
		if err := addFile(a, file); err != nil {
			return err
		}
	}
	if err := addInit(ctx, a, tmp); err != nil {
		return err
	}
	plan, err := json.Marshal(wire.Plan{Modules: m.Modules, Argv: argv, Dir: m.Dir, Env: m.Env, Collect: m.Collect})
	if err != nil {
		return err
	}
	a.file(wire.PlanPath, plan, 0o644)
	for name, text := range etc {
		a.file(name, []byte(text), 0o644)
	}
	for _, name := range append(base, m.Programs...) {
		if err := addProgram(a, name); err != nil {
			return err
		}
	}
	return addModules(a, k, m.Modules)
}

// addInit builds the guest's first program.
func addInit(ctx context.Context, a *archive, tmp string) error {
	path := filepath.Join(tmp, "init")
	if err := Build(ctx, path, "build", "github.com/xvip-lb/xvip/internal/vm/guest"); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a.file("/init", data, 0o755)
	return nil
}

// Build builds a package of this module into a static program at path. How is
// "build", or "test" for its test binary.
func Build(ctx context.Context, path, how, pkg string) error {
	args := []string{"go", how}
	if how == "test" {
		args = append(args, "-c")
	}
	args = append(args, "-trimpath", "-ldflags=-s -w", "-o", path, pkg)
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := command(ctx, dir, "env", append([]string{"CGO_ENABLED=0"}, args...)...); err != nil {
		return fmt.Errorf("build %q for the machine: %w", pkg, err)
	}
	return nil
}

// addFile copies a file, or a directory with all below it.
func addFile(a *archive, file File) error {
	if !filepath.IsAbs(file.Path) {
		return fmt.Errorf("add file %q: want an absolute path", file.Path)
	}
	if file.From == "" {
		a.file(usrMerged(file.Path), file.Data, cmp.Or(file.Perm, 0o644))
		return nil
	}
	return filepath.WalkDir(file.From, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("add file %q: %w", file.Path, err)
		}
		below, err := filepath.Rel(file.From, path)
		if err != nil {
			return err
		}
		at := usrMerged(filepath.Join(file.Path, below))
		if d.IsDir() {
			a.dir(at)
			return nil
		}
		return copyFile(a, at, path, file.Perm)
	})
}

func copyFile(a *archive, at, path string, perm uint32) error {
	info, err := os.Stat(path) // links are followed
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a.file(at, data, cmp.Or(perm, uint32(info.Mode().Perm())))
	return nil
}
