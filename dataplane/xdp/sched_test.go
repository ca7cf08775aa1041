package xdp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// model is what IPVS knows of a real server when it schedules.
type model struct{ weight, active, inactive uint64 }

// cheaper compares two servers as IPVS does, by products instead of quotients.
func cheaper(cost func(model) uint64, a, b model) bool { return cost(b)*a.weight > cost(a)*b.weight }

func busy(m model) uint64 { return m.active<<8 + m.inactive }
func wait(m model) uint64 { return m.active + 1 }

// models are the schedulers of net/netfilter/ipvs that compare servers: the place
// of the one that is taken.
var models = map[dataplane.Scheduler]func([]model) int{
	"lc": func(ms []model) int {
		return pickBy(ms, func(a, b model) bool { return busy(a) < busy(b) })
	},
	"wlc": func(ms []model) int {
		return pickBy(ms, func(a, b model) bool { return cheaper(busy, a, b) })
	},
	"sed": func(ms []model) int {
		return pickBy(ms, func(a, b model) bool { return cheaper(wait, a, b) })
	},
	"nq": func(ms []model) int {
		for i, m := range ms {
			if m.weight > 0 && m.active == 0 {
				return i
			}
		}
		return pickBy(ms, func(a, b model) bool { return cheaper(wait, a, b) })
	},
	"ovf": func(ms []model) int {
		best := nobody
		for i, m := range ms {
			if m.weight > 0 && m.active <= m.weight && (best == nobody || m.weight > ms[best].weight) {
				best = i
			}
		}
		return best
	},
	"fo": func(ms []model) int {
		return pickBy(ms, func(a, b model) bool { return a.weight > b.weight })
	},
}

func pickBy(ms []model, better func(a, b model) bool) int {
	best := nobody
	for i, m := range ms {
		if m.weight > 0 && (best == nobody || better(m, ms[best])) {
			best = i
		}
	}
	return best
}

// Connections open, get established and end at random; each new one must go
// where IPVS would send it with those counts.
func TestComparingSchedulersFollowTheModel(t *testing.T) {
	for sched, pick := range models {
		t.Run(string(sched), func(t *testing.T) {
			b := matrixBed(t)
			weights := []uint32{3, 1, 0, 7, 3, 100}
			b.apply(web(sched, weights...))
			ms := make([]model, len(weights))
			for i, w := range weights {
				ms[i].weight = uint64(w)
			}
			r := rand.New(rand.NewPCG(1, 2))
			flows := map[uint16]int{} // to the place of the server
			for sport := uint16(1); sport <= 400; sport++ {
				want := pick(ms)
				got := b.send(frame{sport: sport})
				if want == nobody {
					b.want(got, "pass_no_server")
					continue
				}
				b.want(got, fmt.Sprintf("forward_tx %d", want+1))
				ms[want].active++
				flows[sport] = want
				if r.IntN(3) == 0 { // another one ends
					for other, at := range flows {
						b.send(frame{sport: other, flags: ack | fin})
						ms[at].active--
						ms[at].inactive++
						delete(flows, other)
						break
					}
				}
			}
			checkLoads(t, b, ms)
		})
	}
}

func checkLoads(t *testing.T, b *bed, ms []model) {
	t.Helper()
	st, err := b.e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, svc := range st.Services {
		for k, r := range svc.RealServers {
			m := ms[k.Address.As4()[3]-1]
			if r.Active != m.active || r.Inactive != m.inactive {
				t.Errorf("%s has %d active and %d inactive, the model %d and %d", k, r.Active, r.Inactive, m.active, m.inactive)
			}
		}
	}
}

// hash8 is hash_32(x, 8) of include/linux/hash.h.
func hash8(x uint32) uint32 { return x * 0x61c88647 >> 24 }

func TestSourceHashIsThatOfIPVS(t *testing.T) {
	for _, c := range []struct {
		weights []uint32
		flags   dataplane.SchedulerFlags
	}{
		{[]uint32{1, 1, 1}, 0}, {[]uint32{1, 5, 2}, 0}, {[]uint32{1, 0, 1}, 0}, {[]uint32{1, 0, 1}, dataplane.SchedFlag1}, {[]uint32{2, 1}, dataplane.SchedFlag2},
	} {
		t.Run(fmt.Sprint(c.weights, c.flags), func(t *testing.T) {
			b := matrixBed(t)
			svc := web("sh", c.weights...)
			svc.Flags = c.flags
			b.apply(svc)
			ring := sourceHash(svc.RealServers, c.flags&dataplane.SchedFlag1 != 0)
			for i := range 200 {
				src := netip.AddrFrom4([4]byte{10, 1, byte(i >> 4), byte(i * 37)})
				sport := uint16(1000 + i)
				key := addrWords(src)[3]
				host := key>>24 | key>>8&0xff00 | key<<8&0xff0000 | key<<24
				if c.flags&dataplane.SchedFlag2 != 0 {
					host += uint32(sport)
				}
				want := "pass_no_server"
				if at := ring[hash8(host)]; at != nobody {
					want = fmt.Sprintf("forward_tx %d", at+1)
				}
				b.want(b.send(frame{src: src.String(), sport: sport}), want)
				b.want(b.send(frame{src: src.String(), sport: sport, flags: ack}), want) // without any memory
			}
			b.checkNothingRemembered()
		})
	}
}

func (b *bed) checkNothingRemembered() {
	b.t.Helper()
	st, err := b.e.Stats(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range st.Maps {
		if m.Name == "connections" && m.Used != 0 {
			b.t.Errorf("%d connections are remembered by a service that needs none", m.Used)
		}
	}
}

func TestTargetHashFallsOnOneServer(t *testing.T) {
	b := matrixBed(t)
	b.apply(web("dh", 1, 1, 1))
	want := b.send(frame{sport: 1})
	for sport := uint16(2); sport < 40; sport++ {
		b.want(b.send(frame{src: fmt.Sprintf("10.0.0.%d", sport), sport: sport}), want)
	}
}

func servers(n int) []dataplane.RealServer {
	var out []dataplane.RealServer
	for i := range n {
		out = append(out, dataplane.RealServer{Address: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), Port: 80, Weight: 1})
	}
	return out
}

func TestMaglevIsFairAndFollowsWeights(t *testing.T) {
	count := func(list []dataplane.RealServer) []int {
		n := make([]int, len(list))
		for _, i := range maglev(list, false) {
			n[i]++
		}
		return n
	}
	n := count(servers(100))
	if lo, hi := slices.Min(n), slices.Max(n); hi-lo > 1 {
		t.Errorf("100 servers have %d to %d of %d places", lo, hi, maglevRing)
	}
	weighted := servers(3)
	weighted[0].Weight, weighted[1].Weight, weighted[2].Weight = 3, 1, 0
	if n := count(weighted); n[2] != 0 || n[0] < 3*n[1]-3 || n[0] > 3*n[1]+3 {
		t.Errorf("weights 3, 1, 0 have %v places", n)
	}
}

// moved tells which part of the places of servers in both lists changed hands.
func moved(a, b []dataplane.RealServer) float64 {
	ra, rb := maglev(a, false), maglev(b, false)
	n := 0
	for i := range ra {
		was, is := a[ra[i]], b[rb[i]]
		if was != is && slices.Contains(b, was) && slices.Contains(a, is) {
			n++
		}
	}
	return float64(n) / float64(len(ra))
}

func TestMaglevMovesLittle(t *testing.T) {
	all := servers(100)
	worst := 0.0
	for i := range all {
		worst = max(worst, moved(all, slices.Delete(slices.Clone(all), i, i+1)))
	}
	t.Logf("removing one of 100 moves at most %.2f %% of the other places", 100*worst)
	if worst > 0.015 {
		t.Errorf("removing one of 100 moves %.2f %% of the other places", 100*worst)
	}
}

// Flows that began before a change stay where they were: the slot remembers.
func TestStatelessFlowsSurviveChanges(t *testing.T) {
	b := matrixBed(t)
	all := web("mh", slices.Repeat([]uint32{1}, 20)...)
	all.Flags = dataplane.SchedFlag2 // by port: the client is one
	b.apply(all)
	held := map[uint16]string{}
	open := func(sport uint16) {
		held[sport] = b.send(frame{sport: sport})
		b.want(b.send(frame{sport: sport, flags: ack}), held[sport])
	}
	for sport := uint16(1); sport <= 300; sport++ {
		open(sport)
	}
	r := rand.New(rand.NewPCG(3, 4))
	gone := map[string]bool{}
	for round := range 100 {
		svc := all
		svc.RealServers = slices.Clone(all.RealServers)
		clear(gone)
		if round%6 == 0 { // one is taken out whole
			i := r.IntN(len(svc.RealServers))
			gone[fmt.Sprintf("forward_tx %d", svc.RealServers[i].Address.As4()[3])] = true
			svc.RealServers = slices.Delete(svc.RealServers, i, i+1)
		}
		for range r.IntN(4) { // some only get no new flows, or more
			svc.RealServers[r.IntN(len(svc.RealServers))].Weight = uint32(r.IntN(4))
		}
		b.apply(svc)
		open(uint16(1000 + round))
		for sport, want := range held {
			if gone[want] {
				delete(held, sport)
				continue
			}
			if got := b.send(frame{sport: sport, flags: ack}); got != want {
				t.Fatalf("round %d: the flow from port %d went from %q to %q", round, sport, want, got)
			}
		}
	}
	if len(held) < 100 {
		t.Errorf("only %d flows are left to say anything", len(held))
	}
}

func TestDrainedSlotsSettleAndForget(t *testing.T) {
	b := newSmallBed(t, 4096)
	b.e.tables.drain = time.Hour
	two := web("mh", 1, 1)
	b.apply(two)
	var sport uint16
	for sport = 1; b.send(frame{sport: sport, src: fmt.Sprintf("10.0.0.%d", sport)}) != "forward_tx 2"; sport++ {
	}
	flow := frame{sport: sport, src: fmt.Sprintf("10.0.0.%d", sport), flags: ack}
	quiet := web("mh", 1, 0)
	b.apply(quiet)
	b.want(b.send(flow), "forward_tx 2") // draining, and remembered from now on
	fresh := flow
	fresh.sport += 1000
	fresh.flags = syn
	b.want(b.send(fresh), "forward_tx 1")
	if err := b.e.tables.settle(time.Now().Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.want(b.send(flow), "forward_tx 2") // remembered
	unknown := flow
	unknown.sport += 2000
	b.want(b.send(unknown), "forward_tx 1") // its time is over
	for _, f := range []frame{flow, fresh} {
		f.flags = rst
		b.send(f)
	}
	b.expireAll()
	if err := b.e.tables.settle(time.Now().Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, s := range b.e.tables.services[two.Key].slots {
		if s.Before != noReal {
			t.Fatalf("a slot still says %d", s.Before)
		}
	}
}

// expireAll puts every connection far into the past and sweeps.
func (b *bed) expireAll() {
	b.t.Helper()
	conns := b.e.objs.Conns
	for i := range conns.MaxEntries() {
		var bucket bpfConnBucket
		if err := conns.Lookup(i, &bucket); err != nil {
			b.t.Fatal(err)
		}
		for w := range bucket.Way {
			bucket.Way[w].Seen -= 1 << 20
		}
		if err := conns.Put(i, bucket); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.e.sweeper.all(); err != nil {
		b.t.Fatal(err)
	}
}

// An hour's worth of flows, floods, resets and servers that come and go: in the
// end the counts are those of the table.
func TestCountsAreThoseOfTheTable(t *testing.T) {
	b := newSmallBed(t, 4096)
	r := rand.New(rand.NewPCG(5, 6))
	svc := web("wlc", 1, 2, 3, 4)
	b.apply(svc)
	for i := range 40_000 {
		b.flood(frame{src: fmt.Sprintf("10.0.%d.%d", r.IntN(8), r.IntN(256)), sport: uint16(1 + r.IntN(20)),
			flags: []byte{syn, syn, syn, ack, ack, ack | fin, rst}[r.IntN(7)]})
		if i%4000 == 0 {
			other := svc
			other.RealServers = slices.Delete(slices.Clone(svc.RealServers), i/4000%4, i/4000%4+1)
			b.apply(other)
			b.apply(svc)
			if err := b.e.sweeper.all(); err != nil {
				t.Fatal(err)
			}
		}
	}
	active, inactive := map[uint32]uint64{}, map[uint32]uint64{}
	var bucket bpfConnBucket
	for i := range b.e.objs.Conns.MaxEntries() {
		if err := b.e.objs.Conns.Lookup(i, &bucket); err != nil {
			t.Fatal(err)
		}
		for _, c := range bucket.Way {
			if c.Sig == 0 {
				continue
			}
			switch bpfConnStage(c.Word & 15) {
			case bpfConnStageTCP_NEW, bpfConnStageTCP_ESTABLISHED:
				active[c.Word>>4]++
			default:
				inactive[c.Word>>4]++
			}
		}
	}
	for index, real := range b.e.tables.reals {
		var l bpfLoad
		if err := b.e.objs.Loads.Lookup(index, &l); err != nil {
			t.Fatal(err)
		}
		if uint64(l.Active) != active[real.Tag] || uint64(l.Inactive) != inactive[real.Tag] {
			t.Errorf("%s counts %d and %d, the table has %d and %d", realKey(real), l.Active, l.Inactive, active[real.Tag], inactive[real.Tag])
		}
		if l.Active+l.Inactive == 0 {
			t.Errorf("%s has no connection: the test says nothing", realKey(real))
		}
	}
}
