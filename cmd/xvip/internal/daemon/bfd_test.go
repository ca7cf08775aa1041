package daemon

import (
	"reflect"
	"testing"
	"testing/fstest"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp/bfd"
)

func sessionsOf(t *testing.T, text string) []bfd.Config {
	t.Helper()
	cfg, ds := config.Parse(fstest.MapFS{"x.conf": {Data: []byte(text)}}, "/x.conf", config.Options{})
	if cfg == nil {
		t.Fatal(ds)
	}
	return wantedSessions(cfg)
}

// What the configuration says about sessions reaches the BFD room.
func TestSessionsReadTheirKeywords(t *testing.T) {
	const head = "bfd_instance B {\nneighbor_ip 10.0.0.9\n"
	plain := sessionsOf(t, head+"}\n")
	for _, line := range []string{"neighbour_ip 10.0.0.8", "source_ip 10.0.0.1", "min_rx 20", "min_tx 20", "idle_tx 2000", "multiplier 3", "passive", "ttl 200",
		"max_hops 3", "max_hops -1", "multihop"} {
		if reflect.DeepEqual(plain, sessionsOf(t, head+line+"\n}\n")) {
			t.Errorf("%s does not reach the sessions", line)
		}
	}
	const head6 = "bfd_instance B {\nneighbor_ip 2001:db8::9\n"
	if reflect.DeepEqual(sessionsOf(t, head6+"}\n"), sessionsOf(t, head6+"hoplimit 70\n}\n")) {
		t.Error("hoplimit does not reach the sessions")
	}
	if got := sessionsOf(t, "bfd_instance B {\nmin_rx 20\n}\n"); len(got) != 0 {
		t.Errorf("without a neighbor: %+v", got)
	}
}

// RFC 5881 section 5, with what keepalived sends over IPv6, and max_hops.
func TestTTLOfSessions(t *testing.T) {
	for _, c := range []struct {
		text       string
		ttl, least uint8
	}{
		{"neighbor_ip 10.0.0.9\n", 255, 255}, {"neighbor_ip 10.0.0.9\nttl 64\n", 64, 64}, {"neighbor_ip 10.0.0.9\nmax_hops 2\n", 255, 253},
		{"neighbor_ip 10.0.0.9\nmax_hops 255\n", 255, 0}, {"neighbor_ip 10.0.0.9\nmax_hops -1\n", 255, 0},
		{"neighbor_ip 10.0.0.9\nttl 3\nmax_hops 9\n", 3, 0}, {"neighbor_ip 10.0.0.9\nmultihop\n", 255, 0},
		{"neighbor_ip 10.0.0.9\nmultihop\nmax_hops 5\n", 255, 250},
		{"neighbor_ip 2001:db8::9\n", 255, 64}, {"neighbor_ip 2001:db8::9\nhoplimit 255\n", 255, 255},
	} {
		s := sessionsOf(t, "bfd_instance B {\n"+c.text+"}\n")[0]
		if s.TTL != c.ttl || s.MinTTL != c.least {
			t.Errorf("%q: %d, at least %d; want %d, %d", c.text, s.TTL, s.MinTTL, c.ttl, c.least)
		}
	}
}
