package xdp

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// connections gives the table by the client's port.
func (b *bed) connections() map[uint16]Connection {
	b.t.Helper()
	out := map[uint16]Connection{}
	err := b.e.Connections(context.Background(), func(c Connection) bool {
		if _, twice := out[c.Client.Port()]; twice {
			b.t.Errorf("%+v is given twice", c)
		}
		out[c.Client.Port()] = c
		return true
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func TestConnectionsSayWhoIsWhereInWhatState(t *testing.T) {
	b := newBed(t)
	svc := web("rr", 1, 1)
	b.apply(svc)
	flows := []struct {
		then   []byte // flags of the packets after the SYN
		state  string
		active bool
	}{
		{nil, "new", true},
		{[]byte{ack}, "established", true},
		{[]byte{ack, ack | fin}, "closing", false},
		{[]byte{ack, rst}, "closed", false},
	}
	for i, f := range flows {
		b.send(frame{src: "203.0.113.7", sport: uint16(i + 1)})
		for _, flags := range f.then {
			b.send(frame{src: "203.0.113.7", sport: uint16(i + 1), flags: flags})
		}
	}
	got := b.connections()
	for i, f := range flows {
		port := uint16(i + 1)
		c := got[port]
		if c.Idle < 0 || c.Idle > time.Minute {
			t.Errorf("connection %d idles %s", port, c.Idle)
		}
		c.Idle = 0
		want := Connection{Client: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), port), Service: svc.Key, Port: 80,
			Real: svc.RealServers[i%2].Key(), State: f.state, Active: f.active}
		if c != want {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
	if len(got) != len(flows) {
		t.Errorf("%d connections, want %d", len(got), len(flows))
	}
	svc.RealServers = svc.RealServers[:1]
	b.apply(svc)
	if got := b.connections(); len(got) != 2 || got[1].State == "" || got[3].State == "" {
		t.Errorf("with the second server gone there are %v", got)
	}
}

func TestConnectionsAgreeWithTheCounts(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1, 1, 1))
	for i := range uint16(900) {
		b.flood(frame{sport: i + 1})
		if i%3 != 0 {
			b.flood(frame{sport: i + 1, flags: ack | fin})
		}
	}
	st, err := b.e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	type counts struct{ active, inactive uint64 }
	table := map[dataplane.RealKey]counts{}
	for _, c := range b.connections() {
		n := table[c.Real]
		if c.Active {
			n.active++
		} else {
			n.inactive++
		}
		table[c.Real] = n
	}
	for key, r := range st.Services[web("rr").Key].RealServers {
		if got := table[key]; got != (counts{r.Active, r.Inactive}) || r.Active+r.Inactive == 0 {
			t.Errorf("%v: the table has %+v, the counts are %d active, %d inactive", key, got, r.Active, r.Inactive)
		}
	}
}

func TestConnectionsEndWhenTold(t *testing.T) {
	b := newBed(t)
	b.apply(web("rr", 1))
	for i := range uint16(20) {
		b.send(frame{sport: i + 1})
	}
	n := 0
	if err := b.e.Connections(context.Background(), func(Connection) bool { n++; return n < 5 }); err != nil || n != 5 {
		t.Errorf("%d connections, %v; want 5 and no error", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.e.Connections(ctx, func(Connection) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}
