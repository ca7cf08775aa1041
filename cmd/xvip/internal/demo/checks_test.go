package demo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/internal/lab"
)

// holds fails the test when err does not contain want; an empty want is no
// error.
func holds(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want an error with %q", what, err, want)
	}
}

func TestOwnedBy(t *testing.T) {
	master := nodeState{"director1", true, "MASTER", true}
	backup := nodeState{"director2", true, "BACKUP", false}
	dead := nodeState{"director1", false, "", false}
	for name, c := range map[string]struct {
		all  []nodeState
		want string
	}{
		"as it should be":             {[]nodeState{master, backup}, ""},
		"no master":                   {[]nodeState{{"director1", true, "BACKUP", false}, backup}, "director1 is BACKUP"},
		"two masters":                 {[]nodeState{master, {"director2", true, "MASTER", true}}, "director2 is MASTER with the address"},
		"master without the address":  {[]nodeState{{"director1", true, "MASTER", false}, backup}, "director1 is MASTER"},
		"address left on the backup":  {[]nodeState{master, {"director2", true, "BACKUP", true}}, "director2 is BACKUP with the address"},
		"the wanted one does not run": {[]nodeState{dead, backup}, "director1 is not running"},
	} {
		holds(t, name, ownedBy(c.all, "director1"), c.want)
	}
	holds(t, "the other one is dead", ownedBy([]nodeState{dead, {"director2", true, "MASTER", true}}, "director2"), "")
	dead.hasVIP = true
	holds(t, "the dead one kept the address", ownedBy([]nodeState{dead, {"director2", true, "MASTER", true}}, "director2"), "not running with the address")
}

func TestAlternate(t *testing.T) {
	for sequence, want := range map[string]string{
		"a b a b a b": "",
		"b a b a":     "",
		"a b b a":     "answer 3 came from b out of turn",
		"a b c a":     "answer 3 came from c",
		"a b - a":     "answer 3 came from nobody",
		"a a":         "answer 2 came from a out of turn",
	} {
		s := strings.Fields(sequence)
		for i := range s {
			if s[i] == "-" {
				s[i] = ""
			}
		}
		holds(t, sequence, alternate(s, "a", "b"), want)
	}
}

func TestClientChecks(t *testing.T) {
	start := time.Unix(1000, 0)
	var r lab.Report
	for i := range 100 {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		r = append(r, lab.Sample{Sent: at, Done: at.Add(time.Millisecond), Server: "web2"})
	}
	holds(t, "all good", onlyFrom(r, "web2"), "")
	holds(t, "another server", onlyFrom(r, "web1"), "came from web2, want web1")
	holds(t, "nothing sent", onlyFrom(nil, "web1"), "sent no request")
	holds(t, "no gap", gapWithin(r, 20*time.Millisecond), "")
	holds(t, "settled", settled(r), "")
	holds(t, "never asked", settled(nil), "sent no request")
	for i := 10; i < 30; i++ {
		r[i].Server, r[i].Err = "", errors.New("refused")
	}
	holds(t, "failures", onlyFrom(r, "web2"), "20 of 100 requests failed: refused")
	holds(t, "a gap", gapWithin(r, 400*time.Millisecond), "no answer for 420 ms, want at most 400 ms")
	holds(t, "settled after failures", settled(r), "")
	r[99].Err = errors.New("reset")
	holds(t, "a failure at the end", settled(r), "1 of the last 26 requests failed: reset")
}

func pairStatus(up1, up2, sorry bool) *control.Status {
	return &control.Status{VirtualServers: []control.VirtualServer{
		{Address: "192.168.166.200", Port: 80},
		{Address: "192.168.166.100", Port: 80, SorryServerActive: sorry, Engine: "xdp", RealServers: []control.RealServer{
			{Address: "192.168.166.131", Up: up1}, {Address: "192.168.166.129", Up: up2}, {Address: "127.0.0.1", Up: sorry, Sorry: true},
		}},
	}}
}

func TestRealServersUp(t *testing.T) {
	all := []string{"192.168.166.129", "192.168.166.131"}
	holds(t, "both", realServersUp(pairStatus(true, true, false), all), "")
	holds(t, "one of two", realServersUp(pairStatus(true, false, false), all), "in rotation: 192.168.166.131")
	holds(t, "one", realServersUp(pairStatus(true, false, false), all[1:]), "")
	holds(t, "the other one", realServersUp(pairStatus(false, true, false), all[1:]), "in rotation: 192.168.166.129")
	holds(t, "none", realServersUp(pairStatus(false, false, true), nil), "")
	holds(t, "none, and no sorry server", realServersUp(pairStatus(false, false, false), nil), "sorry server active: false")
	holds(t, "sorry server too early", realServersUp(pairStatus(true, true, true), all), "sorry server active: true")
	holds(t, "no service", realServersUp(&control.Status{}, nil), "no virtual server 192.168.166.100:80")
}

func TestForwarded(t *testing.T) {
	before, after := pairStatus(true, true, false), pairStatus(true, true, false)
	before.Engine.XDP.Verdicts = map[string]uint64{"forward_tx": 60, "forward_redirect": 40}
	count := func(connections, packets uint64) error {
		after.VirtualServers[1].Connections = connections
		after.Engine.XDP.Verdicts = map[string]uint64{"forward_tx": packets - 50, "forward_redirect": 50}
		_, err := forwarded(before, after, 10)
		return err
	}
	holds(t, "forwarded", count(10, 150), "")
	holds(t, "connections missing", count(9, 150), "XDP counted 9 connections for 10 requests")
	holds(t, "packets missing", count(10, 139), "XDP forwarded 39 packets")
	after.VirtualServers[1].Engine, after.VirtualServers[1].Reason = "ipvs", "no BPF"
	holds(t, "another engine", count(10, 150), `on engine "ipvs": no BPF`)
	holds(t, "no service", func() error { _, err := forwarded(before, &control.Status{}, 1); return err }(), "no virtual server")
}

func TestSNMPValue(t *testing.T) {
	const text = "Ip: Forwarding DefaultTTL ForwDatagrams\nIp: 2 64 7\nIcmp: InMsgs\nIcmp: 3\n"
	if got, err := snmpValue(text, "Ip", "ForwDatagrams"); err != nil || got != "7" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := snmpValue(text, "Udp", "InMsgs")
	holds(t, "unknown protocol", err, "no counter InMsgs of Udp")
}
