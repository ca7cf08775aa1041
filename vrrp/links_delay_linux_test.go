package vrrp

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// The link changes and the states that are told, with their times.
func TestLinkDelays(t *testing.T) {
	type event struct {
		at int // seconds
		up bool
	}
	tests := []struct {
		name   string
		delays LinkDelays
		link   []event // the first one is the start
		told   []event
	}{
		{"none", LinkDelays{}, []event{{0, true}, {1, false}, {2, true}}, []event{{0, true}, {1, false}, {2, true}}},
		{"down", LinkDelays{Down: 3 * time.Second}, []event{{0, true}, {1, false}, {10, true}}, []event{{0, true}, {4, false}, {10, true}}},
		{"up", LinkDelays{Up: 3 * time.Second}, []event{{0, true}, {1, false}, {10, true}}, []event{{0, true}, {1, false}, {13, true}}},
		{"short", LinkDelays{Down: 3 * time.Second}, []event{{0, true}, {1, false}, {3, true}, {5, false}, {7, true}}, []event{{0, true}}},
		{"short, then long", LinkDelays{Down: 3 * time.Second}, []event{{0, true}, {1, false}, {2, true}, {3, false}}, []event{{0, true}, {6, false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newBareMonitor()
				epoch := time.Now()
				set := func(up bool) {
					m.mu.Lock()
					defer m.mu.Unlock()
					m.publish(m.table.setLink(LinkState{Name: "eth0", Index: 2, Up: up}))
				}
				set(tt.link[0].up)
				m.SetDelays(map[string]LinkDelays{"eth0": tt.delays})
				var told []event
				defer m.Watch("eth0", func(s LinkState) { told = append(told, event{int(time.Since(epoch).Seconds()), s.Up}) })()
				for _, e := range tt.link[1:] {
					<-time.After(time.Until(epoch.Add(time.Duration(e.at) * time.Second)))
					set(e.up)
					now := m.Get("eth0").Up
					m.mu.Lock()
					if last := told[len(told)-1]; last.up != now {
						t.Errorf("Get says %v and Watch %v", now, last.up)
					}
					m.mu.Unlock()
				}
				<-time.After(time.Minute)
				m.mu.Lock()
				defer m.mu.Unlock()
				if !slices.Equal(told, tt.told) {
					t.Errorf("told %v, want %v", told, tt.told)
				}
			})
		})
	}
}

// newBareMonitor is a monitor without a kernel.
func newBareMonitor() *LinkMonitor {
	return &LinkMonitor{table: newLinkTable(), last: map[string]LinkState{}, watchers: map[int]linkWatcher{}}
}

// A deleted interface is down at once, and a delay that is taken away by a
// reload ends the wait.
func TestLinkDelaysDeletedAndReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newBareMonitor()
		m.publish(m.table.setLink(LinkState{Name: "eth0", Index: 2, Up: true}))
		m.SetDelays(map[string]LinkDelays{"eth0": {Down: time.Hour}})
		down := func(is bool, when string) {
			t.Helper()
			if m.Get("eth0").Up == is {
				t.Errorf("%s: up is %v", when, !is)
			}
		}
		m.publish(m.table.setLink(LinkState{Name: "eth0", Index: 2, Up: false}))
		down(false, "link down")
		m.publish(m.table.deleteLink(2))
		down(true, "deleted")
		m.publish(m.table.setLink(LinkState{Name: "eth0", Index: 3, Up: true}))
		down(false, "made anew")
		m.publish(m.table.setLink(LinkState{Name: "eth0", Index: 3, Up: false}))
		down(false, "link down")
		m.SetDelays(nil)
		down(true, "without delays")
	})
}
