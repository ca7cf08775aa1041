package vm

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// carried tells which modules every machine has with it, loaded or not, so that
// the kernel can ask for them: its whole network stack and virtual devices.
func carried(module string) bool {
	if strings.HasPrefix(module, "kernel/net/") {
		return true
	}
	switch moduleName(module) {
	case "veth", "dummy", "macvlan", "macvtap", "ipvlan", "bonding", "vrf", "ifb", "vxlan", "geneve", "tun", "virtio_net", "virtio_pci":
		return true
	}
	return false
}

// moduleName is how modprobe knows a module file: "kernel/net/…/ip_vs-rr.ko.xz" is "ip_vs_rr".
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// moduleFiles gives the files (relative to k.Modules) of the carried modules
// and of the named ones, with all they depend on. A named module that the
// kernel has neither as a file nor built in is an error.
func moduleFiles(k Kernel, names []string) ([]string, error) {
	needs, err := readDependencies(filepath.Join(k.Modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	byName := map[string]string{}
	for file := range needs {
		byName[moduleName(file)] = file
	}
	files := map[string]bool{}
	for file := range needs {
		if carried(file) {
			files[file] = true
		}
	}
	for _, name := range names {
		file, found := byName[moduleName(name)]
		if !found {
			if err := builtIn(k, moduleName(name)); err != nil {
				return nil, err
			}
			continue
		}
		files[file] = true
	}
	// Each line of modules.dep has the whole closure, so one step is enough.
	var all []string
	for file := range files {
		all = append(all, file)
		all = append(all, needs[file]...)
	}
	return all, nil
}

func builtIn(k Kernel, name string) error {
	text, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if moduleName(strings.TrimSpace(line)) == name {
			return nil
		}
	}
	return fmt.Errorf("find module %q: kernel %s has none", name, k.Release)
}

// readDependencies reads modules.dep(5): "file: file file …".
func readDependencies(name string) (map[string][]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	needs := map[string][]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		file, list, found := strings.Cut(lines.Text(), ":")
		if !found {
			return nil, fmt.Errorf("read %q: line %q has no colon", name, lines.Text())
		}
		needs[file] = strings.Fields(list)
	}
	return needs, lines.Err()
}

// addModules puts modules and the indexes that modprobe reads into the archive.
func addModules(a *archive, k Kernel, names []string) error {
	files, err := moduleFiles(k, names)
	if err != nil {
		return err
	}
	indexes, err := fs.Glob(os.DirFS(k.Modules), "modules.*")
	if err != nil {
		return err
	}
	for _, file := range append(files, indexes...) {
		data, err := os.ReadFile(filepath.Join(k.Modules, file))
		if err != nil {
			return err
		}
		a.file(path.Join("/usr/lib/modules", k.Release, file), data, 0o644)
	}
	return nil
}
