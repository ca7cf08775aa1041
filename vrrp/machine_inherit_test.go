package vrrp

import (
	"slices"
	"testing"
	"time"
)

func inheriting(t *testing.T) *VirtualRouter {
	t.Helper()
	v := NewVirtualRouter(Config{VRID: 51, Family: 4, Version: 2, Priority: 100, AdvertInterval: time.Second, DownTimerAdverts: 3, Preempt: true})
	v.Step(epoch, Conditions{Priority: 100, Source: self})
	if acts := v.Step(epoch, Inherit{}); !slices.Contains(acts, Action(KeepAddresses{})) {
		t.Fatalf("actions %v, want KeepAddresses", acts)
	}
	if acts := v.Step(epoch, Startup{}); releases(acts) || v.Role() != Backup {
		t.Fatalf("actions %v as %v, want none that releases, as Backup", acts, v.Role())
	}
	return v
}

func releases(acts []Action) bool { return slices.Contains(acts, Action(ReleaseAddresses{})) }

// Addresses of an earlier life stay through the wait of a lone router and go
// once, with whatever shows that they are not ours.
func TestAddressesOfAnEarlierLifeWaitForAMaster(t *testing.T) {
	for _, c := range []struct {
		name string
		ev   Event
		want bool
	}{
		{"a higher master", Received{From: high, Advert: Advert{Priority: 150, Interval: time.Second}}, true},
		{"a lower master", Received{From: low, Advert: Advert{Priority: 50, Interval: time.Second}}, true},
		{"a master that leaves", Received{From: high, Advert: Advert{Priority: 0, Interval: time.Second}}, false},
		{"a fault", Conditions{Fault: "link", Priority: 100, Source: self}, true},
		{"a stop", Shutdown{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := inheriting(t)
			if acts := v.Step(epoch.Add(time.Second), c.ev); releases(acts) != c.want {
				t.Errorf("actions %v, want a release: %v", acts, c.want)
			}
			if acts := v.Step(epoch.Add(time.Second), c.ev); releases(acts) {
				t.Errorf("the second time: actions %v", acts)
			}
		})
	}
	v := inheriting(t)
	if acts := v.Step(v.Deadline(), Tick{}); releases(acts) || v.Role() != Master {
		t.Errorf("after silence: actions %v as %v, want Master without a release", acts, v.Role())
	}
}

// A router that was Master until now in another process goes on at once; with a
// fault it gives its addresses up.
func TestAMasterResumes(t *testing.T) {
	start := func(c Conditions) (*VirtualRouter, []Action) {
		v := NewVirtualRouter(Config{VRID: 51, Family: 4, Version: 2, Priority: 100, AdvertInterval: time.Second, DownTimerAdverts: 3, Preempt: true})
		v.Step(epoch, c)
		return v, v.Step(epoch, Startup{Resume: true})
	}
	v, acts := start(Conditions{Priority: 90, Source: self})
	if v.Role() != Master || releases(acts) || !slices.Contains(acts, Action(SendAdvert{90})) {
		t.Errorf("%v with %v, want Master that speaks", v.Role(), acts)
	}
	v, acts = start(Conditions{Priority: 90, Source: self, Fault: "link"})
	if v.Role() != Fault || !releases(acts) || slices.Contains(acts, Action(SendAdvert{90})) {
		t.Errorf("%v with %v, want Fault without addresses", v.Role(), acts)
	}
}
