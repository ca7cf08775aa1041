package config

import (
	"fmt"
	"math/rand"
	"strings"
)

// randomConfig writes a configuration with keywords picked from the table and
// values that the table allows.
func randomConfig(r *rand.Rand) string {
	g := &generator{Rand: r, sections: allSections()}
	g.block("global_defs", "global_defs", "")
	for i := range 3 {
		name := fmt.Sprintf("N%d", i)
		g.block("vrrp_script", "vrrp_script", name)
		g.block("track_file", "track_file", name)
		g.block("vrrp_track_process", "vrrp_track_process", name)
		g.block("bfd_instance", "bfd_instance", name)
	}
	for i := range 1 + r.Intn(3) {
		g.block("vrrp_instance", "vrrp_instance", fmt.Sprintf("V%d", i))
	}
	g.block("vrrp_sync_group", "vrrp_sync_group", "G")
	g.line("virtual_server_group SG {", "10.1.0.1-20 80", "10.2.0.0/28 81", "fwmark 9", "}")
	for i := range 2 {
		g.block("virtual_server", "virtual_server", fmt.Sprintf("10.9.0.%d 80", i))
	}
	g.block("virtual_server", "virtual_server", "fwmark 4")
	g.block("virtual_server", "virtual_server", "group SG")
	return g.out.String()
}

type generator struct {
	*rand.Rand
	sections map[string]*section
	out      strings.Builder
	servers  int
}

func (g *generator) line(lines ...string) {
	for _, l := range lines {
		g.out.WriteString(l + "\n")
	}
}

func (g *generator) pick(words ...string) string { return words[g.Intn(len(words))] }

// needed are the lines without which a block counts for nothing.
var needed = map[string][]string{
	"vrrp_script":        {`script "/bin/x 'a b' \"c\" \\x24HOME \\n"`},
	"track_file":         {"file /tmp/f"},
	"vrrp_track_process": {`process "a b" c 'd e'`},
	"bfd_instance":       {"neighbor_ip 10.0.0.1"},
	"vrrp_sync_group":    {"group {", "V0", "}"},
}

func (g *generator) block(path, word, args string) {
	g.line(word + " " + args + " {")
	g.line(needed[path]...)
	if path == "vrrp_instance" {
		g.line("interface eth0", fmt.Sprintf("virtual_router_id %d", 1+g.Intn(255)))
	}
	if strings.HasSuffix(path, "_GET") {
		g.block(path+".url", "url", "")
	}
	for _, r := range g.sections[path].order {
		if r.word == "include_check" || r.word == "random_seed" || g.Intn(3) > 0 {
			continue
		}
		g.keyword(r)
	}
	if path == "virtual_server" {
		for range 1 + g.Intn(3) {
			g.servers++
			g.block("virtual_server.real_server", "real_server", fmt.Sprintf("10.0.0.%d %d", g.servers%250+1, g.pickPort()))
		}
	}
	g.line("}")
}

func (g *generator) pickPort() int { return []int{80, 443, 8080}[g.Intn(3)] }

func (g *generator) keyword(r *row) {
	a := r.args
	switch a.kind {
	case kindFlag:
		g.line(r.word)
	case kindBool, kindOptBool:
		g.line(r.word + " " + g.pick("on", "off", "yes", "no", "true", "false"))
	case kindNumber, kindOptNumber:
		g.line(fmt.Sprintf("%s %.0f", r.word, a.min+float64(g.Int63n(int64(min(a.max-a.min, 1e9))+1))))
	case kindNumbers:
		g.line(fmt.Sprintf("%s %.0f %.0f", r.word, a.min, a.max))
	case kindTime:
		g.line(fmt.Sprintf("%s %.6f", r.word, a.min+g.Float64()*min(a.max-a.min, 1000)))
	case kindString, kindOptString:
		g.line(r.word + " " + g.pick(`"two words"`, "one", "a#b"))
	case kindStrings:
		g.line(r.word + ` a "b c"`)
	case kindInterface:
		if r.word != "interface" {
			g.line(r.word + " eth1")
		}
	case kindChoice:
		g.line(r.word + " " + g.pick(a.words...))
	case kindIP:
		g.line(r.word + " " + g.pick("10.0.0.7", "2001:db8::7"))
	case kindMulticast:
		if a.min == 6 {
			g.line(r.word + " ff02::15")
		} else {
			g.line(r.word + " 224.0.0.99")
		}
	case kindScript:
		g.line(r.word + " " + g.pick(`"/bin/x 'a b' c" user`, "/bin/x", `"/bin/x \\$PATH"`))
	case kindWeight:
		g.line(fmt.Sprintf("%s %d %s", r.word, g.Intn(500)-250, g.pick("", "reverse")))
	case kindBlock:
		if strings.HasPrefix(r.in, "virtual_server.real_server") {
			g.block(r.path(), r.word, "")
		} else if r.word == "authentication" {
			g.line("authentication {", "auth_type PASS", "auth_pass p#w", "}")
		} else if r.word == "auth_hmac" {
			g.line("auth_hmac {", "key 3 hex:"+strings.Repeat("0f", 32), "}")
		}
	default:
		g.line(randomLines[r.word]...)
	}
}

// randomLines are good values of the keywords that have a syntax of their own.
var randomLines = map[string][]string{
	"notification_email": {"notification_email {", `a@b "c <d@e>"`, "}"},
	"smtp_server":        {"smtp_server mail.example 26"}, "lvs_sync_daemon": {"lvs_sync_daemon eth0 inst V0 id 3 ttl 4"},
	"lvs_timeouts": {"lvs_timeouts tcp 5 udp 7"}, "lvs_flush_on_stop": {"lvs_flush_on_stop VS"},
	"vrrp_iptables": {"vrrp_iptables A B"}, "vrrp_ipsets": {"vrrp_ipsets"}, "notify_fifo": {"notify_fifo /f user adm"},
	"notify_fifo_script": {`notify_fifo_script "/r x"`}, "dynamic_interfaces": {"dynamic_interfaces"}, "script_user": {"script_user user group"},
	"vrrp_rx_bufs_policy": {"vrrp_rx_bufs_policy MTU"}, "umask": {"umask 022"}, "reload_file": {"reload_file"},
	"new_connection_limit": {"new_connection_limit 9", "new_connection_limit 10.0.0.1 80 udp 7", "new_connection_limit 2001:db8::1 443 8"},
	"reload_check_config":  {"reload_check_config /l"}, "vrrp_garp_extra_if": {"vrrp_garp_extra_if all 3"}, "garp_extra_if": {"garp_extra_if 4"},
	"state": {"state MASTER"}, "accept": {"accept"}, "nopreempt": {"nopreempt"}, "use_vmac": {"use_vmac vr1 00:01:02:03:04:05"},
	"old_unicast_checksum": {"old_unicast_checksum never"}, "unicast_peer": {"unicast_peer {", "10.0.0.5 min_ttl 250", "10.0.0.6", "}"},
	"virtual_ipaddress":          {"virtual_ipaddress {", "10.0.0.1/24 brd + dev eth1 label eth1:0 no_track scope link", "10.0.0.2", "}"},
	"virtual_ipaddress_excluded": {"virtual_ipaddress_excluded {", "2001:db8::1", "2001:db8::2/128 preferred_lft forever", "2001:db8::3/64 -nodad preferred_lft 9", "}"},
	"virtual_routes":             {"virtual_routes {", "src 10.0.0.1 to 10.1.0.0/24 via 10.0.0.9 or 10.0.0.8 dev eth1 metric 7 mtu lock 1400", "blackhole 10.3.0.0/16 no_track", "default nexthop via 10.0.0.1 weight 2 nexthop dev eth1", "}"},
	"virtual_rules":              {"virtual_rules {", "from 10.0.0.0/8 to 10.1.0.0/16 lookup 5 pref 7 fwmark 3/7", "not iif eth0 goto 8", "}"},
	"notify_deleted":             {"notify_deleted /bin/x"}, "init_file": {"init_file 4 overwrite"}, "param_match": {"param_match initial"},
	"track_interface": {"track_interface {", "eth1 weight 4 reverse", "}"}, "track_script": {"track_script {", "N0", "N1 weight -9", "}"},
	"track_file": {"track_file {", "N2 weight 3", "}"}, "track_process": {"track_process {", "N1", "}"}, "track_bfd": {"track_bfd {", "N0", "}"},
	"lvs_sched": {"lvs_sched sh", "sh-port"}, "lb_algo": {"lb_algo mh", "mh-fallback"}, "lvs_method": {"lvs_method TUN type gue port 6080 remcsum"}, "lb_kind": {"lb_kind DR"},
	"protocol": {"protocol TCP"}, "persistence_timeout": {"persistence_timeout"}, "persistence_granularity": {"persistence_granularity 255.255.255.0"},
	"sorry_server": {"sorry_server 127.0.0.1 81"}, "sorry_server_lvs_method": {"sorry_server_lvs_method NAT"},
	"digest": {"digest 0123456789ABCDEF0123456789abcdef"}, "status_code": {"status_code 200 301-399"}, "regex_stack": {"regex_stack 10 20"},
	"payload": {"payload 0f f 1"}, "require_reply": {"require_reply xx0F"},
}
