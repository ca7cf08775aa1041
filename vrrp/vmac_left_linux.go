package vrrp

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// linkAlias begins the alias of an interface that is ours. The former settings of
// its parent follow, as name=number: the next life puts them back if this one
// cannot.
const linkAlias = "xvip"

// alias is for an interface on a parent.
func (v *VirtualLinks) alias(parent string) string {
	words := []string{linkAlias}
	for _, s := range v.sys.saved {
		if name := path.Base(s.path); s.path == settingOf(parent, name) {
			words = append(words, name+"="+s.value)
		}
	}
	return strings.Join(words, " ")
}

func settingOf(device, name string) string { return "ipv4/conf/" + device + "/" + name }

// remember takes the former settings of a parent from the alias of an interface
// that an earlier life has left.
func (v *VirtualLinks) remember(parent, alias string) {
	words := strings.Fields(alias)
	if len(words) == 0 || words[0] != linkAlias {
		return
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		if _, err := strconv.Atoi(value); err != nil || name != "arp_ignore" && name != "arp_announce" {
			continue
		}
		s := savedSysctl{parent, settingOf(parent, name), value}
		if !slices.ContainsFunc(v.sys.saved, func(have savedSysctl) bool { return have.path == s.path }) {
			v.sys.saved = append(v.sys.saved, s)
		}
	}
}

// RemoveLeft removes interfaces that an earlier life has left, with what is on
// them, unless they are wanted: Ensure takes those over. The settings of a parent
// on which none is wanted are put back.
func (v *VirtualLinks) RemoveLeft(wanted []VirtualLink) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	all, err := v.nl.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, link := range all {
		a := link.Attrs()
		ours := a.Alias == linkAlias || strings.HasPrefix(a.Alias, linkAlias+" ")
		if !ours || link.Type() != "macvlan" && link.Type() != "ipvlan" || slices.ContainsFunc(wanted, func(l VirtualLink) bool { return l.Name == a.Name }) {
			continue
		}
		v.log.Warn("removing the interface of a virtual MAC of an earlier life", "interface", a.Name)
		if err := errors.Join(v.nl.h.LinkDel(link), v.unquiet(a.Name), v.forgive(link, wanted)); err != nil {
			errs = append(errs, fmt.Errorf("remove virtual interface %q: %w", a.Name, err))
		}
	}
	return errors.Join(errs...)
}

// forgive puts the settings of the parent of a removed interface back, or keeps
// them for the end of those that are wanted there.
func (v *VirtualLinks) forgive(link netlink.Link, wanted []VirtualLink) error {
	parent, err := v.nl.h.LinkByIndex(link.Attrs().ParentIndex)
	if err != nil {
		return err
	}
	name := parent.Attrs().Name
	v.remember(name, link.Attrs().Alias)
	if slices.ContainsFunc(wanted, func(l VirtualLink) bool { return l.Parent == name }) {
		return nil
	}
	return v.sys.restore(name)
}
