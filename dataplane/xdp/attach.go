package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/xvip-lb/xvip/dataplane"
)

// linkPrefix begins the name of a pinned link; the interface's name follows.
const linkPrefix = "link_"

// attachment is our program on one interface.
type attachment struct {
	link  link.Link
	index int
	info  dataplane.InterfaceInfo
}

// attacher puts the program on interfaces and takes it off again.
type attacher struct {
	dir  string
	mode string // "auto", "native" or "generic"
	prog *ebpf.Program
	log  *slog.Logger
	on   map[string]*attachment
}

// set makes the program run on exactly these interfaces. It goes on after an
// error and gives all of them.
func (a *attacher) set(names []string) error {
	var errs []error
	for name, at := range a.on {
		if !slices.Contains(names, name) || at.index != interfaceIndex(name) {
			errs = append(errs, a.drop(name))
		}
	}
	errs = append(errs, a.dropStrangers(names))
	for _, name := range names {
		if a.on[name] != nil {
			continue
		}
		at, err := a.attach(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.on[name] = at
		a.log.Info("XDP program attached", "interface", name, "mode", at.info.Mode, "reason", at.info.Reason)
	}
	return errors.Join(errs...)
}

// attach adopts the link that an earlier daemon pinned, or makes one.
func (a *attacher) attach(name string) (*attachment, error) {
	index := interfaceIndex(name)
	if index == 0 {
		return nil, fmt.Errorf("attach XDP to %q: there is no such interface", name)
	}
	if at := a.adopt(name, index); at != nil {
		return at, nil
	}
	if who, err := programOn(name); err != nil {
		return nil, err
	} else if who != "" {
		return nil, fmt.Errorf("attach XDP to %q: another program is there already: %s; remove it (ip link set dev %s xdp off), or leave the interface out with xdp_interfaces", name, who, name)
	}
	at := &attachment{index: index, info: dataplane.InterfaceInfo{Name: name, Mode: "native"}}
	var err error
	if a.mode != "generic" {
		at.link, err = link.AttachXDP(link.XDPOptions{Program: a.prog, Interface: index, Flags: link.XDPDriverMode})
		if err != nil && a.mode == "native" {
			return nil, fmt.Errorf("attach XDP to %q in native mode: %w (xdp_mode auto falls back to generic)", name, err)
		}
	}
	if at.link == nil {
		at.info.Mode, at.info.Reason = "generic", "the configuration says xdp_mode generic"
		if err != nil {
			at.info.Reason = "native mode: " + err.Error()
		}
		if at.link, err = link.AttachXDP(link.XDPOptions{Program: a.prog, Interface: index, Flags: link.XDPGenericMode}); err != nil {
			return nil, fmt.Errorf("attach XDP to %q: %w", name, err)
		}
		a.log.Warn("XDP runs in generic mode, several times slower than native", "interface", name, "reason", at.info.Reason)
	}
	if err := at.link.Pin(a.pin(name)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin XDP link of %q: %w", name, err), at.link.Close())
	}
	return at, nil
}

// adopt takes over a pinned link and puts this program into it, in one step
// that no packet notices. A link that does not fit is removed.
func (a *attacher) adopt(name string, index int) *attachment {
	l, err := link.LoadPinnedLink(a.pin(name), nil)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("pinned XDP link cannot be used", "interface", name, "err", err)
			os.Remove(a.pin(name))
		}
		return nil
	}
	info, err := l.Info()
	if err == nil && info.XDP() != nil && int(info.XDP().Ifindex) == index {
		err = l.Update(a.prog)
	} else if err == nil {
		err = errors.New("it belongs to an interface that is gone")
	}
	if err != nil {
		a.log.Warn("pinned XDP link is replaced", "interface", name, "err", err)
		_ = errors.Join(l.Detach(), l.Unpin(), l.Close())
		return nil
	}
	at := &attachment{link: l, index: index, info: dataplane.InterfaceInfo{Name: name, Mode: attachedMode(name)}}
	if at.info.Mode == "generic" {
		at.info.Reason = "adopted as it was"
	}
	return at
}

// dropStrangers removes links that an earlier daemon pinned on interfaces that
// are not wanted now.
func (a *attacher) dropStrangers(names []string) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return fmt.Errorf("list pinned links: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), linkPrefix)
		if !ok || a.on[name] != nil || slices.Contains(names, name) {
			continue
		}
		if l, err := link.LoadPinnedLink(a.pin(name), nil); err == nil {
			errs = append(errs, l.Detach(), l.Close())
		}
		if err := os.Remove(a.pin(name)); err != nil {
			errs = append(errs, fmt.Errorf("unpin XDP link of %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// drop takes the program off one interface.
func (a *attacher) drop(name string) error {
	at := a.on[name]
	delete(a.on, name)
	// Detached by name of the deed: older kernels free a closed link only later.
	if err := errors.Join(at.link.Detach(), at.link.Unpin(), at.link.Close()); err != nil {
		return fmt.Errorf("detach XDP from %q: %w", name, err)
	}
	a.log.Info("XDP program detached", "interface", name)
	return nil
}

// close lets go of the links; pinned, they stay attached.
func (a *attacher) close() error {
	var errs []error
	for _, at := range a.on {
		errs = append(errs, at.link.Close())
	}
	a.on = map[string]*attachment{}
	return errors.Join(errs...)
}

// onVeth says that the program is on a veth; see REAL_REDIRECT in bpf/types.h.
func (a *attacher) onVeth() bool {
	for name := range a.on {
		if isVeth(name) {
			return true
		}
	}
	return false
}

func (a *attacher) pin(name string) string { return filepath.Join(a.dir, linkPrefix+name) }

func (a *attacher) infos() []dataplane.InterfaceInfo {
	var out []dataplane.InterfaceInfo
	for _, at := range a.on {
		out = append(out, at.info)
	}
	slices.SortFunc(out, func(x, y dataplane.InterfaceInfo) int { return strings.Compare(x.Name, y.Name) })
	return out
}
