// Package options reads the daemon's command line: keepalived's flags with
// their meaning, and our own settings, which win over the xvip block of the
// configuration file.
package options

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// DefaultFile is read when -f is not given.
const DefaultFile = "/etc/keepalived/keepalived.conf"

// Options is what the command line says. Strings that are empty and pointers
// that are nil were not given.
type Options struct {
	File       string
	ConfigID   string // -i
	VRRPOnly   bool   // -P
	CheckOnly  bool   // -C
	NoFork     bool   // -n
	Console    bool   // -l
	Detail     bool   // -D
	NoSyslog   bool   // -G
	LogFile    string // -g
	FlushLog   bool
	Facility   string // -S
	ReleaseVIP bool   // -X
	KeepVRRP   bool   // -V
	KeepIPVS   bool   // -I
	NoRespawn  bool   // -R
	DumpConf   bool   // -d
	AllConfig  bool   // -e
	AddrMon    bool   // -a
	CoreDump   bool   // -m
	CorePat    string // -M
	Umask      string // -u
	Namespace  string // -s

	PidFile         string // -p
	VRRPPidFile     string // -r
	CheckersPidFile string // -c
	BFDPidFile      string // -b
	NoBFD           bool   // -B

	Test       string // -t[=FILE]: TestStderr, or the file for the messages
	Strict     bool   // with -t: keepalived's exit codes for warnings
	Signum     string // --signum=NAME
	Version    bool   // -v
	JSONErrors bool   // with -t: diagnostics as JSON lines

	// Settings of the xvip block.
	Dataplane     string
	XDPMode       string
	XDPInterfaces []string
	MetricsListen string
	ControlSocket string
	StateDir      string
	BPFFSDir      string
	LogLevel      string
}

// TestStderr is the value of Options.Test when -t has no file.
const TestStderr = "-"

// Register adds every flag to fs and returns the Options they fill.
func Register(fs *pflag.FlagSet) *Options {
	o := &Options{}
	fs.SortFlags = false
	registerRun(fs, o)
	registerLogs(fs, o)
	registerFiles(fs, o)
	registerOwn(fs, o)
	return o
}

func registerRun(fs *pflag.FlagSet, o *Options) {
	fs.StringVarP(&o.File, "use-file", "f", DefaultFile, "read this configuration `FILE`")
	fs.BoolVarP(&o.VRRPOnly, "vrrp", "P", false, "only elect, no health checks and no forwarding")
	fs.BoolVarP(&o.CheckOnly, "check", "C", false, "only forward and check, no election")
	fs.BoolVarP(&o.NoFork, "dont-fork", "n", false, "stay in the foreground")
	fs.StringVarP(&o.ConfigID, "config-id", "i", "", "`ID` that @ID lines of the configuration are compared with (default: the host name's first label)")
	fs.StringVarP(&o.Test, "config-test", "t", "", "check the configuration and exit; messages go to stderr, or to `FILE` with -t=FILE")
	fs.Lookup("config-test").NoOptDefVal = TestStderr
	fs.BoolVar(&o.Strict, "strict", false, "with -t: exit 5 for warnings and 6 for a script security notice")
	fs.BoolVar(&o.JSONErrors, "json", false, "with -t: one JSON object a line for each problem")
	fs.BoolVarP(&o.AllConfig, "all-config", "e", false, "refused in this release: write include_check in the file")
	fs.StringVarP(&o.Namespace, "namespace", "s", "", "run in this network namespace `NAME`")
	fs.BoolVarP(&o.ReleaseVIP, "release-vips", "X", false, "remove the virtual addresses when a signal stops the daemon (always done; kept for compatibility)")
	fs.BoolVarP(&o.KeepVRRP, "dont-release-vrrp", "V", false, "keep virtual addresses on exit")
	fs.BoolVarP(&o.KeepIPVS, "dont-release-ipvs", "I", false, "keep the forwarding state in the kernel on exit")
	fs.BoolVarP(&o.NoRespawn, "dont-respawn", "R", false, "accepted: the daemon is one process, and nothing of it is started again")
	fs.StringVar(&o.Signum, "signum", "", "print the number of the signal called `NAME`: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON")
	fs.BoolVarP(&o.Version, "version", "v", false, "print the version")
}

func registerLogs(fs *pflag.FlagSet, o *Options) {
	fs.BoolVarP(&o.Console, "log-console", "l", false, "log to the console")
	fs.BoolVarP(&o.Detail, "log-detail", "D", false, "log details (debug level)")
	fs.StringVarP(&o.Facility, "log-facility", "S", "", "syslog `FACILITY`: 0-7 for local0-7, or a name (default daemon)")
	fs.BoolVarP(&o.NoSyslog, "no-syslog", "G", false, "do not log to syslog or the journal")
	fs.StringVarP(&o.LogFile, "log-file", "g", "", "also log to `FILE`")
	fs.BoolVar(&o.FlushLog, "flush-log-file", false, "accepted: the log file is always written at once")
	fs.BoolVarP(&o.DumpConf, "dump-conf", "d", false, "log the effective configuration at start")
	fs.BoolVarP(&o.AddrMon, "address-monitoring", "a", false, "log every address added to or removed from an interface")
}

func registerFiles(fs *pflag.FlagSet, o *Options) {
	fs.StringVarP(&o.PidFile, "pid", "p", "", "pid `FILE` (default: xvip.pid in the state directory)")
	fs.StringVarP(&o.VRRPPidFile, "vrrp_pid", "r", "", "write the pid to this `FILE` too, for what expects keepalived's VRRP child")
	fs.StringVarP(&o.CheckersPidFile, "checkers_pid", "c", "", "write the pid to this `FILE` too, for keepalived's checker child")
	fs.StringVarP(&o.BFDPidFile, "bfd_pid", "b", "", "write the pid to this `FILE` too, for keepalived's BFD child")
	fs.BoolVarP(&o.NoBFD, "no_bfd", "B", false, "accepted: this release runs no BFD sessions")
	fs.BoolVarP(&o.CoreDump, "core-dump", "m", false, "allow core dumps (GOTRACEBACK=crash)")
	fs.StringVarP(&o.CorePat, "core-dump-pattern", "M", "", "as -m, and set the kernel's core `PATTERN`")
	fs.Lookup("core-dump-pattern").NoOptDefVal = "core"
	fs.StringVarP(&o.Umask, "umask", "u", "", "umask `MASK` for files written, octal")
}

func registerOwn(fs *pflag.FlagSet, o *Options) {
	fs.StringVar(&o.Dataplane, "dataplane", "", "forwarding `ENGINE`: auto, xdp, ipvs or none")
	fs.StringVar(&o.XDPMode, "xdp-mode", "", "XDP `MODE`: auto, native or generic")
	fs.StringSliceVar(&o.XDPInterfaces, "xdp-interfaces", nil, "attach XDP to these interfaces, not to those found from the configuration")
	fs.StringVar(&o.MetricsListen, "metrics-listen", "", "serve Prometheus metrics on `ADDR`, or off")
	fs.StringVar(&o.ControlSocket, "control-socket", "", "`PATH` of the control socket")
	fs.StringVar(&o.StateDir, "state-dir", "", "state `DIR`")
	fs.StringVar(&o.BPFFSDir, "bpffs-dir", "", "pin programs and maps under this `DIR`")
	fs.StringVar(&o.LogLevel, "log-level", "", "`LEVEL`: debug, info, warn or error")
}

// Check finds values that no configuration could make right.
func (o *Options) Check() error {
	if o.VRRPOnly && o.CheckOnly {
		return fmt.Errorf("flags -P and -C exclude each other: leave both out to run everything")
	}
	if o.AllConfig {
		return fmt.Errorf("flag -e is not carried out in this release: include_check in global_defs does the same")
	}
	for _, c := range []struct{ flag, value, allowed string }{
		{"--dataplane", o.Dataplane, "auto xdp ipvs none"},
		{"--xdp-mode", o.XDPMode, "auto native generic"},
		{"--log-level", o.LogLevel, "debug info warn error"},
	} {
		if c.value != "" && !contains(c.allowed, c.value) {
			return fmt.Errorf("flag %s %q: want one of %s", c.flag, c.value, strings.ReplaceAll(c.allowed, " ", ", "))
		}
	}
	if o.Umask != "" {
		if _, err := strconv.ParseUint(o.Umask, 8, 9); err != nil {
			return fmt.Errorf("flag --umask %q: want an octal number such as 027", o.Umask)
		}
	}
	return nil
}

func contains(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
