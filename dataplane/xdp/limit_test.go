package xdp

import (
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// A service takes so many new connections a second, with a table of connections
// and without; what is established goes on.
func TestNewConnectionsAreLimited(t *testing.T) {
	for _, sched := range []dataplane.Scheduler{"rr", "mh"} {
		t.Run(string(sched), func(t *testing.T) {
			b := newBed(t)
			svc := web(sched, 1, 1)
			svc.NewConnections = 50
			b.apply(svc)
			held := b.send(frame{sport: 60000})
			b.want(b.send(frame{sport: 60000, flags: ack}), held)
			before, start := b.verdicts()["drop_limit"], time.Now()
			const asked = 5000
			for i := range uint16(asked) {
				b.flood(frame{sport: i + 1})
				if i%500 == 0 {
					b.want(b.send(frame{sport: 60000, flags: ack}), held)
				}
			}
			seconds := int(time.Since(start)/time.Second) + 2 // that it was in, at most
			dropped := int(b.verdicts()["drop_limit"] - before)
			if took := asked - dropped; took > 50*seconds || took < 49 {
				t.Errorf("%d new connections in at most %d seconds, want 50 in each", took, seconds)
			}
			services, err := b.e.Services(t.Context())
			if err != nil || len(services) != 1 || services[0].NewConnections != 50 {
				t.Errorf("read back %+v, %v", services, err)
			}
			svc.NewConnections = 0
			b.apply(svc)
			before = b.verdicts()["drop_limit"]
			for i := range uint16(200) {
				b.flood(frame{sport: 10000 + i})
			}
			if n := b.verdicts()["drop_limit"] - before; n > 0 {
				t.Errorf("%d dropped without a limit", n)
			}
		})
	}
}
