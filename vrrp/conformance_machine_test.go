package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func TestT04_TheIntervalOfTheMasterIsLearnedAndForgotten(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Version, c.AdvertInterval, c.Announce = 3, 100*time.Millisecond, Announcing{} })
	b.step(Startup{})
	b.step(Received{From: high, Advert: Advert{Version: 3, VRID: 51, Priority: 200, Interval: time.Second}})
	b.want(b.wait(3*time.Second), "")
	b.want(b.wait(610*time.Millisecond), "609.375ms: take, advert 100, announce 0, MASTER")
	b.want(b.wait(200*time.Millisecond), "99.375ms: advert 100; 199.375ms: advert 100") // our own interval
}

func TestT07_TheSkewOfTheLowestAndTheHighestPriority(t *testing.T) {
	for _, row := range []struct {
		version, priority uint8
		want              time.Duration
	}{
		{2, 1, 255 * time.Second / 256}, {2, 254, 2 * time.Second / 256}, {2, 255, time.Second / 256},
		{3, 1, 255 * 100 * time.Millisecond / 256}, {3, 254, 2 * 100 * time.Millisecond / 256}, {3, 255, 100 * time.Millisecond / 256},
	} {
		b := newBench(t, func(c *Config) {
			c.Version, c.Priority = row.version, row.priority
			if c.Version == 3 {
				c.AdvertInterval = 100 * time.Millisecond
			}
		})
		b.step(Startup{})
		if got := b.vr.skew(row.priority); got != row.want {
			t.Errorf("version %d, priority %d: %v, want %v", row.version, row.priority, got, row.want)
		}
	}
}

func TestT09_DownTimerAdvertsChangesTheThree(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 7: 7 * time.Second} {
		b := newBench(t, func(c *Config) { c.DownTimerAdverts = n })
		b.step(Startup{})
		b.hear(200, high)
		if got := b.vr.Deadline().Sub(b.now); got != want+156*time.Second/256 {
			t.Errorf("%d adverts: down after %v", n, got)
		}
	}
}

func TestF07_PrioritiesOnTheWire(t *testing.T) {
	for base, want := range map[uint8]uint8{1: 1, 100: 100, 254: 254, 255: 255} {
		b := newBench(t, func(c *Config) { c.Priority = base })
		b.step(Startup{})
		b.wait(5 * time.Second)
		for _, delta := range []int{0, 300, -300} {
			p := EffectivePriority(base, delta)
			b.vr.Step(b.now, Conditions{Priority: p, Source: self})
			for _, a := range b.vr.advertise(b.now) {
				got := a.(SendAdvert).Priority
				if (got == 255) != (base == 255) || got == 0 || delta == 0 && got != want {
					t.Errorf("priority %d%+d is sent as %d", base, delta, got)
				}
			}
		}
		b.want(b.step(Shutdown{}), "advert 0, release, INIT") // 0 only here
	}
}

func TestS04_ALowerMasterIsPreemptedAfterTheDownInterval(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	took := ""
	for range 8 {
		b.hear(50, high)
		if took = b.wait(500 * time.Millisecond); took != "" {
			break
		}
	}
	if got := b.now.Sub(epoch); took != "109.375ms: "+takeover || got != 4*time.Second {
		t.Errorf("%q within the half second before %v", took, got)
	}
}

func TestS09_AMasterAnswersPriority0AtOnce(t *testing.T) {
	b := newBench(t, nil)
	b.step(Startup{})
	b.wait(4 * time.Second)
	b.want(b.hear(0, high), "advert 100")
	b.want(b.wait(time.Second), "1s: advert 100")
}

func TestS12_V07_AddressesCompareAsUnsignedNumbers(t *testing.T) {
	for _, row := range []struct {
		own, from string
		yields    bool
	}{
		{"10.0.0.1", "9.255.255.255", false},
		{"9.255.255.255", "10.0.0.1", true},
		{"10.0.0.1", "192.0.2.1", true}, // a high bit is not a sign
		{"200.0.0.1", "100.0.0.1", false},
		{"fe80::1", "fe80::8000:0:0:1", true},
		{"fe80::8000:0:0:1", "fe80::7fff:ffff:ffff:ffff", false},
		{"fe80::1:0", "fe80::ffff", false},
		{"10.0.0.1", "10.0.0.1", false},
	} {
		own, from := netip.MustParseAddr(row.own), netip.MustParseAddr(row.from)
		b := newBench(t, nil)
		b.vr.Step(b.now, Conditions{Priority: 100, Source: own})
		b.step(Startup{})
		b.wait(4 * time.Second)
		b.hear(100, from)
		if got := b.vr.Role() == Backup; got != row.yields {
			t.Errorf("%s hears %s of equal priority: yields %v", own, from, got)
		}
	}
}

// Two masters meet when a link heals: the next advertisement of the better one
// ends it, and the winner tells the link again where the addresses are.
func TestS18_G09_AfterASplitTheWinnerAnnouncesAgain(t *testing.T) {
	winner, loser := newBench(t, func(c *Config) { c.Priority = 150 }), newBench(t, nil)
	for _, b := range []*bench{winner, loser} {
		b.step(Startup{})
		b.wait(20 * time.Second) // each a master, all bursts done
	}
	winner.want(winner.hear(100, low), "advert 150, announce 5")
	loser.want(loser.hear(150, high), "release, BACKUP")
	winner.want(winner.wait(5*time.Second),
		"1s: advert 150; 2s: advert 150; 3s: advert 150; 4s: advert 150; 5s: advert 150, announce 5")
}

func TestS03_EveryoneButTheOwnerListensFirst(t *testing.T) {
	for priority := 1; priority <= 254; priority++ {
		b := newBench(t, func(c *Config) { c.Priority = uint8(priority) })
		b.want(b.step(Startup{}), "BACKUP")
		b.want(b.wait(3*time.Second), "")
	}
}

// Nothing in between may move the mastership when a router that follows a
// lower interval reconfigures.
func TestT12_ABackupDoesNotTakeALongerIntervalForSilence(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Version, c.AdvertInterval = 3, 100*time.Millisecond })
	b.step(Startup{})
	b.hear(200, high)
	b.step(Received{From: high, Advert: Advert{Version: 3, VRID: 51, Priority: 200, Interval: time.Second}})
	for range 5 {
		b.want(b.wait(time.Second), "")
		b.step(Received{From: high, Advert: Advert{Version: 3, VRID: 51, Priority: 200, Interval: time.Second}})
	}
}

func TestG03_RefreshAndLowerPriorityBursts(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.AdvertInterval = 100 * time.Second
		c.Announce = Announcing{MasterRepeat: 1, Refresh: 10 * time.Second, RefreshRepeat: 2, LowerPrioRepeat: 3, LowerPrioDelay: 4 * time.Second}
	})
	b.step(Startup{})
	b.wait(301 * time.Second)
	b.want(b.wait(20*time.Second), "9.609375s: announce 2; 19.609375s: announce 2")
	b.want(b.hear(50, low), "advert 100, announce 3")
	b.want(b.wait(5*time.Second), "4s: announce 3")
}
