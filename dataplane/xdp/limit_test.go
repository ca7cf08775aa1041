package xdp

import (
	"fmt"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// A service takes so many new connections a second, and as many at once, with a
// table of connections and without; what is established goes on, and another
// service does not notice.
func TestNewConnectionsAreLimited(t *testing.T) {
	for _, sched := range []dataplane.Scheduler{"rr", "mh"} {
		t.Run(string(sched), func(t *testing.T) {
			b := newBed(t)
			svc, other := web(sched, 1, 1), web(sched, 1, 1)
			other.Port = 81
			for i := range other.RealServers {
				other.RealServers[i].Port = 81
			}
			svc.NewConnections = 50
			b.apply(svc, other)
			start := time.Now()
			held := b.send(frame{sport: 60000})
			b.want(b.send(frame{sport: 60000, flags: ack}), held)
			asked, dropped := 1, uint64(0)
			flood := func(n int) (taken int) {
				t.Helper()
				before := b.verdicts()["drop_limit"]
				for range n {
					b.flood(frame{sport: uint16(asked)})
					if asked++; asked%500 == 0 {
						b.want(b.send(frame{sport: 60000, flags: ack}), held)
					}
				}
				d := b.verdicts()["drop_limit"] - before
				dropped += d
				return n - int(d)
			}
			taken := 1 + flood(5000)
			most := func() int { return 50 + int(50*time.Since(start).Seconds()) + 1 }
			if taken < 50 || taken > most() {
				t.Errorf("%d new connections at first, want 50 to %d", taken, most())
			}
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
			more := flood(2000)
			if taken += more; more < 14 || taken > most() {
				t.Errorf("%d after a third of a second, %d in all, want 14 and at most %d", more, taken, most())
			}
			for i := range uint16(200) {
				b.flood(frame{sport: 10000 + i, dport: 81})
			}
			st, err := b.e.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if a, o := st.Services[svc.Key].Refused, st.Services[other.Key].Refused; a != dropped || o != 0 {
				t.Errorf("%d counted of %d that were refused; %d of the other service", a, dropped, o)
			}
			services, err := b.e.Services(t.Context())
			if err != nil || len(services) != 2 || services[0].NewConnections+services[1].NewConnections != 50 {
				t.Errorf("read back %+v, %v", services, err)
			}
			svc.NewConnections = 0
			b.apply(svc, other)
			if taken := flood(200); taken != 200 {
				t.Errorf("%d of 200 without a limit", taken)
			}
		})
	}
}

// A flood of SYNs neither evicts established flows nor starves them, with a limit
// and without.
func TestAFloodStarvesNobody(t *testing.T) {
	for _, limit := range []uint32{0, 100} {
		b := newSmallBed(t, 1024)
		svc := web("rr", 1, 1)
		b.apply(svc)
		const flows = 100
		held := map[uint16]string{}
		for i := range uint16(flows) {
			held[i] = b.send(frame{sport: 40000 + i})
			b.want(b.send(frame{sport: 40000 + i, flags: ack}), held[i])
		}
		svc.NewConnections = limit
		b.apply(svc)
		for i := range 20000 {
			b.flood(frame{src: fmt.Sprintf("203.0.113.%d", 1+i>>8), sport: uint16(1 + i)})
			if i%20 == 0 {
				flow := uint16(i/20) % flows
				b.want(b.send(frame{sport: 40000 + flow, flags: ack}), held[flow])
			}
		}
		if n := b.verdicts()["pass_no_connection"]; n > 0 {
			t.Errorf("limit %d: %d packets of established flows were not known", limit, n)
		}
	}
}
