package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kernels are the releases Fetch knows, oldest first.
var Kernels = []string{"5.10", "6.1", "6.12"}

// suites are the Debian releases whose kernel a name means.
var suites = map[string]string{"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}

// Kernel is an unpacked Debian kernel.
type Kernel struct {
	Name    string // as asked for: "6.1"
	Release string // as uname -r says: "6.1.0-56-cloud-amd64"
	Image   string // path of vmlinuz
	Modules string // path of lib/modules/RELEASE, with the indexes of depmod
}

// Fetch gives Debian's cloud kernel of a release: "5.10", "6.1" or "6.12". The
// first call downloads and unpacks it (nothing is installed), later calls find
// it in the cache: $XVIP_CACHE/kernels, else ~/.cache/xvip/kernels. Processes
// that fetch at the same time wait for each other.
func Fetch(ctx context.Context, name string) (Kernel, error) {
	suite, known := suites[name]
	if !known {
		return Kernel{}, fmt.Errorf("fetch kernel %q: want one of %s", name, strings.Join(Kernels, ", "))
	}
	cache, err := cacheDir()
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %q: %w", name, err)
	}
	dir := filepath.Join(cache, name)
	unlock, err := lockOne(ctx, filepath.Join(cache, name+".lock"))
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %q: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := download(ctx, suite, dir); err != nil {
			return Kernel{}, fmt.Errorf("fetch kernel %q from Debian %s: %w", name, suite, err)
		}
	}
	k, err := inspect(dir, name)
	if err != nil {
		return Kernel{}, fmt.Errorf("read kernel %q (remove %q to fetch it again): %w", name, dir, err)
	}
	return k, nil
}

// cacheDir makes and gives the directory of kernels.
func cacheDir() (string, error) {
	base := os.Getenv("XVIP_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(user, "xvip")
	}
	dir := filepath.Join(base, "kernels")
	return dir, os.MkdirAll(dir, 0o755)
}

// inspect finds the parts of an unpacked kernel package.
func inspect(dir, name string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("find boot/vmlinuz-* in %q: want one, have %d", dir, len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	k := Kernel{Name: name, Release: release, Image: images[0], Modules: filepath.Join(dir, "lib", "modules", release)}
	if !strings.HasPrefix(release, name+".") {
		return Kernel{}, fmt.Errorf("release %q is not a %s kernel", release, name)
	}
	_, err = os.Stat(filepath.Join(k.Modules, "modules.dep"))
	return k, err
}
