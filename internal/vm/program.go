package vm

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// libraryDirs are where the dynamic loader of Debian looks (ld.so.conf).
var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"}

// addProgram puts a program of the host, by name or path, into the archive at
// the same path, with its loader and all shared libraries it names.
func addProgram(a *archive, name string) error {
	found, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("add program %q (make deps installs what the tests use): %w", name, err)
	}
	if found, err = filepath.Abs(found); err != nil {
		return err
	}
	if err := addELF(a, found, found); err != nil {
		return fmt.Errorf("add program %q: %w", name, err)
	}
	return nil
}

// addELF adds a file and what it needs. A file that is not ELF, as a script, is
// added alone.
func addELF(a *archive, at, file string) error {
	at = usrMerged(at)
	if a.have[at] {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	a.file(at, data, 0o755)
	e, err := elf.Open(file)
	if _, other := errors.AsType[*elf.FormatError](err); other {
		return nil
	}
	if err != nil {
		return err
	}
	defer e.Close()
	needed, err := e.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader := make([]byte, p.Filesz)
		if _, err := p.ReadAt(loader, 0); err != nil {
			return err
		}
		needed = append(needed, strings.TrimRight(string(loader), "\x00"))
	}
	return addLibraries(a, needed)
}

func addLibraries(a *archive, needed []string) error {
	for _, name := range needed {
		path, err := findLibrary(name)
		if err != nil {
			return err
		}
		if err := addELF(a, path, path); err != nil {
			return err
		}
	}
	return nil
}

func findLibrary(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("find library %q in %s: %w", name, strings.Join(libraryDirs, ", "), fs.ErrNotExist)
}

// usrMerged turns /bin/x into /usr/bin/x: in the guest, as in Debian since 12,
// the short names are links.
func usrMerged(path string) string {
	for _, dir := range mergedDirs {
		if strings.HasPrefix(path, "/"+dir+"/") {
			return "/usr" + path
		}
	}
	return path
}

var mergedDirs = []string{"bin", "sbin", "lib", "lib64"}
