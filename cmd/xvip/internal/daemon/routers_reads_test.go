package daemon

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/xvip-lb/xvip/config"
)

// TestRoutersReadTheirKeywords: what the configuration says about virtual
// routers reaches the vrrp room. The effect of each value is shown there and in
// internal/e2e.
func TestRoutersReadTheirKeywords(t *testing.T) {
	global := map[string]string{
		"vrrp_version": "3", "vrrp_mcast_group4": "224.0.0.99", "vrrp_check_unicast_src": "", "vrrp_skip_check_adv_addr": "on",
		"vrrp_owner_ignore_adverts": "on", "vrrp_lower_prio_no_advert": "on", "vrrp_higher_prio_send_advert": "on",
		"vrrp_garp_master_delay": "7", "vrrp_garp_master_repeat": "2", "vrrp_garp_master_refresh": "60", "vrrp_garp_master_refresh_repeat": "4",
		"vrrp_garp_lower_prio_delay": "3", "vrrp_garp_lower_prio_repeat": "9", "vrrp_down_timer_adverts": "5",
		"vrrp_notify_priority_changes": "on", "vrrp_strict": "", "vrrp_min_garp": "", "vrrp_garp_extra_if": "all 60", "vrrp_rx_bufs_policy": "MTU",
		"log_unknown_vrids": "", "disable_local_igmp": "", "nftables": "mine", "nftables_priority": "-5",
	}
	for word, value := range global {
		differs(t, word, "", "", "global_defs {\n"+word+" "+value+"\n}\n", "", "")
	}
	const peers = "unicast_peer {\n10.0.0.5\n}\n"
	for _, c := range []struct{ word, before, line string }{
		{"version", "", "version 3\n"}, {"priority", "", "priority 77\n"}, {"advert_int", "", "advert_int 4\n"}, {"unicast_peer", "", peers},
		{"unicast_src_ip", peers, "unicast_src_ip 10.0.0.4\n"}, {"unicast_ttl", peers, "unicast_ttl 9\n"}, {"check_unicast_src", peers, "check_unicast_src\n"},
		{"old_unicast_checksum", peers, "old_unicast_checksum\n"}, {"v3_checksum_as_v2", "version 3\n", "v3_checksum_as_v2\n"},
		{"skip_check_adv_addr", "", "skip_check_adv_addr on\n"}, {"owner_ignore_adverts", "", "owner_ignore_adverts\n"},
		{"lower_prio_no_advert", "", "lower_prio_no_advert\n"}, {"higher_prio_send_advert", "", "higher_prio_send_advert\n"},
		{"garp_master_delay", "", "garp_master_delay 8\n"}, {"garp_master_repeat", "", "garp_master_repeat 3\n"},
		{"garp_master_refresh", "", "garp_master_refresh 9\n"}, {"garp_master_refresh_repeat", "", "garp_master_refresh_repeat 9\n"},
		{"garp_lower_prio_delay", "", "garp_lower_prio_delay 9\n"}, {"garp_lower_prio_repeat", "", "garp_lower_prio_repeat 9\n"},
		{"down_timer_adverts", "", "down_timer_adverts 6\n"}, {"mcast_src_ip", "", "mcast_src_ip 10.0.0.4\n"}, {"mcast_dst_ip", "", "mcast_dst_ip 224.0.0.77\n"},
		{"nopreempt", "", "nopreempt\n"}, {"preempt_delay", "", "preempt_delay 5\n"}, {"dont_track_primary", "", "dont_track_primary\n"},
		{"virtual_ipaddress_excluded", "", "virtual_ipaddress_excluded {\n10.0.0.9\n}\n"}, {"track_interface", "", "track_interface {\neth1 weight 3\n}\n"},
		{"authentication", "", "authentication {\nauth_type AH\nauth_pass abc\n}\n"},
		{"notify_master_rx_lower_pri", "", "notify_master_rx_lower_pri /bin/x\n"}, {"notify_deleted", "", "notify_deleted\n"},
		{"notify_priority_changes", "", "notify_priority_changes on\n"}, {"notify", "", "notify /bin/x\n"}, {"notify_stop", "", "notify_stop /bin/x\n"},
		{"strict_mode", "", "strict_mode on\n"}, {"garp_extra_if", "", "garp_extra_if 60\n"}, {"vmac_garp_intvl", "", "vmac_garp_intvl all 60\n"},
		{"kernel_rx_buf_size", "", "kernel_rx_buf_size 9000\n"}, {"timer_expired_backup", "nopreempt\n", "timer_expired_backup 200\n"},
		{"thread_timer_expired", "nopreempt\n", "thread_timer_expired\n"}, {"track_src_ip", "", "track_src_ip\n"},
		{"unicast_fault_no_peer", "", "unicast_fault_no_peer\n"},
		{"auth_hmac", "version 3\n", "auth_hmac {\nkey 1 hex:" + key32 + "\n}\n"},
	} {
		differs(t, c.word, c.before, c.before+c.line, "", "", "")
	}
	const hmac = "version 3\nauth_hmac {\nkey 1 hex:" + key32 + "\nkey 2 hex:" + key32 + "\nactive_key 1\n"
	for _, line := range []string{"active_key 2\n", "time_window 9\n", "anti_replay monotonic\n", "mode permissive\n", "mode receive-only\n", "key 3 hex:" + key32 + "\n"} {
		differs(t, "auth_hmac "+line, hmac+"}\n", hmac+line+"}\n", "", "", "")
	}
	const rx = "global_defs {\nvrrp_rx_bufs_policy %s\n}\n"
	for _, policy := range []string{"ADVERT", "7000"} {
		differs(t, "vrrp_rx_bufs_policy "+policy, "", "", fmt.Sprintf(rx, policy), "", "")
	}
	if reflect.DeepEqual(wantedOf(t, "rx", fmt.Sprintf(rx, "MTU")+instanceOf("")), wantedOf(t, "rx", fmt.Sprintf(rx, "MTU\nvrrp_rx_bufs_multiplier 9")+instanceOf(""))) {
		t.Error("vrrp_rx_bufs_multiplier does not reach the virtual routers")
	}
	const static = "static_ipaddress {\n10.0.7.1 dev eth1 %s\n}\nstatic_routes {\n10.0.8.0/24 dev eth1 %s\n}\nstatic_rules {\nfrom 10.0.9.1 table 7 %s\n}\n" +
		"track_group G {\ngroup {\nV\n}\n}\n"
	const bare = "vrrp_instance V {\nvirtual_router_id 1\nunicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}\nvirtual_ipaddress {\n10.0.0.9 dev eth0\n}\n"
	if reflect.DeepEqual(wantedOf(t, "vrf", bare+"}\n"), wantedOf(t, "vrf", bare+"vrf red\n}\n")) {
		t.Error("vrf does not reach the virtual routers")
	}
	differs(t, "track_group", "", "", "", "", "track_group G {\ngroup {\nV\n}\n}\n")
	for i := range 3 {
		words := []any{"", "", ""}
		words[i] = "track_group G"
		differs(t, "track_group of something static", "", "", "", fmt.Sprintf(static, "", "", ""), fmt.Sprintf(static, words...))
	}
	for _, text := range []string{"linkbeat_use_polling\n", "linkbeat_interfaces {\neth1\n}\n"} {
		differs(t, text, "", "", "", "", text)
	}
	differs(t, "linkbeat_interfaces ETHTOOL", "", "", "", "linkbeat_interfaces {\neth1\n}\n", "linkbeat_interfaces {\neth1 ETHTOOL\n}\n")
	differs(t, "linkbeat_use_polling", "", "linkbeat_use_polling\n", "", "", "")
	trackersReach(t)
	virtualMACReaches(t)
	const group = "vrrp_sync_group G {\ngroup {\nV\n}\n"
	differs(t, "vrrp_sync_group", "", "", "", "", group+"}\n")
	differs(t, "vrrp_sync_group notify_priority_changes", "", "", "", group+"}\n", group+"notify_priority_changes on\n}\n")
	for _, word := range []string{"notify", "notify_master", "notify_backup", "notify_fault", "notify_stop"} {
		differs(t, "vrrp_sync_group "+word, "", "", "", group+"}\n", group+word+" /bin/x\n}\n")
	}
}

func virtualMACReaches(t *testing.T) {
	t.Helper()
	const elsewhere = "virtual_ipaddress_excluded {\n10.0.1.1 dev eth1\n}\n"
	for _, c := range []struct{ word, before, line, global string }{
		{"use_vmac", "", "use_vmac\n", ""}, {"vmac_xmit_base", "use_vmac\n", "vmac_xmit_base\n", ""},
		{"use_vmac NAME", "use_vmac\n", "use_vmac other\n", ""}, {"use_vmac MAC", "use_vmac\n", "use_vmac 02:00:00:00:00:01\n", ""},
		{"use_ipvlan", "", "use_ipvlan ip1 10.0.0.7/24\n", ""}, {"use_ipvlan private", "use_ipvlan ip1 10.0.0.7/24\n", "use_ipvlan ip1 10.0.0.7/24 private\n", ""},
		{"use_vmac group", "use_vmac\n", "use_vmac group 5\n", ""},
		{"use_vmac_addr", elsewhere, "use_vmac_addr\n", ""},
		{"virtual_ipaddress use_vmac", elsewhere, "virtual_ipaddress_excluded {\n10.0.1.1 dev eth1 use_vmac\n}\n", ""},
		{"vmac_prefix", "use_vmac\n", "", "global_defs {\nvmac_prefix vm\n}\n"},
		{"vmac_addr_prefix", elsewhere + "use_vmac_addr\n", "", "global_defs {\nvmac_addr_prefix vm\n}\n"},
	} {
		with := c.before + c.line
		if strings.HasPrefix(c.word, "virtual_ipaddress") { // lists of addresses add up
			with = c.line
		}
		differs(t, c.word, c.before, with, c.global, "", "")
	}
}

func trackersReach(t *testing.T) {
	t.Helper()
	const file, process, script = "track_file F {\nfile /f\n", "vrrp_track_process P {\nprocess a\n", "vrrp_script S {\nscript /bin/x\n}\n"
	const uses = "track_file {\nF\n}\ntrack_process {\nP\n}\n"
	with := func(f, p string) string { return file + f + "}\n" + process + p + "}\n" + script + instanceOf(uses) }
	plain := wantedOf(t, "trackers", with("", ""))
	for _, line := range []string{"file /g\n", "weight 2\n", "init_file 3\n", "init_file 3 overwrite\n"} {
		if reflect.DeepEqual(plain, wantedOf(t, line, with(line, ""))) {
			t.Errorf("track_file: %s does not reach the virtual routers", line)
		}
	}
	for _, line := range []string{"process b c\n", "weight 2\n", "quorum 2\n", "quorum_max 4\n", "fork_delay 3\n", "terminate_delay 3\n", "delay 2\n",
		"full_command\n", "process b c\nparam_match initial\n"} {
		if reflect.DeepEqual(plain, wantedOf(t, line, with("", line))) {
			t.Errorf("vrrp_track_process: %s does not reach the virtual routers", line)
		}
	}
	const session = "bfd_instance B {\nneighbor_ip 10.0.0.9\n%s}\n"
	bfdOf := func(lines, uses string) any {
		return wantedOf(t, "track_bfd", fmt.Sprintf(session, lines)+instanceOf("track_bfd {\nB\n}\n"+uses))
	}
	for _, line := range []string{"weight 5\n", "checker\n"} {
		if reflect.DeepEqual(bfdOf("", ""), bfdOf(line, "")) {
			t.Errorf("bfd_instance: %s does not reach the virtual routers", line)
		}
	}
	differs(t, "track_bfd", "", "track_bfd {\nB\n}\n", "", fmt.Sprintf(session, ""), fmt.Sprintf(session, ""))
	differs(t, "vrrp_sync_group track_bfd", "", "", "", fmt.Sprintf(session, "")+"vrrp_sync_group G {\ngroup {\nV\n}\n}\n",
		fmt.Sprintf(session, "")+"vrrp_sync_group G {\ngroup {\nV\n}\ntrack_bfd {\nB\n}\n}\n")
	group := func(lines string) string {
		return with("", "") + "vrrp_sync_group G {\ngroup {\nV\n}\n" + lines + "}\n"
	}
	plain = wantedOf(t, "groups", group(""))
	for _, kind := range []string{"track_interface {\neth1\n}\n", "track_script {\nS\n}\n", "sync_group_tracking_weight\ntrack_interface {\neth1 weight 4\n}\n",
		"sync_group_tracking_weight\ntrack_file {\nF weight 4\n}\n", "track_process {\nP\n}\n"} {
		if reflect.DeepEqual(plain, wantedOf(t, kind, group(kind))) {
			t.Errorf("vrrp_sync_group: %s does not reach the virtual routers", kind)
		}
	}
}

const key32 = "0101010101010101010101010101010101010101010101010101010101010101"

// differs fails when the vrrp room would get the same with a keyword as without.
func differs(t *testing.T, word, without, with, global, tailWithout, tailWith string) {
	t.Helper()
	a := wantedOf(t, word, instanceOf(without)+tailWithout)
	b := wantedOf(t, word, global+instanceOf(with)+tailWith)
	if reflect.DeepEqual(a, b) {
		t.Errorf("%s does not reach the virtual routers", word)
	}
}

func instanceOf(lines string) string {
	return "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n" + lines + "}\n"
}

func wantedOf(t *testing.T, word, text string) any {
	t.Helper()
	cfg, ds := config.Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}}, "/x.conf", config.Options{})
	if cfg == nil {
		t.Fatalf("%s: %v", word, ds)
	}
	w, err := wantedRouters(cfg)
	if err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	return w
}
