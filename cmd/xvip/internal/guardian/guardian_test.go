package guardian

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/vrrp"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func wanted(text string) (vrrp.Wanted, error) {
	if text == "bad" {
		return vrrp.Wanted{}, errors.New("bad")
	}
	var w vrrp.Wanted
	for name := range strings.FieldsSeq(text) {
		w.Routers = append(w.Routers, vrrp.RouterSpec{Config: vrrp.Config{Name: name, Priority: 100}})
	}
	return w, nil
}

// The last whole message counts, and only a farewell is one.
func TestWhatTheDaemonTells(t *testing.T) {
	for _, c := range []struct {
		name, told string
		bye        bool
		masters    map[string]uint8
		kept       int // routers that are kept, with the right priority
	}{
		{"nothing", "", false, nil, 0},
		{"a backup", `{"config":"A B","masters":{}}`, false, map[string]uint8{}, 0},
		{"a master", `{"config":"A B","masters":{}}{"masters":{"B":90}}`, false, map[string]uint8{"B": 90}, 1},
		{"half a message", `{"config":"A B","masters":{"A":90}}{"masters":{"A`, false, map[string]uint8{"A": 90}, 1},
		{"a reload", `{"config":"A B","masters":{"A":90}}{"config":"C","masters":{"C":90}}`, false, map[string]uint8{"C": 90}, 1},
		{"no configuration", `{"config":"bad","masters":{"A":90}}`, false, map[string]uint8{"A": 90}, 0},
		{"a farewell", `{"config":"A","masters":{"A":90}}{"masters":{},"bye":true}`, true, map[string]uint8{"A": 90}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &guardian{log: quiet()}
			if bye := g.follow(strings.NewReader(c.told), wanted); bye != c.bye || !maps.Equal(g.masters, c.masters) {
				t.Errorf("farewell %v, masters %v, want %v, %v", bye, g.masters, c.bye, c.masters)
			}
			g.keepOnly(g.now())
			if len(g.wanted.Routers) != c.kept || c.kept > 0 && g.wanted.Routers[0].Config.Priority != 90 {
				t.Errorf("kept %+v, want %d with priority 90", g.wanted.Routers, c.kept)
			}
		})
	}
}

// The guardian is idle when its last router is no longer Master.
func TestIdle(t *testing.T) {
	g := &guardian{log: quiet(), masters: map[string]uint8{"A": 1, "B": 2}, idle: make(chan struct{})}
	g.roleChanged("A", vrrp.Master)
	g.roleChanged("A", vrrp.Backup)
	select {
	case <-g.idle:
		t.Fatal("idle with a Master")
	default:
	}
	g.roleChanged("B", vrrp.Fault)
	g.roleChanged("B", vrrp.Initialize)
	<-g.idle
}

// Without a guardian, or with one that leaves instead of answering, nothing is
// taken over and nothing is wrong.
func TestClaimOfNobody(t *testing.T) {
	dir := t.TempDir()
	claim := func(when string) {
		t.Helper()
		if m, err := Claim(t.Context(), dir, []string{"A"}); err != nil || len(m) > 0 {
			t.Errorf("%s: %v, %v, want nothing", when, m, err)
		}
	}
	claim("no socket")
	l, err := net.Listen("unix", socketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	claim("one that leaves")
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(socketPath(dir)); err != nil {
		t.Fatal(err)
	}
	claim("a dead one")
}
