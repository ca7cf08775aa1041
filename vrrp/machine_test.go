package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	self  = netip.MustParseAddr("10.99.0.5")
	low   = netip.MustParseAddr("10.99.0.4")
	high  = netip.MustParseAddr("10.99.0.10")
)

// bench is one virtual router under test with its clock.
type bench struct {
	t   *testing.T
	vr  *VirtualRouter
	now time.Time
}

func newBench(t *testing.T, change func(*Config)) *bench {
	cfg := Config{Name: "VI_1", VRID: 51, Family: 4, Version: 2, Priority: 100, AdvertInterval: time.Second, DownTimerAdverts: 3, Preempt: true,
		Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.100")},
		Announce:  Announcing{MasterRepeat: 5, MasterDelay: 5 * time.Second, LowerPrioRepeat: 5, LowerPrioDelay: 5 * time.Second}}
	if change != nil {
		change(&cfg)
	}
	b := &bench{t: t, vr: NewVirtualRouter(cfg), now: epoch}
	b.vr.Step(b.now, Conditions{Priority: cfg.Priority, Source: self})
	return b
}

func (b *bench) step(ev Event) string { return text(b.vr.Step(b.now, ev)) }

// wait lets time pass and timers fire as they are due; it gives what happened
// with the times since now.
func (b *bench) wait(d time.Duration) string {
	start, end := b.now, b.now.Add(d)
	var out []string
	for {
		next := b.vr.Deadline()
		if next.IsZero() || next.After(end) {
			b.now = end
			return strings.Join(out, "; ")
		}
		b.now = next
		if s := b.step(Tick{}); s != "" {
			out = append(out, fmt.Sprintf("%v: %s", b.now.Sub(start), s))
		}
	}
}

func (b *bench) hear(priority uint8, from netip.Addr) string {
	return b.step(Received{From: from, Advert: Advert{Version: b.vr.cfg.Version, VRID: 51, Priority: priority, Interval: b.vr.cfg.AdvertInterval}})
}

func (b *bench) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got  %q\nwant %q", got, want)
	}
}

func text(acts []Action) string {
	var out []string
	for _, a := range acts {
		switch a := a.(type) {
		case SendAdvert:
			out = append(out, fmt.Sprintf("advert %d", a.Priority))
		case TakeAddresses:
			out = append(out, "take")
		case ReleaseAddresses:
			out = append(out, "release")
		case AnnounceAddresses:
			out = append(out, fmt.Sprintf("announce %d", a.Rounds))
		case RoleChanged:
			out = append(out, a.To.String())
		}
	}
	return strings.Join(out, ", ")
}

const takeover = "take, advert 100, announce 5, MASTER"

func TestT01_StartsAsBackupAndSpeaksAfterTheMasterDownInterval(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.step(Startup{}), "BACKUP")
	b.want(b.wait(3609*time.Millisecond), "")
	b.want(b.wait(time.Millisecond), "375µs: "+takeover) // 3 s + 156/256 s
}

func TestT02_SilenceEndsAfterTheMasterDownInterval(t *testing.T) {
	for priority, want := range map[uint8]time.Duration{1: 3*time.Second + 255*time.Second/256, 254: 3*time.Second + 2*time.Second/256} {
		b := newBench(t, func(c *Config) { c.Priority = priority })
		b.step(Startup{})
		b.wait(500 * time.Millisecond)
		b.hear(255, high)
		if got := b.vr.Deadline().Sub(b.now); got != want {
			t.Errorf("priority %d: down after %v, want %v", priority, got, want)
		}
	}
}

func TestT02_Version3ScalesTheSkewWithTheMastersInterval(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Version, c.AdvertInterval = 3, 100*time.Millisecond })
	b.step(Startup{})
	b.step(Received{From: high, Advert: Advert{Version: 3, VRID: 51, Priority: 200, Interval: 200 * time.Millisecond}})
	if got, want := b.vr.Deadline().Sub(b.now), 600*time.Millisecond+156*200*time.Millisecond/256; got != want {
		t.Errorf("down after %v, want %v", got, want)
	}
}

func TestT03_Priority0IsFollowedAfterTheSkew(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.hear(200, high)
	b.want(b.hear(0, high), "")
	b.want(b.wait(time.Second), "609.375ms: "+takeover)
}

func TestT05_AdvertsKeepTheirSpacing(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Announce = Announcing{MasterRepeat: 1} })
	b.step(Startup{})
	b.wait(4 * time.Second)
	start := b.now
	for range 600 {
		b.wait(time.Second)
	}
	if got := b.vr.adverts.Sub(start); got <= 599*time.Second || got > 601*time.Second {
		t.Errorf("after 600 s the next advert is at %v", got)
	}
}

func TestT06_AnImmediateAdvertRestartsTheTimer(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Priority = 255 })
	b.step(Startup{})
	b.wait(400 * time.Millisecond)
	b.want(b.hear(0, high), "advert 255")
	b.want(b.wait(999*time.Millisecond), "")
	b.want(b.wait(time.Millisecond), "1ms: advert 255")
}

func TestS01_S17_ABackupIsSilentAndALowerPriorityDoesNotHoldIt(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	for range 20 {
		b.want(b.wait(time.Second), "")
		b.want(b.hear(200, high), "")
	}
	for range 3 {
		b.want(b.wait(time.Second), "")
		b.want(b.hear(50, high), "") // does not reset the timer
	}
	b.want(b.wait(time.Second), "609.375ms: "+takeover)
}

func TestS02_TheOwnerSpeaksAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Priority = 255 })
	b.want(b.step(Startup{}), "take, advert 255, announce 5, MASTER")
}

func TestS05_NopreemptLeavesALowerMasterAlone(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Preempt = false })
	b.step(Startup{})
	for range 10 {
		b.want(b.wait(time.Second), "")
		b.hear(50, high)
	}
	b.hear(0, high)
	b.want(b.wait(time.Second), "609.375ms: "+takeover)
}

func TestS06_PreemptDelayCountsFromTheFirstLowerAdvert(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PreemptDelay = 10 * time.Second })
	b.step(Startup{})
	b.hear(50, low)
	var took time.Duration
	for range 30 {
		if s := b.wait(time.Second); s != "" {
			break
		}
		took += time.Second
		b.hear(50, low)
	}
	if took < 12*time.Second || took > 13*time.Second { // the delay, then a down interval from the last one accepted
		t.Errorf("took over after %v", took)
	}
}

func TestS07_AStopGivesPriority0Once(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.step(Shutdown{}), "advert 0, release, INIT")
	b.want(b.wait(time.Minute), "")
}

func TestS08_AHigherPriorityIsObeyedAtOnce(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.hear(200, high), "release, BACKUP")
	b.want(b.wait(3*time.Second), "")
}

func TestS10_ALowerPriorityIsAnsweredAtOnce(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.hear(50, high), "advert 100, announce 5")
	b = newBench(t, func(c *Config) { c.LowerPrioNoAdvert = true })
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.hear(50, high), "announce 5")
}

func TestS11_S12_EqualPrioritiesGoByAddress(t *testing.T) {
	for from, want := range map[netip.Addr]string{high: "release, BACKUP", low: "advert 100, announce 5",
		netip.MustParseAddr("9.255.255.255"): "advert 100, announce 5"} {
		b := newBench(t, nil)
		b.step(Startup{})
		b.wait(4 * time.Second)
		b.want(b.hear(100, from), want)
	}
}

func TestS16_AnEqualPriorityHoldsABackup(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	for range 10 {
		b.want(b.wait(3*time.Second), "")
		b.hear(100, low)
	}
}

func TestS23_AChangedPriorityIsAdvertisedAtOnceWithoutAChangeOfRole(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.step(Conditions{Priority: 85, Source: self}), "advert 85")
	b.want(b.wait(time.Second), "1s: advert 85")
}

func TestAChangedPriorityMovesTheDownTimerByTheSkew(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	before := b.vr.Deadline()
	b.step(Conditions{Priority: 164, Source: self})
	if got := b.vr.Deadline().Sub(before); got != -250*time.Millisecond {
		t.Errorf("moved by %v, want -64/256 s", got)
	}
}

func TestI01_I02_AFaultReleasesAndComesBackThroughBackup(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.step(Conditions{Fault: "interface eth0 is down", Priority: 100}), "advert 0, release, FAULT")
	b.want(b.wait(time.Minute), "")
	b.want(b.step(Conditions{Priority: 100, Source: self}), "BACKUP")
	b.want(b.wait(3609*time.Millisecond), "")
	b.want(b.wait(time.Millisecond), "375µs: "+takeover)
}

func TestG03_TheSecondBurstComesAfterItsDelay(t *testing.T) {
	b := newBench(t, func(c *Config) { c.AdvertInterval = 100 * time.Second })
	b.step(Startup{})
	b.wait(301 * time.Second)
	b.want(b.wait(6*time.Second), "4.609375s: announce 5")
	b.want(b.wait(60*time.Second), "")
}

func TestALateTimerDoesNotCatchUp(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Priority = 255; c.Announce.MasterDelay = 0 })
	b.step(Startup{})
	b.now = b.now.Add(10 * time.Second)
	b.want(b.step(Tick{}), "advert 255")
	b.want(b.step(Tick{}), "")
}

// timer_expired_backup: who must not preempt and was silent for longer than the
// quickest other router waits does not go on as Master.
func TestALateMasterThatMustNotPreemptYields(t *testing.T) {
	master := func(late uint8, preempt bool) *bench {
		b := newBench(t, func(c *Config) { c.Preempt, c.LatePriority = preempt, late })
		b.step(Startup{})
		b.wait(4 * time.Second)
		if b.vr.Role() != Master {
			t.Fatalf("role %s", b.vr.Role())
		}
		return b
	}
	quickest := 3*time.Second + 2*time.Second/256 // of priority 254
	for _, c := range []struct {
		late    uint8
		preempt bool
		silent  time.Duration
		want    Role
	}{
		{254, false, quickest, Backup}, {254, false, quickest - time.Millisecond, Master}, {254, true, time.Hour, Master}, {0, false, time.Hour, Master},
		{1, false, 3990 * time.Millisecond, Master}, {1, false, 4 * time.Second, Backup},
	} {
		b := master(c.late, c.preempt)
		last := b.vr.adverts.Add(-time.Second)
		b.now = last.Add(c.silent)
		got := b.step(Tick{})
		if b.vr.Role() != c.want {
			t.Errorf("%+v: %s: %s", c, b.vr.Role(), got)
		}
		if c.want == Backup && strings.Contains(got, "send") {
			t.Errorf("%+v: it speaks: %s", c, got)
		}
	}
	b := master(254, false)
	b.now = b.now.Add(time.Minute)
	got := b.hear(50, high) // has taken over meanwhile, and is left alone
	if b.vr.Role() != Backup || b.vr.Master() != high {
		t.Errorf("%s, master %s: %s", b.vr.Role(), b.vr.Master(), got)
	}
}

// quiet is what lets an advertisement be taken by whoever reads it: nothing is
// left to be done.
func TestAQuietRouterHasNothingToDo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	quiet := 0
	for range 200 {
		b := newBench(t, func(c *Config) {
			c.Preempt, c.Priority, c.LatePriority = random.IntN(2) == 0, uint8(1+random.IntN(255)), uint8(random.IntN(255))
			c.PreemptDelay = time.Duration(random.IntN(3)) * time.Second
		})
		if random.IntN(3) == 0 {
			b.step(Inherit{})
		}
		b.step(Startup{})
		for range 50 {
			b.now = b.now.Add(time.Duration(random.IntN(4000)) * time.Millisecond)
			if random.IntN(2) == 0 {
				b.step(Tick{})
				continue
			}
			was := b.vr.quiet()
			did := b.hear(uint8(random.IntN(256)), []netip.Addr{low, high}[random.IntN(2)])
			if was {
				quiet++
			}
			if was && (did != "" || b.vr.Deadline().IsZero()) {
				t.Fatalf("quiet, and yet: %s", did)
			}
		}
	}
	if quiet < 1000 {
		t.Errorf("only %d times quiet", quiet)
	}
}
