package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a directory that only root can write to, with a program in it.
func tree(t *testing.T) (dir, prog string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("files that belong to root need root")
	}
	dir = t.TempDir()
	prog = filepath.Join(dir, "bin", "check.sh")
	if err := os.Mkdir(filepath.Dir(prog), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(prog, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, prog
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckNamesTheUnsafePart(t *testing.T) {
	root := Command{HasUser: true}
	tests := []struct {
		name   string
		change func(t *testing.T, dir, prog string) (run, culprit string)
		why    string
	}{
		{"safe", func(t *testing.T, dir, prog string) (string, string) { return prog, "" }, ""},
		{"file writable by all", func(t *testing.T, dir, prog string) (string, string) {
			must(t, os.Chmod(prog, 0o757))
			return prog, prog
		}, "everyone may write"},
		{"file of another user", func(t *testing.T, dir, prog string) (string, string) {
			must(t, os.Chown(prog, 1234, 0))
			return prog, prog
		}, "belongs to uid 1234"},
		{"directory writable by a group", func(t *testing.T, dir, prog string) (string, string) {
			must(t, os.Chown(filepath.Dir(prog), 0, 1234))
			must(t, os.Chmod(filepath.Dir(prog), 0o775))
			return prog, filepath.Dir(prog)
		}, "gid 1234 may write"},
		{"directory writable by root's group", func(t *testing.T, dir, prog string) (string, string) {
			must(t, os.Chmod(filepath.Dir(prog), 0o775))
			return prog, ""
		}, ""},
		{"sticky directory", func(t *testing.T, dir, prog string) (string, string) {
			must(t, os.Chmod(filepath.Dir(prog), 0o777|os.ModeSticky))
			return prog, ""
		}, ""},
		{"link in a safe place to an unsafe one", func(t *testing.T, dir, prog string) (string, string) {
			link := filepath.Join(dir, "link")
			must(t, os.Symlink("bin", link))
			must(t, os.Chown(filepath.Dir(prog), 1234, 0))
			return filepath.Join(link, "check.sh"), filepath.Dir(prog)
		}, "belongs to uid 1234"},
		{"link of another user", func(t *testing.T, dir, prog string) (string, string) {
			link := filepath.Join(dir, "link.sh")
			must(t, os.Symlink(prog, link))
			must(t, os.Lchown(link, 1234, 0))
			return link, link
		}, "belongs to uid 1234"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, prog := tree(t)
			run, culprit := tt.change(t, dir, prog)
			c := root
			c.Argv = []string{run}
			err := Check(c, true)
			if culprit == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), `"`+culprit+`" is unsafe`) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %q named and %q", err, culprit, tt.why)
			}
			if err := Check(c, false); err != nil {
				t.Errorf("without script security: %v", err)
			}
			c.UID = 65534
			if err := Check(c, true); err != nil {
				t.Errorf("for a script that does not run as root: %v", err)
			}
		})
	}
}

func TestCheckCannotRun(t *testing.T) {
	dir, prog := tree(t)
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o644))
	private := filepath.Join(dir, "private")
	must(t, os.WriteFile(private, nil, 0o750))
	loop := filepath.Join(dir, "loop")
	must(t, os.Symlink(loop, loop))
	tests := []struct {
		name string
		c    Command
		want string // empty: can be run
	}{
		{"by path", Command{Argv: []string{prog}}, ""},
		{"by name", Command{Argv: []string{"sh", "-c", "true"}}, ""},
		{"name not in PATH", Command{Argv: []string{"xvip-no-such-program"}}, "not found in PATH"},
		{"missing", Command{Argv: []string{filepath.Join(dir, "none")}}, "no such file"},
		{"directory", Command{Argv: []string{dir}}, "not a file"},
		{"no x bit", Command{Argv: []string{plain}}, "not executable for uid 0"},
		{"not for this user", Command{Argv: []string{private}, HasUser: true, UID: 65534, GID: 65534}, "not executable for uid 65534"},
		{"for this group", Command{Argv: []string{private}, HasUser: true, UID: 65534, GID: 65534, Groups: []uint32{0}}, ""},
		{"loop", Command{Argv: []string{loop}}, "too many"},
		{"empty", Command{}, "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.c, false)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
