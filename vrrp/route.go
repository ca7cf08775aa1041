package vrrp

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// VirtualRoute is a route that exists while a virtual router is Master, in the
// words of ip-route(8). Names of tables, scopes and protocols are those of
// RouteNames; numbers do as well.
type VirtualRoute struct {
	Type     string       // "unicast" when empty, "blackhole", "unreachable", ...
	Dst      netip.Prefix // 0.0.0.0/0 or ::/0 for default
	Src      netip.Addr   // preferred source; invalid: none
	Via      netip.Addr   // gateway; invalid: none
	Or       netip.Addr   // a second gateway of equal weight; invalid: none
	Dev      string
	Table    string // empty: main
	Scope    string // empty: as ip-route(8) chooses
	Protocol string // empty: keepalived
	Metric   uint32
	TOS      string
	// Options are the other words with their values, such as {"mtu", "1400"}.
	Options [][]string
	// NextHops are the words after each "nexthop".
	NextHops [][]string
	NoTrack  bool // do not put it back when somebody else removes it
	// TrackGroup is as for a VirtualAddress.
	TrackGroup string
}

// String gives the destination, which is what people know a route by.
func (r VirtualRoute) String() string {
	words := []string{r.Dst.String()}
	if r.Type != "" && r.Type != "unicast" {
		words = []string{r.Type, r.Dst.String()}
	}
	if r.Via.IsValid() {
		words = append(words, "via", r.Via.String())
	}
	if r.Dev != "" {
		words = append(words, "dev", r.Dev)
	}
	if r.Table != "" {
		words = append(words, "table", r.Table)
	}
	return strings.Join(words, " ")
}

// VirtualRule is a rule of the routing policy that exists while a virtual router
// is Master, in the words of ip-rule(8).
type VirtualRule struct {
	Family      int          // 4 or 6; 0: both
	From, To    netip.Prefix // invalid: all
	Priority    uint32
	HasPriority bool
	Table       string
	Action      string // "table" when empty, "blackhole", "unreachable", "prohibit", "nop", "goto"
	Not         bool
	FWMark      string // N or N/MASK
	IIF, OIF    string
	TOS         string
	Options     [][]string // the other words with their values
	NoTrack     bool
	TrackGroup  string // as for a VirtualAddress
}

// String names the rule for logs.
func (r VirtualRule) String() string {
	words := []string{"from all"}
	if r.From.IsValid() {
		words[0] = "from " + r.From.String()
	}
	if r.To.IsValid() {
		words = append(words, "to "+r.To.String())
	}
	if r.Table != "" {
		words = append(words, "table "+r.Table)
	}
	return strings.Join(words, " ")
}

// RouteNames are the numbers of names in routes and rules, as iproute2 has them.
type RouteNames struct {
	tables, scopes, protocols, realms, fields map[string]uint32
}

// DefaultRouteNames gives the names that need no file: those of the kernel
// (include/uapi/linux/rtnetlink.h).
func DefaultRouteNames() RouteNames {
	return RouteNames{
		tables: map[string]uint32{"unspec": 0, "default": 253, "main": 254, "local": 255},
		scopes: map[string]uint32{"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255},
		protocols: map[string]uint32{"redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10, "zebra": 11,
			"bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "keepalived": 18, "bgp": 186, "isis": 187, "ospf": 188,
			"rip": 189, "eigrp": 192},
		realms: map[string]uint32{"unknown": 0, "cosmos": 0},
		fields: map[string]uint32{"default": 0},
	}
}

// LoadRouteNames adds the names of iproute2's files in the directories, later
// ones winning. Files that do not exist are passed over; lines that are no
// number and name are ignored, as iproute2 does.
func LoadRouteNames(dirs ...string) (RouteNames, error) {
	n := DefaultRouteNames()
	var errs []error
	for _, dir := range dirs {
		for file, names := range map[string]map[string]uint32{"rt_tables": n.tables, "rt_scopes": n.scopes,
			"rt_protos": n.protocols, "rt_realms": n.realms, "rt_dsfield": n.fields} {
			more, err := filepath.Glob(filepath.Join(dir, file+".d", "*.conf"))
			errs = append(errs, err)
			for _, path := range append([]string{filepath.Join(dir, file)}, more...) {
				read, err := readNames(path)
				errs = append(errs, err)
				maps.Copy(names, read)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return n, fmt.Errorf("read names of routes: %w", err)
	}
	return n, nil
}

func readNames(path string) (map[string]uint32, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := map[string]uint32{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(words[0], 0, 32); err == nil {
			names[words[1]] = uint32(n)
		}
	}
	return names, lines.Err()
}

// lookup gives the number of a word: itself, or one of the names.
func lookup(names map[string]uint32, what, word string, most uint64) (uint32, error) {
	if n, ok := names[word]; ok {
		return n, nil
	}
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %q is neither a number nor a known name", what, word)
	}
	if n > most {
		return 0, fmt.Errorf("%s %q is above %d", what, word, most)
	}
	return uint32(n), nil
}
