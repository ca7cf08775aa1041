package ipvs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/xvip-lb/xvip/dataplane"
)

// owned are the services that this engine made or adopted, kept in a file so
// that they are known after a crash: one a line, in the words of ipvsadm.
type owned struct {
	path string // empty: not kept
	keys map[dataplane.Key]bool
}

// loadOwned reads the file. A line that cannot be understood is passed over:
// then a service is not ours, which loses nothing.
func loadOwned(path string, log *slog.Logger) *owned {
	o := &owned{path: path, keys: map[dataplane.Key]bool{}}
	if path == "" {
		return o
	}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("it is not known which IPVS services an earlier daemon made", "err", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if k, err := parseKey(lines.Text()); err == nil {
			o.keys[k] = true
		} else {
			log.Warn("unknown line passed over", "file", path, "err", err)
		}
	}
	return o
}

// add remembers more keys, set remembers exactly keys.
func (o *owned) add(keys map[dataplane.Key]bool) error {
	all := maps.Clone(o.keys)
	maps.Copy(all, keys)
	return o.set(all)
}

func (o *owned) set(keys map[dataplane.Key]bool) error {
	if maps.Equal(keys, o.keys) {
		return nil
	}
	o.keys = map[dataplane.Key]bool{}
	maps.Copy(o.keys, keys)
	if o.path == "" {
		return nil
	}
	if len(keys) == 0 {
		if err := os.Remove(o.path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	lines := make([]string, 0, len(keys))
	for k := range keys {
		lines = append(lines, formatKey(k)+"\n")
	}
	slices.Sort(lines)
	next := o.path + ".new"
	if err := os.WriteFile(next, []byte(strings.Join(lines, "")), 0o600); err != nil {
		return fmt.Errorf("remember services: %w", err)
	}
	if err := os.Rename(next, o.path); err != nil {
		return fmt.Errorf("remember services: %w", err)
	}
	return nil
}

func formatKey(k dataplane.Key) string {
	if k.FWMark != 0 {
		return fmt.Sprintf("fwmark%d %d", k.Family, k.FWMark)
	}
	return fmt.Sprintf("%d %s", k.Protocol, k.AddrPort())
}

func parseKey(line string) (dataplane.Key, error) {
	var k dataplane.Key
	kind, rest, _ := strings.Cut(line, " ")
	if n, err := fmt.Sscanf(kind, "fwmark%d", &k.Family); n == 1 && err == nil {
		if _, err := fmt.Sscanf(rest, "%d", &k.FWMark); err != nil || k.FWMark == 0 {
			return k, fmt.Errorf("parse service %q: want a mark", line)
		}
		return normalKey(k), nil
	}
	if _, err := fmt.Sscanf(kind, "%d", &k.Protocol); err != nil {
		return k, fmt.Errorf("parse service %q: want a protocol number", line)
	}
	ap, err := netip.ParseAddrPort(rest)
	if err != nil {
		return k, fmt.Errorf("parse service %q: %w", line, err)
	}
	k.Address, k.Port = ap.Addr(), ap.Port()
	return normalKey(k), nil
}
