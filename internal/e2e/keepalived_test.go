package e2e

import (
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// masterDown is how long the backup of the examples (priority 90, advert_int 1)
// listens before it takes over; startUp is for a daemon that starts on a busy
// machine.
const (
	masterDown = 3*time.Second + (256-90)*time.Second/256
	startUp    = 10 * time.Second
	slack      = 2 * time.Second
)

// TestElectionWithKeepalived has the example pair with Debian's keepalived on
// one side, both ways round: election, clean stop, return, and death.
func TestElectionWithKeepalived(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		first, second string // who runs lvs-dr-master.conf, who lvs-dr-backup.conf
	}{
		{"xvip is master", "xvip", "keepalived"},
		{"keepalived is master", "keepalived", "xvip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			electionOf(t, c.first, c.second)
		})
	}
}

func electionOf(t *testing.T, first, second string) {
	const vip = "192.168.166.100"
	l := labtest.New(t, "peers")
	make := func(kind, name, addr, file string) *node {
		h := labtest.Host(t, l, name, addr)
		if kind == "keepalived" {
			return keepalivedNode(t, h, example(t, file))
		}
		n := xvipNode(t, h, "", example(t, file))
		n.argv = append(n.argv, "-P")
		return n
	}
	a := make(first, "director1", "192.168.166.130/24", "lvs-dr-master.conf")
	b := make(second, "director2", "192.168.166.132/24", "lvs-dr-backup.conf")
	a.start()
	b.start()
	waitOwner(t, masterDown+startUp, vip, a, a, b)

	a.stop()
	if took := waitOwner(t, 5*time.Second, vip, b, a, b); took > time.Second+slack/2 { // the demo, alone on the machine, wants a second
		t.Errorf("a clean stop handed over in %v, want about the skew of 650 ms", took)
	}
	a.start()
	waitOwner(t, masterDown+startUp, vip, a, a, b)

	if err := a.host.Isolate(); err != nil {
		t.Fatal(err)
	}
	both := func() error { return owns(vip, b, b) }
	if took := labtest.Eventually(t, masterDown+2*slack, "takeover of the silent master", both); took > masterDown+slack {
		t.Errorf("takeover after %v, want at most %v", took, masterDown)
	}
	// Both have been master; the lower priority yields.
	if err := a.host.Join(); err != nil {
		t.Fatal(err)
	}
	waitOwner(t, masterDown+slack, vip, a, a, b)
	for _, n := range []*node{a, b} {
		if !n.proc.Running() {
			t.Errorf("the daemon of %s has ended: %v", n.host.Name(), n.proc.Err())
		}
		n.stop()
	}
	for _, n := range []*node{a, b} {
		if err := owns(vip, nil, n); err != nil {
			t.Errorf("after all stopped: %v", err)
		}
	}
}
