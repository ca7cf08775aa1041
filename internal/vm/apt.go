package vm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	metaPackage     = "linux-image-cloud-amd64"
	defaultMirror   = "http://deb.debian.org/debian/"
	defaultSecurity = "http://deb.debian.org/debian-security/"
	keyring         = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// apt runs Debian's package tools on a state of their own, so that the lists
// and the pins of this machine stay as they are. Its proxies, credentials and
// mirrors are used.
type apt struct {
	dir string // lists, cache and downloads
}

// download puts the cloud kernel of a suite, unpacked and with the indexes of
// depmod, into dir. dir appears whole or not at all.
func download(ctx context.Context, suite, dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	a := &apt{dir: filepath.Join(tmp, "apt")}
	if err := a.update(ctx, suite); err != nil {
		return err
	}
	name, err := a.kernelPackage(ctx)
	if err != nil {
		return err
	}
	if _, err := a.run(ctx, "apt-get", "download", name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download %q: want one package file, have %d (%w)", name, len(debs), err)
	}
	root := filepath.Join(tmp, "root")
	if err := unpack(ctx, debs[0], root, strings.TrimPrefix(name, "linux-image-")); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

func unpack(ctx context.Context, deb, root, release string) error {
	if _, err := command(ctx, root, "dpkg-deb", "-x", deb, root); err != nil {
		return err
	}
	// Since trixie the modules are below usr; depmod and we look for lib.
	lib := filepath.Join(root, "lib")
	if _, err := os.Stat(lib); os.IsNotExist(err) {
		if err := os.Symlink("usr/lib", lib); err != nil {
			return err
		}
	}
	release = strings.TrimSuffix(release, "-unsigned")
	_, err := command(ctx, root, "depmod", "-b", root, release)
	return err
}

// update reads the package lists of a suite and of its security suite.
func (a *apt) update(ctx context.Context, suite string) error {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return err
		}
	}
	mirror, security, err := mirrors(ctx)
	if err != nil {
		return err
	}
	// Suites out of support are no longer signed anew: their lists are old, not wrong.
	const options = "[arch=amd64 check-valid-until=no signed-by=" + keyring + "]"
	list := fmt.Sprintf("deb %s %s %s main\ndeb %s %s %s-security main\n", options, mirror, suite, options, security, suite)
	if err := os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(list), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644); err != nil {
		return err
	}
	_, err = a.run(ctx, "apt-get", "-qq", "--error-on=any", "update")
	return err
}

// mirrors gives where this machine has its packages from.
func mirrors(ctx context.Context) (mirror, security string, err error) {
	mirror, security = defaultMirror, defaultSecurity
	out, err := command(ctx, "/", "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(out)) {
		switch label, uri, _ := strings.Cut(strings.TrimSpace(line), " "); label {
		case "Debian":
			mirror = uri
		case "Debian-Security":
			security = uri
		}
	}
	return mirror, security, nil
}

// kernelPackage follows the meta package to the newest kernel of the suite.
func (a *apt) kernelPackage(ctx context.Context) (string, error) {
	out, err := a.run(ctx, "apt-cache", "depends", metaPackage)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if _, name, found := strings.Cut(lines.Text(), "Depends: "); found && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("find what %q depends on: no linux-image in\n%s", metaPackage, out)
}

func (a *apt) run(ctx context.Context, tool string, args ...string) ([]byte, error) {
	options := []string{
		"-oDir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"), "-oDir::Etc::sourceparts=-",
		"-oDir::Etc::preferences=-", "-oDir::Etc::preferencesparts=-",
		"-oDir::State=" + filepath.Join(a.dir, "state"), "-oDir::State::status=" + filepath.Join(a.dir, "status"),
		"-oDir::Cache=" + filepath.Join(a.dir, "cache"), "-oAPT::Architecture=amd64",
		"-oAPT::Sandbox::User=root", "-oAcquire::Languages=none", "-oAcquire::Retries=3",
	}
	return command(ctx, a.dir, tool, append(options, args...)...)
}

// command runs a tool in dir, which it makes; its error has what the tool said.
func command(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %q: %w: %s", strings.Join(append([]string{tool}, args...), " "), err, bytes.TrimSpace(append(said.Bytes(), out.Bytes()...)))
	}
	return out.Bytes(), nil
}
