package config

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// around are the lines that open a block of each kind, with what it cannot be
// without; the blocks are closed by as many braces.
var around = map[string]string{
	"":                             "",
	"xvip":                         "xvip {",
	"SSL":                          "SSL {",
	"global_defs":                  "global_defs {",
	"track_group":                  "track_group G {",
	"garp_group":                   "garp_group {\ninterface eth7\ngarp_interval 3",
	"vrrp_sync_group":              "vrrp_sync_group G {\ngroup {\nV8\nV9\n}",
	"vrrp_instance":                "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}",
	"vrrp_instance.authentication": "authentication {\nauth_type PASS\nauth_pass abc",
	"vrrp_instance.auth_hmac":      "auth_hmac {\nkey 1 hex:0101010101010101010101010101010101010101010101010101010101010101\nactive_key 1",
	"vrrp_script":                  "vrrp_script S {\nscript /bin/x",
	"vrrp_track_process":           "vrrp_track_process P {\nprocess a",
	"track_file":                   "track_file F {\nfile /f",
	"vrrp_track_file":              "vrrp_track_file F {\nfile /f",
	"bfd_instance":                 "bfd_instance B {\nneighbor_ip 10.0.0.3",
	"virtual_server":               "virtual_server 10.9.0.1 80 {\nprotocol TCP\nlvs_sched wrr\nlvs_method NAT\nquorum 2\nreal_server 10.0.0.9 80 {\nweight 5\nTCP_CHECK {\n}\n}",
	"virtual_server.real_server":   "real_server 10.0.0.2 80 {",
}

// others are defined in every file, so that names lead somewhere.
const others = `vrrp_instance V8 {
interface eth8
virtual_router_id 8
virtual_ipaddress {
10.0.0.8
}
}
vrrp_instance V9 {
interface eth9
virtual_router_id 9
virtual_ipaddress {
10.0.0.9
}
}
vrrp_script N0 {
script /bin/x
}
vrrp_script N1 {
script /bin/x
}
track_file N2 {
file /f
}
vrrp_track_process N1 {
process x
}
bfd_instance N0 {
neighbor_ip 10.0.0.4
}
`

// inBlock writes lines into a block of a kind, and gives the number of the
// first of them. Lines that are indented keep their columns.
func inBlock(r *row, lines string) (text string, first int) {
	var b strings.Builder
	path := r.in
	b.WriteString(others)
	depth := 0
	for i, part := range strings.Split(path, ".") {
		at := strings.Join(strings.Split(path, ".")[:i+1], ".")
		open, ok := around[at]
		switch {
		case r.word == "hoplimit":
			open = "bfd_instance B {\nneighbor_ip 2001:db8::3"
		case r.path() == "virtual_server.ip_family":
			open = "virtual_server fwmark 5 {\nlvs_sched rr\nlvs_method TUN\nreal_server 10.0.0.9 80 {\n}"
		case !ok && part == "FILE_CHECK":
			open = "FILE_CHECK {\ntrack_file N2"
		case !ok && part == "BFD_CHECK":
			open = "BFD_CHECK {\nname N0"
		case !ok && part == "MISC_CHECK":
			open = "MISC_CHECK {\nmisc_path /bin/x"
		case !ok && part == "url":
			open = "url {"
		case !ok && part == "host":
			open = "host {\nconnect_ip 10.0.0.6"
		case !ok && strings.HasSuffix(part, "_GET") && !strings.HasSuffix(path, ".url"):
			open = part + " {\nurl {\npath /\n}"
		case !ok:
			open = part + " {"
		}
		if open != "" {
			b.WriteString(open + "\n")
			depth++
		}
	}
	first = strings.Count(b.String(), "\n") + 1
	if lines != "" {
		b.WriteString(lines + "\n")
	}
	b.WriteString(strings.Repeat("}\n", depth))
	return b.String(), first
}

// samples are good lines for a keyword, of which one must show in the result.
func samples(r *row) []string {
	if own, ok := ownSamples[r.path()]; ok {
		return own
	}
	if own, ok := ownSamples[r.word]; ok {
		return own
	}
	a := r.args
	arg := func(values ...string) (all []string) {
		for _, v := range values {
			all = append(all, strings.TrimSpace(r.word+" "+v))
		}
		return all
	}
	number := func(n float64) string { return fmt.Sprintf("%.0f", n) }
	switch a.kind {
	case kindFlag:
		return arg("")
	case kindBool, kindOptBool:
		return arg("on", "off", "")
	case kindNumber, kindOptNumber:
		return arg(number(a.min), number(a.max), number(min(a.min+2, a.max)))
	case kindNumbers:
		return arg(number(a.min) + " " + number(a.max))
	case kindTime:
		return arg(fmt.Sprintf("%.6f", a.min), number(min(a.max, 77)), number(min(a.max, 3)))
	case kindString, kindOptString:
		return arg(`"two words"`, "one")
	case kindStrings:
		return arg(`a "b c"`)
	case kindInterface:
		return arg("eth5")
	case kindChoice:
		return arg(a.words...)
	case kindIP:
		return arg("10.0.0.7", "2001:db8::7")
	case kindMulticast:
		return arg("224.0.0.99", "ff02::15")
	case kindScript:
		return arg(`"/bin/y 'a b' c"`)
	case kindWeight:
		return arg("3 reverse")
	case kindBlock:
		return blockSamples(r)
	}
	if l, ok := randomLines[r.word]; ok {
		return []string{strings.Join(l, "\n")}
	}
	return nil
}

func blockSamples(r *row) []string {
	open, ok := around[r.path()]
	if !ok {
		open = r.word + " {"
	}
	if strings.HasSuffix(r.word, "_GET") {
		open += "\nurl {\npath /\n}"
	}
	return []string{open + "\n}"}
}

// ownSamples are of keywords whose good values follow from no type, by path or
// word. Lines above "--" are there without the keyword, too.
var ownSamples = map[string][]string{
	"global_defs": {"global_defs {\nvrrp_version 3\n}"}, "xvip": {"xvip {\nlog_level debug\n}"},
	"interface_up_down_delays": {"interface_up_down_delays {\neth0 2 3\n}"}, "linkbeat_interfaces": {"linkbeat_interfaces {\neth0\n}"},
	"net_namespace_ipvs": {"net_namespace_ipvs x"}, "static_ipaddress": {"static_ipaddress {\n10.5.0.1/24 dev eth1\n}"},
	"static_routes": {"static_routes {\n10.6.0.0/24 via 10.0.0.1 dev eth1\n}"}, "static_rules": {"static_rules {\nfrom 10.0.0.0/8 table 7\n}"},
	"virtual_server_group": {"virtual_server_group G {\n10.1.0.1 80\n}"}, "include_check": {"include_check +readable", "include_check readable"},
	"lvs_flush_onstop": {"lvs_flush_onstop VS"}, "lvs_notify_fifo": {"lvs_notify_fifo /f"}, "vrrp_notify_fifo": {"vrrp_notify_fifo /f user"},
	"lvs_notify_fifo_script": {"lvs_notify_fifo /f\n--\nlvs_notify_fifo_script \"/r x\""}, "vrrp_notify_fifo_script": {"vrrp_notify_fifo /f\n--\nvrrp_notify_fifo_script /r"},
	"notify_fifo_script": {"notify_fifo /f\n--\nnotify_fifo_script /r"},
	"random_seed":        {"random_seed 5"}, "vrrp_vmac_garp_intvl": {"vrrp_vmac_garp_intvl all 3"}, "vmac_garp_intvl": {"vmac_garp_intvl all 3"},
	"garp_group.interface": {"interface eth4"}, "garp_group.interfaces": {"interfaces {\neth4\neth5\n}"}, "track_group.group": {"group {\nV8\n}"},
	"vrrp_sync_group.group": {"group {\nV9\nV8\n}"}, "accept": {"strict_mode on\nversion 3\n--\naccept"}, "preempt": {"nopreempt\n--\npreempt"}, "no_accept": {"no_accept"},
	"active_key": {"key 2 hex:0202020202020202020202020202020202020202020202020202020202020202\n--\nactive_key 2"},
	"key":        {"key 2 hex:0202020202020202020202020202020202020202020202020202020202020202"},
	"SSL.key":    {"key /k"}, "auth_pass": {"auth_pass xyz"}, "auth_type": {"auth_type AH"}, "use_ipvlan": {"use_ipvlan vlan7 10.0.0.7/24"}, "user": {"user haproxy"},
	"vrrp_track_process.delay": {"delay 3"}, "process": {"process b c"}, "hysteresis": {"hysteresis 1"}, "ip_family": {"ip_family inet6"},
	"mh-fallback": {"lvs_sched mh\n--\nmh-fallback"}, "mh-port": {"lvs_sched mh\n--\nmh-port"},
	"sh-fallback": {"lvs_sched sh\n--\nsh-fallback"}, "sh-port": {"lvs_sched sh\n--\nsh-port"}, "ops": {"protocol UDP\n--\nops"}, "protocol": {"protocol SCTP"},
	"BFD_CHECK": {"BFD_CHECK {\nname N0\n}"}, "FILE_CHECK": {"FILE_CHECK {\ntrack_file N2\n}"}, "MISC_CHECK": {"MISC_CHECK {\nmisc_path /bin/x\n}"},
	"FILE_CHECK.track_file":   {"track_file N2"},
	"sorry_server_lvs_method": {"sorry_server 127.0.0.1 81\n--\nsorry_server_lvs_method DR"},
}

func parseString(text string) (*Config, []Diagnostic) {
	return Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}}, "/x.conf", hostOptions())
}

// TestEveryKeywordShows: a good value of every keyword is accepted without a
// complaint, changes the typed result, and comes back from what is printed.
func TestEveryKeywordShows(t *testing.T) {
	for _, r := range allRows() {
		if r.status == noeffect || r.status == refused {
			continue
		}
		t.Run(r.path(), func(t *testing.T) {
			var why []string
			for _, s := range samples(&r) {
				before, s, _ := strings.Cut("\n"+s, "\n--\n")
				if s == "" {
					before, s = "", before
				}
				plain, _ := inBlock(&r, before)
				text, _ := inBlock(&r, before+"\n"+s)
				err := shows(&r, text, plain)
				if err == nil {
					return
				}
				why = append(why, fmt.Sprintf("%q: %v", s, err))
			}
			t.Errorf("no good value shows:\n%s", strings.Join(why, "\n"))
		})
	}
}

// shows says why a keyword in a text makes no difference.
func shows(r *row, text, plain string) error {
	without, ds := parseString(plain)
	if without == nil {
		return fmt.Errorf("the file does not load without it: %v", ds)
	}
	c, ds := parseString(text)
	for _, d := range ds {
		if d.Keyword == r.word && d.Class != Unsupported && !strings.HasPrefix(d.Message, "the keyword is deprecated") {
			return fmt.Errorf("%s", d)
		}
	}
	if c == nil {
		return fmt.Errorf("it does not load: %v", ds)
	}
	printed := Print(c)
	if string(printed) == string(Print(without)) {
		return fmt.Errorf("it changes nothing")
	}
	if !r.alias && r.word != "include_check" && !strings.Contains(string(printed), r.word) {
		return fmt.Errorf("it is not printed")
	}
	again, ds := parseString(string(printed))
	if again == nil || !Equal(c, again) {
		return fmt.Errorf("what is printed reads as another value: %v\n%s", ds, printed)
	}
	return nil
}

// TestEveryKeywordMissesItsArgument: keepalived stops there, or says so, and
// names the line; so do we, with the word and its column.
func TestEveryKeywordMissesItsArgument(t *testing.T) {
	for _, r := range allRows() {
		if r.args.need == 0 || r.args.kind == kindBlock {
			continue
		}
		text, line := inBlock(&r, "      "+r.word)
		c, ds := parseString(text)
		want := Warning
		if !r.lax {
			want = Error
		}
		if !slicesHas(ds, func(d Diagnostic) bool {
			return d.Severity == want && d.Keyword == r.word && d.Pos == (Pos{"/x.conf", line, 7}) && strings.Contains(d.Message, "missing; expected "+r.word)
		}) {
			t.Errorf("%s without its argument: no %v at %d:7 that names it: %v", r.path(), want, line, ds)
		}
		if !r.lax && c != nil {
			t.Errorf("%s without its argument is accepted", r.path())
		}
	}
}

// badValue is nothing that any keyword with a syntax of its own understands.
const badValue = "%bad:"

// TestEveryKeywordMeetsABadValue: the place of the complaint is that of the
// value, and the word is named.
func TestEveryKeywordMeetsABadValue(t *testing.T) {
	for _, r := range allRows() {
		if takesAnything(&r) {
			continue
		}
		line := "  " + r.word + "   " + badValue
		col := 3 + len(r.word) + 3
		if r.args.kind == kindNumbers {
			line += " 1"
		}
		if n := strings.Count(r.args.syntax, " "); r.args.need > 1 && n > 0 {
			line += strings.Repeat(" x", r.args.need-1)
		}
		text, at := inBlock(&r, line)
		c, ds := parseString(text)
		if !slicesHas(ds, func(d Diagnostic) bool {
			return d.Keyword == r.word && d.Pos == (Pos{"/x.conf", at, col}) && d.Class == General
		}) {
			var own []string
			for _, d := range ds {
				if d.Pos.Line == at {
					own = append(own, d.String())
				}
			}
			t.Errorf("%s with a bad value: no complaint at column %d: %v", r.path(), col, own)
		}
		if c == nil && r.status != refused {
			t.Errorf("%s with a bad value keeps the daemon from starting: %v", r.path(), ds)
		}
	}
}

// takesAnything tells keywords that no word is wrong for.
func takesAnything(r *row) bool {
	switch r.args.kind {
	case kindString, kindOptString, kindStrings, kindScript, kindBlock, kindItems, kindFlag:
		return true
	case kindInterface:
		return true
	case kindCustom:
		return r.status == noeffect || anyWord[r.word]
	}
	return false
}

// anyWord are the keywords with a syntax of their own that begins with a name,
// a path or a text.
var anyWord = map[string]bool{
	"net_namespace_ipvs": true, "notify_fifo": true, "lvs_notify_fifo": true, "vrrp_notify_fifo": true, "lvs_sync_daemon": true,
	"reload_file": true, "smtp_server": true, "interface": true, "auth_pass": true, "use_vmac": true, "use_ipvlan": true, "process": true,
	"mh-fallback": true, "mh-port": true, "sh-fallback": true, "sh-port": true,
}

func slicesHas(ds []Diagnostic, ok func(Diagnostic) bool) bool {
	for _, d := range ds {
		if ok(d) {
			return true
		}
	}
	return false
}
