package vrrp

import (
	"slices"
	"testing"
	"time"
)

func testGroup() *syncGroup {
	log, _ := testLog()
	g := newSyncGroup(GroupSpec{Name: "VG", Members: []string{"a", "b", "c"}}, nil, log)
	for _, m := range g.spec.Members {
		g.changed(m, RoleChanged{From: Initialize, To: Backup})
	}
	return g
}

func TestS20_AllMembersFollowOneAndNobodyTwice(t *testing.T) {
	g := testGroup()
	if g.role != Backup {
		t.Fatalf("the group is %v", g.role)
	}
	follow, to := g.changed("a", RoleChanged{From: Backup, To: Master})
	if !slices.Equal(follow, []string{"b", "c"}) || to.Role != Master || g.role != Backup {
		t.Errorf("%v are to become %v, the group is %v", follow, to.Role, g.role)
	}
	if follow, _ = g.changed("b", RoleChanged{From: Backup, To: Master}); !slices.Equal(follow, []string{"c"}) {
		t.Errorf("%v are to follow, want only who has not", follow)
	}
	if follow, _ = g.changed("c", RoleChanged{From: Backup, To: Master}); len(follow) > 0 || g.role != Master {
		t.Errorf("%v are to follow the last one, the group is %v", follow, g.role)
	}
	follow, to = g.changed("b", RoleChanged{From: Master, To: Backup})
	if !slices.Equal(follow, []string{"a", "c"}) || to.Role != Backup {
		t.Errorf("%v are to become %v", follow, to.Role)
	}
}

func TestS20_AFaultOfOneIsOneOfAll(t *testing.T) {
	g := testGroup()
	if !g.setFault("b", "interface eth1 is down") || g.setFault("b", "interface eth1 is down") {
		t.Error("a fault is news once")
	}
	if got := g.faultOf("a"); got != "member b of group VG: interface eth1 is down" {
		t.Errorf("fault of a: %q", got)
	}
	if got := g.faultOf("b"); got != "" {
		t.Errorf("a member is told its own fault as that of another: %q", got)
	}
	g.changed("a", RoleChanged{From: Backup, To: Fault})
	if g.role != Fault {
		t.Errorf("the group is %v", g.role)
	}
	g.setFault("b", "")
	if got := g.faultOf("a"); got != "" {
		t.Errorf("a fault stays: %q", got)
	}
}

func TestS20_AMemberJoinsWithoutPriority0(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.want(b.step(Join{Role: Master}), takeover)
	b.want(b.step(Join{Role: Master}), "")
	b.want(b.step(Join{Role: Backup}), "release, BACKUP")
	b.want(b.step(Join{Role: Backup}), "")
	b.step(Conditions{Fault: "x", Priority: 100})
	b.want(b.step(Join{Role: Master}), "")
}

func TestT10_S24_ALateBackupListensOnceMore(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.now = b.vr.Deadline().Add(10 * b.vr.interval)
	b.want(b.step(Tick{}), "")
	b.want(b.wait(5*b.vr.interval), "1.609375s: "+takeover+"; 2.609375s: advert 100; 3.609375s: advert 100; 4.609375s: advert 100")
	b = newBench(t, nil)
	b.step(Startup{})
	b.now = b.vr.Deadline().Add(10 * b.vr.interval)
	b.step(Tick{})
	b.hear(200, high)
	b.want(b.wait(3*b.vr.interval), "")
}

func TestS06_PreemptDelayStartsAnewForTheNextLowerMaster(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PreemptDelay = 10 * b0 })
	b.step(Startup{})
	b.hear(50, low)
	b.wait(20 * b0) // silence: Master
	b.hear(200, high)
	b.hear(50, low)
	for range 8 {
		b.want(b.wait(b0), "")
		b.hear(50, low)
	}
}

func TestS15_TwoOwnersGoByAddress(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Priority = 255 })
	b.step(Startup{})
	b.want(b.hear(254, high), "advert 255, announce 5") // S14
	b.want(b.hear(255, low), "advert 255, announce 5")
	b.want(b.hear(255, high), "release, BACKUP")
	b = newBench(t, func(c *Config) { c.Priority, c.OwnerIgnoreAdverts = 255, true })
	b.step(Startup{})
	b.want(b.hear(255, high), "")
}

func TestT12_AChangedIntervalIsToldAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Version = 3 })
	b.step(Startup{})
	b.wait(4 * b0)
	c := b.vr.cfg
	c.AdvertInterval = 5 * b0
	b.want(b.step(Reconfigure{c}), "advert 100")
	b.want(b.wait(4*b0), "")
	b.want(b.wait(b0), "609.375ms: announce 5; 1s: advert 100")
}

const b0 = time.Second // one interval of the bench
