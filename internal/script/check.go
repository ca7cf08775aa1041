package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxSymlinks is the kernel's limit for one path (include/linux/namei.h, MAXSYMLINKS).
const maxSymlinks = 40

// Check tells whether the program can be run: it exists, is a file and its
// identity may execute it. With security set (keepalived's
// enable_script_security) and a program that runs as root, it also refuses a
// path of which any part is writable by others than root, and names that part.
func Check(c Command, security bool) error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("check script: the command is empty")
	}
	path, err := find(c.Argv[0])
	if err != nil {
		return fmt.Errorf("check script %q: %w", c.Argv[0], err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check script %q: %w", c.Argv[0], err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("check script %q: not a file", path)
	}
	if !mayExecute(info, c) {
		return fmt.Errorf("check script %q: not executable for uid %d, mode is %v", path, c.uid(), info.Mode().Perm())
	}
	if security && c.uid() == 0 {
		if err := checkPath(path, maxSymlinks); err != nil {
			return fmt.Errorf("check script %q: %w", c.Argv[0], err)
		}
	}
	return nil
}

func (c Command) uid() uint32 {
	if c.HasUser {
		return c.UID
	}
	return uint32(os.Geteuid())
}

func (c Command) gid() uint32 {
	if c.HasUser {
		return c.GID
	}
	return uint32(os.Getegid())
}

// find gives the absolute path of a program; a name without a slash is looked
// for in PATH. A file that is there but not executable is found as well, for
// the better message.
func find(name string) (string, error) {
	if !strings.Contains(name, "/") {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", errors.New("not found in PATH")
		}
		name = path
	}
	return filepath.Abs(name)
}

// mayExecute applies the permission bits as the kernel does (path_resolution(7)).
func mayExecute(info fs.FileInfo, c Command) bool {
	perm := info.Mode().Perm()
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return perm&0o111 != 0
	case c.uid() == 0:
		return perm&0o111 != 0
	case st.Uid == c.uid():
		return perm&0o100 != 0
	case st.Gid == c.gid() || slices.Contains(c.Groups, st.Gid):
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}

// checkPath looks at every part of an absolute path, and of the paths that its
// symbolic links lead to.
func checkPath(path string, links int) error {
	if links == 0 {
		return fmt.Errorf("follow %q: too many symbolic links", path)
	}
	part := "/"
	names := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for i := -1; i < len(names); i++ {
		if i >= 0 {
			part = filepath.Join(part, names[i])
		}
		info, err := os.Lstat(part)
		if err != nil {
			return err
		}
		if why := writableByOthers(info); why != "" {
			return fmt.Errorf("%q is unsafe for a script that runs as root: %s", part, why)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(part)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(part), target)
		}
		return checkPath(filepath.Join(append([]string{target}, names[i+1:]...)...), links-1)
	}
	return nil
}

// writableByOthers gives the reason why others than root can change or replace
// the object, or nothing. In a directory with the sticky bit only an owner can
// replace an entry, and the entries' owners are looked at one by one.
func writableByOthers(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "its owner is not known"
	}
	mode := info.Mode()
	sticky := mode.IsDir() && mode&fs.ModeSticky != 0
	switch {
	case st.Uid != 0:
		return fmt.Sprintf("it belongs to uid %d", st.Uid)
	case mode&fs.ModeSymlink != 0 || sticky:
		return ""
	case mode.Perm()&0o002 != 0:
		return fmt.Sprintf("everyone may write to it, mode is %v", mode.Perm())
	case mode.Perm()&0o020 != 0 && st.Gid != 0:
		return fmt.Sprintf("gid %d may write to it, mode is %v", st.Gid, mode.Perm())
	}
	return ""
}
