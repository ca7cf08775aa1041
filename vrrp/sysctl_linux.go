package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sysctls changes settings below /proc/sys/net and puts the former values back.
// They are those of the network namespace of the thread that opens the file.
type sysctls struct {
	nl    *Netlink
	root  string // /proc/sys/net
	saved []savedSysctl
}

// savedSysctl is a setting that was changed, for an owner who can undo it.
type savedSysctl struct {
	owner, path, value string
}

func newSysctls(nl *Netlink) *sysctls { return &sysctls{nl: nl, root: "/proc/sys/net"} }

// set changes a setting on behalf of an owner; path is relative to the root.
func (s *sysctls) set(owner, path, value string) error {
	err := s.nl.Do(func() error {
		old, err := s.read(path)
		if err != nil || old == value {
			return err
		}
		if err := s.write(path, value); err != nil {
			return err
		}
		s.saved = append(s.saved, savedSysctl{owner, path, old})
		return nil
	})
	if err != nil {
		return fmt.Errorf("set sysctl net/%s to %s: %w", path, value, err)
	}
	return nil
}

// restore puts the settings of an owner back, the last one first. Those of an
// interface that is gone are forgotten.
func (s *sysctls) restore(owner string) error {
	var errs []error
	var kept []savedSysctl
	for _, v := range slices.Backward(s.saved) {
		if v.owner != owner {
			kept = append(kept, v)
			continue
		}
		err := s.nl.Do(func() error { return s.write(v.path, v.value) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("restore sysctl net/%s: %w", v.path, err))
		}
	}
	slices.Reverse(kept)
	s.saved = kept
	return errors.Join(errs...)
}

func (s *sysctls) read(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join(s.root, path))
	return strings.TrimSpace(string(b)), err
}

func (s *sysctls) write(path, value string) error {
	return os.WriteFile(filepath.Join(s.root, path), []byte(value), 0)
}

// spreadRPFilter gives every interface the reverse path filter that "all"
// imposes on it, and takes it from "all": the stricter of both counts
// (Documentation/networking/ip-sysctl.rst), so that no single interface could be
// without.
func (s *sysctls) spreadRPFilter(owner string) error {
	var all int
	var names []string
	err := s.nl.Do(func() error {
		text, err := s.read("ipv4/conf/all/rp_filter")
		if err != nil {
			return err
		}
		if all, err = strconv.Atoi(text); err != nil {
			return err
		}
		entries, err := os.ReadDir(filepath.Join(s.root, "ipv4/conf"))
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read sysctl rp_filter: %w", err)
	}
	if all == 0 {
		return nil
	}
	var errs []error
	for _, name := range names {
		if name == "all" {
			continue
		}
		path := "ipv4/conf/" + name + "/rp_filter"
		var own int
		err := s.nl.Do(func() error {
			text, err := s.read(path)
			own, _ = strconv.Atoi(text)
			return err
		})
		if err == nil && own < all {
			err = s.set(owner, path, strconv.Itoa(all))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.set(owner, "ipv4/conf/all/rp_filter", "0"))...)
}
