package daemon

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

func aroundOf(t *testing.T, text string) vrrp.Wanted {
	t.Helper()
	cfg, ds := config.Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}}, "/x.conf", config.Options{})
	if cfg == nil {
		t.Fatal(ds)
	}
	w, err := wantedRouters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPacesAndDelaysReachTheSet(t *testing.T) {
	w := aroundOf(t, `global_defs {
	vrrp_garp_interval 0.01
	vrrp_gna_interval 0.02
}
garp_group {
	garp_interval 0.1
	interfaces {
		eth0
		eth1
	}
}
interface_up_down_delays {
	eth0 2 3
}
`)
	if w.GARPInterval != 10*time.Millisecond || w.GNAInterval != 20*time.Millisecond {
		t.Errorf("intervals %v and %v", w.GARPInterval, w.GNAInterval)
	}
	paces := []vrrp.Pace{{Devices: []string{"eth0", "eth1"}, GARP: 100 * time.Millisecond, GNA: 20 * time.Millisecond}}
	if !reflect.DeepEqual(w.Paces, paces) {
		t.Errorf("paces %+v, want %+v", w.Paces, paces)
	}
	if want := (vrrp.LinkDelays{Down: 2 * time.Second, Up: 3 * time.Second}); w.LinkDelays["eth0"] != want {
		t.Errorf("delays %+v, want %+v", w.LinkDelays, want)
	}
}

// TestRoutesWithoutCounterpartAreRefused: what cannot act is named, and the rest
// is left as it is.
func TestRoutesWithoutCounterpartAreRefused(t *testing.T) {
	w := aroundOf(t, instanceOf("virtual_routes {\n 2001:db8::/32 from 2001:db8:1::/48 dev eth0\n 10.9.0.0/16 dev eth0\n}\n"))
	if len(w.Problems) != 1 || !strings.Contains(w.Problems[0].Error(), `"from" is not supported`) || !strings.Contains(w.Problems[0].Error(), `"V"`) {
		t.Errorf("problems %v, want one that names the router and the word", w.Problems)
	}
	plain := aroundOf(t, instanceOf("virtual_routes {\n 10.9.0.0/16 dev eth0\n}\n"))
	if !reflect.DeepEqual(w.Routers[0].Routing, plain.Routers[0].Routing) {
		t.Error("a route beside the refused one is not the same")
	}
}
