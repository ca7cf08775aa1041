package options

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func parse(t *testing.T, args string) (*Options, error) {
	t.Helper()
	fs := pflag.NewFlagSet("xvip", pflag.ContinueOnError)
	o := Register(fs)
	if err := fs.Parse(strings.Fields(args)); err != nil {
		return nil, err
	}
	return o, o.Check()
}

// The command lines that unit files of distributions and containers use.
func TestKeepalivedCommandLines(t *testing.T) {
	for args, check := range map[string]func(*Options) bool{
		"--dont-fork --log-console -D -P": func(o *Options) bool { return o.NoFork && o.Console && o.Detail && o.VRRPOnly },
		"-nlD -f /x.conf":                 func(o *Options) bool { return o.NoFork && o.Console && o.Detail && o.File == "/x.conf" },
		"-D -S 0 -p /run/k.pid":           func(o *Options) bool { return o.Facility == "0" && o.PidFile == "/run/k.pid" },
		"-r /r.pid -c /c.pid -b /b.pid": func(o *Options) bool {
			return o.VRRPPidFile == "/r.pid" && o.CheckersPidFile == "/c.pid" && o.BFDPidFile == "/b.pid"
		},
		"-t -f /x.conf":                    func(o *Options) bool { return o.Test == TestStderr && o.File == "/x.conf" },
		"--config-test=/log --use-file=/x": func(o *Options) bool { return o.Test == "/log" && o.File == "/x" },
		"-i node1 -s blue -G -R -X -V -I -m -a": func(o *Options) bool {
			return o.ConfigID == "node1" && o.Namespace == "blue" && o.NoSyslog && o.NoRespawn && o.ReleaseVIP && o.KeepVRRP && o.KeepIPVS && o.CoreDump && o.AddrMon
		},
		"--signum=STATS -u 027 -d -v": func(o *Options) bool {
			return o.Signum == "STATS" && o.Umask == "027" && o.DumpConf && o.Version
		},
		"--dataplane xdp --xdp-interfaces eth0,eth1": func(o *Options) bool { return o.Dataplane == "xdp" && len(o.XDPInterfaces) == 2 },
		"--metrics-listen off --state-dir /d -C":     func(o *Options) bool { return o.MetricsListen == "off" && o.StateDir == "/d" && o.CheckOnly },
		"":                                           func(o *Options) bool { return o.File == DefaultFile && !o.NoFork && o.Test == "" },
	} {
		o, err := parse(t, args)
		if err != nil {
			t.Errorf("%q: %v", args, err)
		} else if !check(o) {
			t.Errorf("%q is read as %+v", args, *o)
		}
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"-P -C":            "-P and -C exclude each other",
		"--dataplane dpdk": `--dataplane "dpdk": want one of auto, xdp, ipvs, none`,
		"--xdp-mode fast":  `--xdp-mode "fast"`,
		"--log-level loud": `--log-level "loud"`,
		"-u 999":           `--umask "999": want an octal number`,
		"-e":               "flag -e is not carried out",
		"--no-such-flag":   "no-such-flag",
		"-f":               "flag needs an argument",
	} {
		if _, err := parse(t, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}
