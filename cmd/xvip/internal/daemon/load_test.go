package daemon

import (
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

func TestDaemonsWithDifferentStateDirectoriesPinApart(t *testing.T) {
	long := "/var/" + strings.Repeat("x/", 100)
	for _, c := range []struct{ dir, state, want string }{
		{xdp.DefaultPinDir, "/run/xvip", xdp.DefaultPinDir},
		{xdp.DefaultPinDir, "/run/xvip/", xdp.DefaultPinDir},
		{xdp.DefaultPinDir, "/tmp/a.b/state", xdp.DefaultPinDir + "-tmp-a_b-state"},
		{"/sys/fs/bpf/mine", "/tmp/a", "/sys/fs/bpf/mine"},
	} {
		if got := pinDir(c.dir, c.state); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.dir, c.state, got, c.want)
		}
	}
	a, b := pinDir(xdp.DefaultPinDir, long+"a"), pinDir(xdp.DefaultPinDir, long+"b")
	if a == b || len(a) > 200 {
		t.Errorf("long directories: %s and %s", a, b)
	}
}

func TestFlagsWinOverTheBlock(t *testing.T) {
	x := config.XVIP{Dataplane: "auto", XDPMode: "auto", MetricsListen: "127.0.0.1:9650", StateDir: "/run/xvip", LogLevel: "warn"}
	overlay(&x, &options.Options{Dataplane: "none", MetricsListen: "off", XDPInterfaces: []string{"eth1"}, Detail: true})
	if x.Dataplane != "none" || x.MetricsListen != "off" || x.XDPMode != "auto" || x.StateDir != "/run/xvip" || x.XDPInterfaces[0] != "eth1" || x.LogLevel != "debug" {
		t.Errorf("got %+v", x)
	}
}
