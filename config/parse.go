package config

import (
	"io/fs"
	"net/netip"
	"slices"
	"time"
)

// Parse reads the configuration file called name, which may be given with the
// leading slash, from a file system rooted at "/". It returns a complete
// configuration, or nil when a diagnostic is an Error; Warnings come with a
// configuration. Diagnostics are in the order of the files.
func Parse(fsys fs.FS, name string, opt Options) (*Config, []Diagnostic) {
	sections := allSections()
	b := parseOnce(fsys, name, opt, sections, nil)
	if b.missing {
		b = parseOnce(fsys, name, opt, sections, b.suspect)
	}
	ds := b.sink.finish()
	slices.SortStableFunc(ds, func(x, y Diagnostic) int {
		if x.Pos.File != y.Pos.File || len(x.IncludedFrom) > 0 || len(y.IncludedFrom) > 0 {
			return 0
		}
		if x.Pos.Line != y.Pos.Line {
			return x.Pos.Line - y.Pos.Line
		}
		return x.Pos.Col - y.Pos.Col
	})
	if b.sink.errors > 0 {
		return nil, ds
	}
	return b.cfg, ds
}

// parseOnce reads and checks everything. With suspects of a first look, the
// structure of a file whose braces do not match is guessed, to place the
// mistakes.
func parseOnce(fsys fs.FS, name string, opt Options, sections map[string]*section, suspect map[Pos]bool) *binder {
	s := &sink{}
	pre := newPreprocessor(fsys, opt, s)
	b := &binder{
		lex: &lexer{pre: pre, pos: Pos{File: name}}, sink: s, opt: opt, cfg: newConfig(), sections: sections, recover: suspect != nil, suspect: suspect,
		given: map[any]*given{}, instances: map[string]*VRRPInstance{}, defined: map[trackKey]any{},
		used: map[*Script]int{}, places: map[placeKey]Pos{}, groups: map[string]*VirtualServerGroup{}, names: map[string]bool{}, checkerRows: rowsOfCheckers(sections),
		hosts: map[*Checker][]*smtpHost{}, sorryMethods: map[*VirtualServer]LVSMethod{},
	}
	b.follow = make([]*row, len(sections)+rowCount(sections))
	if suspect == nil {
		b.suspect = map[Pos]bool{}
	}
	if !pre.open(name) {
		return b
	}
	b.section(sections[""], b.cfg)
	if !b.seen && s.errors == 0 {
		b.add(Pos{File: name}, nil, Error, "", "the file holds no configuration; expected blocks such as vrrp_instance or virtual_server")
		return b
	}
	b.resolve()
	b.check()
	return b
}

// newConfig has the defaults that do not depend on anything else.
func newConfig() *Config {
	return &Config{
		Global: Global{
			ChildWaitTime: 5 * time.Second, SMTPServerPort: 25, SMTPConnectTimeout: 30 * time.Second,
			VRRPMcastGroup4: netip.MustParseAddr("224.0.0.18"), VRRPMcastGroup6: netip.MustParseAddr("ff02::12"), DefaultInterface: "eth0",
			VRRPGARPMasterDelay: 5 * time.Second, VRRPGARPMasterRepeat: 5, VRRPGARPMasterRefreshRepeat: 1,
			VRRPDownTimerAdverts: 3, VRRPVersion: 2, VMACPrefix: "vrrp", VRRPRXBufsMultiplier: 3,
			NFTablesPriority: -1, NFTablesIPVSStartFWMark: 1000,
			LVSTimeouts:          LVSTimeouts{TCP: unsetTime, TCPFin: unsetTime, UDP: unsetTime},
			StartupScriptTimeout: 10 * time.Second, ShutdownScriptTimeout: 10 * time.Second,
			ProcessName: "keepalived", VRRPProcessName: "keepalived_vrrp", CheckerProcessName: "keepalived_ipvs", BFDProcessName: "keepalived_bfd",
			MinAutoPriorityDelay: time.Second, VRRPProcess: Process{RLimitRTTime: 10 * time.Millisecond},
			CheckerProcess: Process{RLimitRTTime: 10 * time.Millisecond}, BFDProcess: Process{RLimitRTTime: 10 * time.Millisecond},
			Umask: -1, StateDumpFile: "/tmp/keepalived.data", StatsDumpFile: "/tmp/keepalived.stats",
			JSONDumpFile: "/tmp/keepalived.json", JSONVersion: 1, SNMPSocket: "unix:/var/agentx/master",
			SNMPVSStatsUpdateInterval: 5 * time.Second, SNMPRSStatsUpdateInterval: 5 * time.Second,
			DBusServiceName: "org.keepalived.Vrrp1",
		},
		XVIP: XVIP{Dataplane: "auto", XDPMode: "auto", MetricsListen: "127.0.0.1:9650", ControlSocket: "/run/xvip/xvip.sock",
			StateDir: "/run/xvip", BPFFSDir: "/sys/fs/bpf/xvip", ConnTableSize: 1 << 20, LogLevel: "info"},
	}
}
