package config

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// printer prints one keyword of an object in a way of its own.
type printer func(r *row, obj any) []node

func none(*row, any) []node { return nil }

// words makes a node of words, when on.
func when(on bool, r *row, args ...string) []node {
	if !on {
		return nil
	}
	return []node{{word: r.word, args: args}}
}

// special are the keywords whose field alone does not tell what to print.
var special = map[string]printer{
	"global_defs.smtp_server": func(r *row, o any) []node {
		g := o.(*Global)
		return when(g.SMTPServer != "", r, quote(g.SMTPServer), strconv.Itoa(int(g.SMTPServerPort)))
	},
	"global_defs.lvs_sync_daemon": syncDaemonNode,
	"global_defs.lvs_timeouts": func(r *row, o any) []node {
		var args []string
		t := o.(*Global).LVSTimeouts
		for _, p := range []struct {
			name string
			d    time.Duration
		}{{"tcp", t.TCP}, {"tcpfin", t.TCPFin}, {"udp", t.UDP}} {
			if p.d != unsetTime {
				args = append(args, p.name, seconds(p.d))
			}
		}
		return when(len(args) > 0, r, args...)
	},
	"global_defs.lvs_flush_on_stop": func(r *row, o any) []node {
		g := o.(*Global)
		if g.LVSFlushOnStopVS {
			return when(true, r, "VS")
		}
		return when(g.LVSFlushOnStop, r)
	},
	"global_defs.vrrp_iptables": func(r *row, o any) []node {
		g := o.(*Global)
		return when(g.HasVRRPIPTables, r, quoteAll(g.VRRPIPTables)...)
	},
	"global_defs.vrrp_ipsets": func(r *row, o any) []node {
		g := o.(*Global)
		return when(g.HasVRRPIPSets, r, quoteAll(g.VRRPIPSets)...)
	},
	"global_defs.dynamic_interfaces": func(r *row, o any) []node {
		g := o.(*Global)
		if g.DynamicInterfacesChanges {
			return when(true, r, "allow_if_changes")
		}
		return when(g.DynamicInterfaces, r)
	},
	"global_defs.script_user": func(r *row, o any) []node {
		g := o.(*Global)
		if g.ScriptGroup != "" {
			return when(true, r, quote(g.ScriptUser), quote(g.ScriptGroup))
		}
		return when(g.ScriptUser != "", r, quote(g.ScriptUser))
	},
	"global_defs.umask": func(r *row, o any) []node {
		g := o.(*Global)
		return when(g.Umask >= 0, r, fmt.Sprintf("0%o", g.Umask))
	},
	"global_defs.random_seed": func(r *row, o any) []node {
		g := o.(*Global)
		return when(g.HasRandomSeed, r, strconv.FormatInt(g.RandomSeed, 10))
	},
	"global_defs.reload_check_config": func(r *row, o any) []node {
		g := o.(*Global)
		return optionalArg(g.ReloadCheckConfig, r, g.ReloadCheckLog)
	},
	"global_defs.reload_file": func(r *row, o any) []node {
		g := o.(*Global)
		return optionalArg(g.HasReloadFile, r, g.ReloadFile)
	},
	"net_namespace_ipvs": func(r *row, o any) []node {
		g := &o.(*Config).Global
		return optionalArg(g.HasNetNamespaceIPVS, r, g.NetNamespaceIPVS)
	},
	"global_defs.vrrp_garp_extra_if": func(r *row, o any) []node {
		g := o.(*Global)
		return extraIf(r, g.VRRPGARPExtraIf, g.VRRPGARPExtraIfAll)
	},
	"global_defs.notify_fifo":             fifoNode(func(g *Global) *FIFO { return g.NotifyFIFO }),
	"global_defs.vrrp_notify_fifo":        fifoNode(func(g *Global) *FIFO { return g.VRRPNotifyFIFO }),
	"global_defs.lvs_notify_fifo":         fifoNode(func(g *Global) *FIFO { return g.LVSNotifyFIFO }),
	"global_defs.notify_fifo_script":      fifoScriptNode(func(g *Global) *FIFO { return g.NotifyFIFO }),
	"global_defs.vrrp_notify_fifo_script": fifoScriptNode(func(g *Global) *FIFO { return g.VRRPNotifyFIFO }),
	"global_defs.lvs_notify_fifo_script":  fifoScriptNode(func(g *Global) *FIFO { return g.LVSNotifyFIFO }),

	"garp_group.interface": none, // interfaces has them
	"vrrp_instance.garp_extra_if": func(r *row, o any) []node {
		v := o.(*VRRPInstance)
		return extraIf(r, v.GARPExtraIf, v.GARPExtraIfAll)
	},
	"vrrp_instance.accept": func(r *row, o any) []node { return when(o.(*VRRPInstance).Accept, r) },
	"vrrp_instance.no_accept": func(r *row, o any) []node {
		return when(!o.(*VRRPInstance).Accept, r)
	},
	"vrrp_instance.preempt":   func(r *row, o any) []node { return when(o.(*VRRPInstance).Preempt, r) },
	"vrrp_instance.nopreempt": func(r *row, o any) []node { return when(!o.(*VRRPInstance).Preempt, r) },
	"vrrp_instance.old_unicast_checksum": func(r *row, o any) []node {
		switch o.(*VRRPInstance).OldUnicastChecksum {
		case "always":
			return when(true, r)
		case "never":
			return when(true, r, "never")
		}
		return nil
	},
	"vrrp_instance.notify_deleted": func(r *row, o any) []node {
		v := o.(*VRRPInstance)
		if v.NotifyDeleted != nil {
			return when(true, r, command(v.NotifyDeleted)...)
		}
		return when(v.NotifyDeletedState, r)
	},
	"vrrp_instance.use_vmac":   vmacNode(false),
	"vrrp_instance.use_ipvlan": vmacNode(true),
	"xvip.new_connection_limit": func(r *row, o any) []node {
		x := o.(*XVIP)
		out := when(x.NewConnectionLimit != 0, r, strconv.Itoa(x.NewConnectionLimit))
		for _, l := range x.NewConnectionLimits {
			args := []string{l.Address.String(), strconv.Itoa(int(l.Port))}
			if l.Protocol != "" {
				args = append(args, strings.ToLower(l.Protocol))
			}
			out = append(out, when(true, r, append(args, strconv.Itoa(l.Limit))...)...)
		}
		return out
	},
	"vrrp_instance.auth_hmac.key": func(r *row, o any) []node {
		var out []node
		for _, k := range o.(*AuthHMAC).Keys {
			v := "hex:" + hex.EncodeToString(k.Value)
			if k.File != "" {
				v = "file:" + k.File
			}
			out = append(out, when(true, r, strconv.Itoa(int(k.ID)), quote(v))...)
		}
		return out
	},
	"vrrp_script.user": func(r *row, o any) []node {
		s := &o.(*VRRPScript).Script
		return when(s.User != "", r, command(s)[1:]...)
	},
	"virtual_server.real_server.MISC_CHECK.user": func(r *row, o any) []node {
		s := &o.(*Checker).Misc.Script
		return when(s.User != "", r, command(s)[1:]...)
	},
	"vrrp_track_process.process": func(r *row, o any) []node {
		p := o.(*TrackProcess)
		args := []string{quoteToken(p.Process)}
		for _, a := range p.Params {
			args = append(args, quoteToken(a))
		}
		return when(true, r, args...)
	},
	"vrrp_track_process.param_match": func(r *row, o any) []node {
		p := o.(*TrackProcess)
		return when(p.ParamMatch != "exact", r, p.ParamMatch)
	},
	"vrrp_track_process.delay": none, // fork_delay and terminate_delay have it
	"track_file.init_file": func(r *row, o any) []node {
		f := o.(*TrackFile)
		args := []string{strconv.Itoa(f.InitValue)}
		if f.Overwrite {
			args = append(args, "overwrite")
		}
		return when(f.InitFile, r, args...)
	},
	"bfd_instance.ttl": func(r *row, o any) []node {
		d := o.(*BFDInstance)
		return when(d.TTL != 0 && !d.NeighborIP.Is6(), r, strconv.Itoa(int(d.TTL)))
	},
	"bfd_instance.hoplimit": func(r *row, o any) []node {
		d := o.(*BFDInstance)
		return when(d.TTL != 0 && d.NeighborIP.Is6(), r, strconv.Itoa(int(d.TTL)))
	},
}

func optionalArg(on bool, r *row, arg string) []node {
	if arg != "" {
		return when(on, r, quote(arg))
	}
	return when(on, r)
}

func extraIf(r *row, d time.Duration, all bool) []node {
	if all {
		return when(true, r, "all", seconds(d))
	}
	return when(true, r, seconds(d))
}

func fifoNode(get func(*Global) *FIFO) printer {
	return func(r *row, o any) []node {
		f := get(o.(*Global))
		if f == nil || f.Path == "" {
			return nil
		}
		args := []string{quote(f.Path)}
		if f.User != "" {
			args = append(args, quote(f.User))
		}
		if f.Group != "" {
			args = append(args, quote(f.Group))
		}
		return when(true, r, args...)
	}
}

func fifoScriptNode(get func(*Global) *FIFO) printer {
	return func(r *row, o any) []node {
		f := get(o.(*Global))
		if f == nil || f.Script == nil {
			return nil
		}
		return when(true, r, command(f.Script)...)
	}
}

func syncDaemonNode(r *row, o any) []node {
	d := o.(*Global).LVSSyncDaemon
	if d == nil {
		return nil
	}
	args := []string{quote(d.Interface)}
	if d.Instance != "" {
		args = append(args, "inst", quote(d.Instance))
	}
	for _, p := range []struct {
		name string
		n    int
		skip int
	}{{"id", d.ID, -1}, {"maxlen", d.MaxLen, 0}, {"port", int(d.Port), 0}, {"ttl", int(d.TTL), 0}} {
		if p.n != p.skip {
			args = append(args, p.name, strconv.Itoa(p.n))
		}
	}
	return when(true, r, append(args, "group", d.Group.String())...)
}

func vmacNode(ipvlan bool) printer {
	return func(r *row, o any) []node {
		m := o.(*VRRPInstance).UseVMAC
		if m == nil || m.IPVLAN != ipvlan {
			return nil
		}
		args := []string{"name", quote(m.Name)}
		if m.MAC != "" {
			args = append(args, m.MAC)
		}
		if m.Address.IsValid() {
			args = append(args, m.Address.String())
		}
		if m.Mode != "" {
			args = append(args, m.Mode)
		}
		if m.NetlinkNotify {
			args = append(args, "netlink_notify_msg")
		}
		if m.HasGroup {
			args = append(args, "group", strconv.FormatUint(uint64(m.Group), 10))
		}
		return when(true, r, args...)
	}
}

// specialWord are keywords that print alike in every block.
var specialWord = map[string]printer{
	"weight": func(r *row, o any) []node {
		weighted := func(n int, reverse bool) []node {
			if reverse {
				return when(true, r, strconv.Itoa(n), "reverse")
			}
			return when(true, r, strconv.Itoa(n))
		}
		switch x := o.(type) {
		case *VRRPScript:
			return weighted(x.Weight, x.Reverse)
		case *TrackProcess:
			return weighted(x.Weight, x.Reverse)
		case *TrackFile:
			return weighted(x.Weight, x.Reverse)
		case *BFDInstance:
			return weighted(x.Weight, x.Reverse)
		case *Checker:
			return weighted(x.File.Weight, x.File.Reverse)
		case *VirtualServer:
			return when(true, r, strconv.Itoa(x.Weight))
		case *RealServer:
			return when(true, r, strconv.Itoa(x.Weight))
		}
		return nil
	},
	"sh-port": none, "mh-port": none, "sh-fallback": none, "mh-fallback": none, // flag-1 and flag-2 have them
	"persistence_timeout": func(r *row, o any) []node {
		d := o.(*VirtualServer).PersistenceTimeout
		return when(d > 0, r, seconds(d))
	},
	"persistence_granularity": func(r *row, o any) []node {
		return when(true, r, strconv.Itoa(int(o.(*VirtualServer).PersistenceGranularity)))
	},
	"ip_family": func(r *row, o any) []node {
		vs := o.(*VirtualServer)
		return when(vs.FWMark != 0 && vs.Family != 0, r, familyName(vs.Family))
	},
	"sorry_server": func(r *row, o any) []node {
		s := o.(*VirtualServer).SorryServer
		if s == nil {
			return nil
		}
		return when(true, r, s.Address.String(), strconv.Itoa(int(s.Port)))
	},
	"sorry_server_lvs_method": func(r *row, o any) []node {
		s := o.(*VirtualServer).SorryServer
		if s == nil {
			return nil
		}
		return when(true, r, method(s.LVSMethod)...)
	},
	"digest": func(r *row, o any) []node { return when(o.(*URL).Digest != "", r, o.(*URL).Digest) },
	"status_code": func(r *row, o any) []node {
		var args []string
		for _, c := range o.(*URL).StatusCode {
			args = append(args, fmt.Sprintf("%d-%d", c.From, c.To))
		}
		return when(true, r, args...)
	},
	"regex_stack": func(r *row, o any) []node {
		s := o.(*URL).RegexStack
		return when(s != [2]int{}, r, strconv.Itoa(s[0]), strconv.Itoa(s[1]))
	},
	"payload": func(r *row, o any) []node {
		u := o.(*Checker).UDP
		return when(len(u.Payload) > 0, r, hex.EncodeToString(u.Payload))
	},
	"require_reply": func(r *row, o any) []node {
		u := o.(*Checker).UDP
		if len(u.Reply) == 0 {
			return when(u.RequireReply, r)
		}
		digits := []byte(hex.EncodeToString(u.Reply))
		for i, m := range u.ReplyMask {
			if m&0xf0 == 0 {
				digits[2*i] = 'x'
			}
			if m&0x0f == 0 {
				digits[2*i+1] = 'x'
			}
		}
		return when(u.RequireReply, r, string(digits))
	},
}

func familyName(f int) string {
	if f == 6 {
		return "inet6"
	}
	return "inet"
}

// rangeText writes an address range of a group.
func rangeText(a AddressRange) string {
	s := a.First.String()
	if a.Last != a.First {
		s += "-" + a.Last.String()
	}
	return strings.Join([]string{s, strconv.Itoa(int(a.Port))}, " ")
}
