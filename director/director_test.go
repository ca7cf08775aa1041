package director

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
)

func start(t *testing.T, f *dataplane.Fake, h func() Health) *Director {
	t.Helper()
	d := New(Options{Forwarder: f, Health: h, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return d
}

func noHealth() Health { return nil }

func TestNothingIsAppliedBeforeThereIsAConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dataplane.Fake{}
		start(t, f, noHealth)
		time.Sleep(time.Minute)
		if n := f.Applied(); n != 0 {
			t.Errorf("applied %d times: a start must not wipe what a daemon before left forwarding", n)
		}
	})
}

func TestAFailedApplyIsTriedAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dataplane.Fake{}
		f.FailWith(errors.New("map is full"))
		d := start(t, f, noHealth)
		d.SetConfig(&config.Config{VirtualServers: []*config.VirtualServer{virtualServer(1)}})
		time.Sleep(time.Second)
		if _, ok := d.Decision(); ok {
			t.Error("the decision counts as applied although Apply fails")
		}
		f.FailWith(nil)
		time.Sleep(retryMost)
		if _, ok := d.Decision(); !ok || f.Applied() == 0 {
			t.Error("a good Apply did not follow")
		}
	})
}

func TestEveryInputReachesTheForwarder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dataplane.Fake{}
		state := Health(nil)
		d := start(t, f, func() Health { return state })
		vs := virtualServer(1, 1)
		cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}, VRRPInstances: []*config.VRRPInstance{{
			Name: "A", VirtualIPAddress: []config.VirtualIPAddress{{Prefix: netipPrefix(vs.Address)}}}}}
		expect := func(step string, active bool, servers int) {
			t.Helper()
			synctest.Wait()
			held, _ := f.Services(t.Context())
			if len(held) != 1 || held[0].Active != active || len(held[0].RealServers) != servers {
				t.Errorf("%s: the forwarder holds %+v", step, held)
			}
		}
		d.SetConfig(cfg)
		expect("configuration", false, 2)
		d.SetMaster("A", true)
		expect("master", true, 2)
		state = down("10.0.0.1").health()
		d.Wake()
		expect("server down", true, 1)
		d.SetMaster("A", false)
		expect("backup", false, 1)
	})
}

func TestWhatSomeoneElseChangedIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dataplane.Fake{}
		d := start(t, f, noHealth)
		d.SetConfig(&config.Config{VirtualServers: []*config.VirtualServer{virtualServer(1)}})
		synctest.Wait()
		if err := f.Apply(t.Context(), nil); err != nil { // someone empties the table
			t.Fatal(err)
		}
		time.Sleep(repairEvery + time.Second)
		if held, _ := f.Services(t.Context()); len(held) != 1 {
			t.Errorf("after %s the forwarder holds %v", repairEvery, held)
		}
	})
}

// Whoever opens the gate of a service may wait until packets find it open.
func TestSettleReturnsOnceTheForwarderHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &dataplane.Fake{}
		d := New(Options{Forwarder: f, Health: func() Health { return Health{} }, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		short, stop := context.WithTimeout(ctx, time.Second)
		begin := time.Now()
		d.Settle(short) // nothing runs
		stop()
		if time.Since(begin) != time.Second {
			t.Errorf("without Run it returns after %v", time.Since(begin))
		}
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		d.SetConfig(&config.Config{})
		d.Settle(ctx)
		if f.Applied() == 0 {
			t.Error("settled, and nothing was applied")
		}
		f.FailWith(errors.New("no"))
		d.SetMaster("VI_1", true)
		d.Settle(ctx) // a failure settles too: the addresses do not wait for ever
		cancel()
		<-done
	})
}
