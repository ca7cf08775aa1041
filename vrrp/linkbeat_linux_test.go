package vrrp

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The ways to ask for a carrier, of interfaces that have one and have none.
func TestLinkbeatAsksForTheCarrier(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	ask := func(want bool, ways ...string) {
		t.Helper()
		for _, way := range ways {
			b := newLinkbeat(way)
			eventually(t, way, func() bool { got, err := b.carrier("v0"); return err == nil && got == want })
		}
	}
	all := []string{"", LinkbeatMII, LinkbeatEthtool, LinkbeatIOCTL}
	ask(true, all...)
	setUp(t, nl, "v1", false)
	ask(false, all...)
	b := newLinkbeat("")
	if _, err := b.carrier("v0"); err != nil || b.ways[0] == LinkbeatMII {
		t.Errorf("a veth has no PHY, and yet %v, %v", b.ways, err)
	}
	for _, way := range all {
		if _, err := newLinkbeat(way).carrier("none"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("%s: an interface that is not there: %v", way, err)
		}
	}
}

// An interface whose driver tells the kernel nothing is down when it is asked.
func TestLinkbeatIsHeard(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	log, _ := testLog()
	m, err := NewLinkMonitor(nl, log)
	noError(t, err)
	var mu sync.Mutex
	carrier, failure := true, error(nil)
	m.carrier = func(*linkbeat, string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return carrier, failure
	}
	runTask(t, m.Run)
	is := func(v0, v1 bool) {
		t.Helper()
		eventually(t, "the states", func() bool { return m.Get("v0").Up == v0 && m.Get("v1").Up == v1 })
	}
	set := func(c bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		carrier, failure = c, err
	}
	is(true, true)
	m.SetLinkbeat(map[string]string{"v0": LinkbeatEthtool})
	set(false, nil)
	is(false, true)
	set(true, nil)
	is(true, true)
	setUp(t, nl, "v0", false) // what the kernel says counts too, at once
	is(false, false)
	setUp(t, nl, "v0", true)
	is(true, true)
	set(false, nil)
	is(false, true)
	set(false, unix.EPERM)
	is(true, true)
	set(false, nil)
	is(false, true)
	m.SetLinkbeat(nil)
	is(true, true)
}
