package ipvs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTimeoutsAreKeptAndPutBack(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	apply(t, e)
	expect(t, k) // not wanted: not touched
	e.Configure(Settings{Timeouts: Timeouts{TCP: time.Minute}})
	apply(t, e)
	apply(t, e)
	expect(t, k, "timeouts tcp 1m0s tcpfin 2m0s udp 5m0s")
	k.timeouts.TCP = time.Hour // someone else
	apply(t, e)
	expect(t, k, "timeouts tcp 1m0s tcpfin 2m0s udp 5m0s")
	e.Configure(Settings{Timeouts: Timeouts{UDP: time.Second}})
	apply(t, e)
	expect(t, k, "timeouts tcp 15m0s tcpfin 2m0s udp 1s")
	if err := e.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "timeouts tcp 15m0s tcpfin 2m0s udp 5m0s")
}

func TestSyncDaemonFollowsTheRole(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	role := func(master bool) Settings {
		return Settings{ManageSync: true, Sync: []SyncDaemon{{Master: master, Interface: "eth0", ID: 51}}}
	}
	e.Configure(role(false))
	apply(t, e)
	apply(t, e)
	expect(t, k, "start backup on eth0 id 51")
	e.Configure(role(true))
	apply(t, e)
	expect(t, k, "stop backup on eth0 id 51", "start master on eth0 id 51")
	k.daemons = nil // ipvsadm --stop-daemon master
	apply(t, e)
	expect(t, k, "start master on eth0 id 51")
	if err := e.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "stop master on eth0 id 51")
}

func TestSyncDaemonsOfOthersAreLeftAlone(t *testing.T) {
	k := newKernel()
	k.daemons = []SyncDaemon{{Master: true, Interface: "eth1", ID: 1}}
	e := start(t, k, Options{})
	apply(t, e)
	expect(t, k)
	// Until this node is told to have its own.
	e.Configure(Settings{ManageSync: true, Sync: []SyncDaemon{{Interface: "eth0", ID: 2, Port: 8848}}})
	apply(t, e)
	expect(t, k, "stop master on eth1 id 1", "start backup on eth0 id 2")
}

func TestSyncDaemonDefaultsAreTheKernels(t *testing.T) {
	have := SyncDaemon{Interface: "eth0", ID: 2, MaxLen: 1444, Port: 8848, TTL: 1}
	for want, stop := range map[SyncDaemon]bool{
		{Interface: "eth0", ID: 2}:               false,
		{Interface: "eth0", ID: 2, Port: 8848}:   false,
		{Interface: "eth0", ID: 2, Port: 1}:      true,
		{Interface: "eth0", ID: 2, MaxLen: 1000}: true,
		{Interface: "eth0", ID: 3}:               true,
	} {
		stops, starts := planSync([]SyncDaemon{have}, []SyncDaemon{want})
		if got := len(stops) == 1; got != stop || len(starts) != len(stops) {
			t.Errorf("%+v: stops %v, starts %v; want a restart: %v", want, stops, starts, stop)
		}
	}
	if stops, starts := planSync(nil, nil); !cmp.Equal(append(stops, starts...), []SyncDaemon(nil)) {
		t.Error("nothing wanted, nothing there, and still something to do")
	}
}
