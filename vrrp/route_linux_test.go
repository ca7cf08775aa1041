package vrrp

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ipShow gives what iproute2 says of the test's namespace, a line an object,
// without those that are not ours.
func ipShow(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("ip of iproute2 is not installed")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func showRoutes(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(ipShow(t, "-4", "route", "show", "table", "all", "proto", "keepalived") + "\n" +
		ipShow(t, "-6", "route", "show", "table", "all", "proto", "keepalived"))
}

func showRules(t *testing.T) string {
	t.Helper()
	var ours []string
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(ipShow(t, family, "-details", "rule", "show")) {
			if line = strings.TrimSpace(line); strings.HasSuffix(line, "proto keepalived") {
				ours = append(ours, line)
			}
		}
	}
	return strings.Join(ours, "\n")
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func wantText(t *testing.T, what, got string, want ...string) {
	t.Helper()
	if d := cmp.Diff(strings.Join(want, "\n"), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// newRoutingOwner gives an owner of an IPv4 and an IPv6 address on v0.
func newRoutingOwner(t *testing.T) (*Netlink, *AddressOwner) {
	t.Helper()
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	addrAdd(t, nl, "v1", "198.51.100.1/24")
	o, _ := newTestOwner(nl, vip("v0", "192.0.2.100/32"), vip("v0", "2001:db8::100/64"))
	return nl, o
}

func TestOwnerVirtualRoutes(t *testing.T) {
	_, o := newRoutingOwner(t)
	routes := []VirtualRoute{
		{Dst: prefix("203.0.113.0/28"), Via: addr("192.0.2.254"), Dev: "v0", Src: addr("192.0.2.100")},
		{Dst: prefix("203.0.113.16/28"), Dev: "v1"},
		{Dst: prefix("203.0.113.32/28"), Via: addr("192.0.2.254")},
		{Dst: prefix("203.0.113.48/28"), Via: addr("192.0.2.254"), Or: addr("198.51.100.254")},
		{Dst: prefix("203.0.113.64/28"), Type: "blackhole"},
		{Dst: prefix("0.0.0.0/0"), Via: addr("192.0.2.254"), Table: "100", Metric: 7},
		{Dst: prefix("203.0.113.80/28"), Via: addr("192.0.2.254"), TOS: "0x04", Options: [][]string{{"mtu", "lock", "1000"},
			{"advmss", "900"}, {"hoplimit", "9"}, {"rtt", "100ms"}, {"initcwnd", "20"}, {"realms", "3/4"}, {"features", "ecn"}}},
		{Dst: prefix("203.0.113.96/28"), NextHops: [][]string{{"via", "192.0.2.253", "dev", "v0", "weight", "3"}, {"via", "10.9.9.9", "dev", "v1", "onlink"}}},
		{Dst: prefix("2001:db8:1::/64"), Via: addr("2001:db8::1"), Dev: "v0", Protocol: "static"},
		{Dst: prefix("2001:db8:2::/64"), Via: addr("2001:db8::1"), Metric: 50},
	}
	g, err := NewRouting(DefaultRouteNames(), routes, nil)
	noError(t, err)
	noError(t, o.SetRouting(t.Context(), g))
	wantText(t, "before the takeover", showRoutes(t))
	want := []string{
		"default via 192.0.2.254 dev v0 table 100 metric 7",
		"203.0.113.0/28 via 192.0.2.254 dev v0 src 192.0.2.100",
		"203.0.113.16/28 dev v1 scope link",
		"203.0.113.32/28 via 192.0.2.254 dev v0",
		"203.0.113.48/28",
		"nexthop via 192.0.2.254 dev v0 weight 1",
		"nexthop via 198.51.100.254 dev v1 weight 1",
		"blackhole 203.0.113.64/28",
		"203.0.113.80/28 tos 0x04 via 192.0.2.254 dev v0 realms 3/4 mtu lock 1000 rtt 100ms advmss 900 hoplimit 9 initcwnd 20 features ecn",
		"203.0.113.96/28",
		"nexthop via 192.0.2.253 dev v0 weight 3",
		"nexthop via 10.9.9.9 dev v1 weight 1 onlink",
		"2001:db8:2::/64 via 2001:db8::1 dev v0 metric 50 pref medium",
	}
	for range 2 {
		noError(t, o.Take(t.Context()))
		wantText(t, "held", showRoutes(t), want...)
	}
	noError(t, o.Release(t.Context()))
	noError(t, o.Release(t.Context()))
	wantText(t, "released", showRoutes(t))
	if left := ipShow(t, "-6", "route", "show", "2001:db8:1::/64"); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestOwnerVirtualRules(t *testing.T) {
	_, o := newRoutingOwner(t)
	rules := []VirtualRule{
		{From: prefix("192.0.2.0/24"), Family: 4, Table: "100", Priority: 1000, HasPriority: true},
		{To: prefix("2001:db8:1::/64"), Family: 6, Table: "small", Priority: 1001, HasPriority: true},
		{FWMark: "24/0xff", IIF: "v0", Not: true, Family: 4, Action: "unreachable", Priority: 1002, HasPriority: true},
		{From: prefix("0.0.0.0/0"), TOS: "0x10", Family: 4, Action: "goto", Priority: 1003, HasPriority: true,
			Options: [][]string{{"goto", "2000"}, {"ip_proto", "UDP"}, {"sport", "10-20"}, {"dport", "53"}, {"uidrange", "0-99"}}},
		{Table: "main", Priority: 1004, HasPriority: true, Options: [][]string{{"suppress_prefixlength", "0"}}},
	}
	names := DefaultRouteNames()
	names.tables["small"] = 300
	g, err := NewRouting(names, nil, rules)
	noError(t, err)
	noError(t, o.SetRouting(t.Context(), g))
	for range 2 {
		noError(t, o.Take(t.Context()))
		wantText(t, "held", showRules(t),
			"1000: from 192.0.2.0/24 lookup 100 proto keepalived",
			"1002: not from all fwmark 0x18/0xff iif v0 unreachable proto keepalived",
			"1003: from all tos 0x10 uidrange 0-99 ipproto udp sport 10-20 dport 53 goto 2000 [unresolved] proto keepalived",
			"1004: from all lookup main suppress_prefixlength 0 proto keepalived",
			"1001: from all to 2001:db8:1::/64 lookup 300 proto keepalived",
			"1004: from all lookup main suppress_prefixlength 0 proto keepalived")
	}
	noError(t, o.Release(t.Context()))
	noError(t, o.Release(t.Context()))
	wantText(t, "released", showRules(t))
}

// A reload removes and adds only what differs; what others remove comes back.
func TestOwnerRoutingFollowsReloadAndComesBack(t *testing.T) {
	nl, o := newRoutingOwner(t)
	links := newTestMonitor(t, nl)
	a := VirtualRoute{Dst: prefix("203.0.113.0/28"), Dev: "v0"}
	b := VirtualRoute{Dst: prefix("203.0.113.16/28"), Dev: "v0"}
	c := VirtualRoute{Dst: prefix("203.0.113.32/28"), Dev: "v0", NoTrack: true}
	set := func(routes ...VirtualRoute) {
		t.Helper()
		g, err := NewRouting(DefaultRouteNames(), routes, nil)
		noError(t, err)
		noError(t, o.SetRouting(t.Context(), g))
	}
	set(a, b)
	noError(t, o.Take(t.Context()))
	set(b, c)
	wantText(t, "after the reload", showRoutes(t), "203.0.113.16/28 dev v0 scope link", "203.0.113.32/28 dev v0 scope link")
	ipShow(t, "route", "del", "203.0.113.16/28")
	ipShow(t, "route", "del", "203.0.113.32/28")
	_, err := o.Restore(t.Context(), links.HasAddress)
	noError(t, err)
	wantText(t, "restored", showRoutes(t), "203.0.113.16/28 dev v0 scope link")
	noError(t, o.Release(t.Context()))
}

// A route that cannot be added does not keep the others away.
func TestOwnerRoutingReportsFailures(t *testing.T) {
	_, o := newRoutingOwner(t)
	g, err := NewRouting(DefaultRouteNames(), []VirtualRoute{
		{Dst: prefix("203.0.113.0/28"), Via: addr("10.255.255.1")},
		{Dst: prefix("203.0.113.16/28"), Dev: "none"},
		{Dst: prefix("203.0.113.32/28"), Dev: "v0"},
	}, nil)
	noError(t, err)
	noError(t, o.SetRouting(t.Context(), g))
	err = o.Take(t.Context())
	for _, want := range []string{`add route "203.0.113.0/28 via 10.255.255.1": network is unreachable`, `add route "203.0.113.16/28 dev none": find interface "none"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	wantText(t, "held", showRoutes(t), "203.0.113.32/28 dev v0 scope link")
}

// Each word that cannot be carried out is named; the rest is kept.
func TestNewRoutingNamesTheWord(t *testing.T) {
	ok := VirtualRoute{Dst: prefix("203.0.113.0/28"), Dev: "v0"}
	with := func(change func(r *VirtualRoute)) VirtualRoute {
		r := ok
		change(&r)
		return r
	}
	option := func(words ...string) VirtualRoute {
		return with(func(r *VirtualRoute) { r.Options = [][]string{words} })
	}
	hop := func(words ...string) VirtualRoute {
		return with(func(r *VirtualRoute) { r.NextHops = [][]string{words} })
	}
	routes := map[string]VirtualRoute{
		"no destination":                       {Dev: "v0"},
		`route type "nat"`:                     with(func(r *VirtualRoute) { r.Type = "nat" }),
		`table "blue" is neither`:              with(func(r *VirtualRoute) { r.Table = "blue" }),
		`scope "300" is above 255`:             with(func(r *VirtualRoute) { r.Scope = "300" }),
		`protocol "x"`:                         with(func(r *VirtualRoute) { r.Protocol = "x" }),
		`option "encap" is not supported`:      option("encap", "mpls"),
		`option "mtu": "x" is not a number`:    option("mtu", "x"),
		`option "features"`:                    option("features", "x"),
		`option "realms": realm "PQA"`:         option("realms", "PQA/1"),
		`option "window": [] is not one`:       option("window"),
		`nexthop "via": "via" has no value`:    hop("via"),
		`"x" is not an address`:                hop("via", "x"),
		`weight "0" is not between`:            hop("weight", "0"),
		`nexthop "encap mpls": "encap" is not`: hop("encap", "mpls"),
	}
	for want, r := range routes {
		g, err := NewRouting(DefaultRouteNames(), []VirtualRoute{r, ok}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || len(g.routes) != 1 {
			t.Errorf("got %v and %d routes, want %q and the good one", err, len(g.routes), want)
		}
	}
	rules := map[string]VirtualRule{
		`table "blue"`:                             {Table: "blue"},
		`fwmark "x"`:                               {FWMark: "x"},
		`mask of fwmark "y"`:                       {FWMark: "1/y"},
		`action "nat"`:                             {Action: "nat"},
		`tos "x"`:                                  {TOS: "x"},
		`option "l3mdev" is not supported`:         {Options: [][]string{{"l3mdev"}}},
		`option "sport": "20-10" is not a range`:   {Options: [][]string{{"sport", "20-10"}}},
		`option "ip_proto": IP protocol "unknown"`: {Options: [][]string{{"ip_proto", "unknown"}}},
		`option "dport" has no value`:              {Options: [][]string{{"dport"}}},
	}
	for want, r := range rules {
		g, err := NewRouting(DefaultRouteNames(), nil, []VirtualRule{r, {}})
		if err == nil || !strings.Contains(err.Error(), want) || len(g.rules) != 1 {
			t.Errorf("got %v and %d rules, want %q and the good one", err, len(g.rules), want)
		}
	}
}

func TestLoadRouteNames(t *testing.T) {
	usr, etc := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(usr, "rt_tables"), "# reserved\n255 local\n100 blue # of usr\nnonsense\nx y\n")
	writeFile(t, filepath.Join(etc, "rt_tables"), "101\tblue\n0x70 red\n")
	noError(t, os.Mkdir(filepath.Join(etc, "rt_protos.d"), 0o700))
	writeFile(t, filepath.Join(etc, "rt_protos.d", "own.conf"), "77 own\n")
	writeFile(t, filepath.Join(etc, "rt_protos.d", "ignored"), "78 other\n")
	n, err := LoadRouteNames(usr, etc, filepath.Join(etc, "none"))
	noError(t, err)
	if n.tables["blue"] != 101 || n.tables["red"] != 0x70 || n.tables["main"] != 254 || n.protocols["own"] != 77 || n.protocols["other"] != 0 {
		t.Errorf("got %+v", n)
	}
	if n, err := LoadRouteNames("/etc/iproute2"); err != nil || n.tables["main"] != 254 {
		t.Errorf("the system's names: %v", err)
	}
}
