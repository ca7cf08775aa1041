package vrrp

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 2000, "how many schedules the simulation plays")
	simSeed  = flag.Uint64("sim.seed", 0, "play only this schedule and print it")
)

// sim is a link with virtual routers on it and a clock of its own. Everything
// that happens comes from one seed.
type sim struct {
	rng     *rand.Rand
	now     time.Time
	queue   simQueue
	nodes   []*simNode
	order   int
	quiet   bool          // no more faults: what is sent arrives
	delay   time.Duration // the longest, when quiet
	trace   []string
	verbose bool

	dualSince time.Time // zero: at most one master
	dualMax   time.Duration
	takeovers int
	preempt   bool
}

type simNode struct {
	id        int
	addr      netip.Addr
	vr        *VirtualRouter
	partition int
	alive     bool
	frozen    time.Time // does nothing before
	inbox     []Received
	ticket    time.Time // the tick that is planned
}

type simEvent struct {
	at    time.Time
	order int
	do    func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any     { e := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return e }

const (
	simInterval = 100 * time.Millisecond
	simLongest  = 2 * simInterval // that a reload may bring
	simDelay    = 5 * time.Millisecond
	simFaults   = 20 * time.Second
	simQuiet    = 5 * time.Second
	simMost     = 200_000 // events: more is a storm
)

func newSim(seed uint64) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), now: epoch, delay: simDelay, verbose: seed == *simSeed && seed != 0}
	s.preempt = s.rng.IntN(4) > 0
	count := 2 + s.rng.IntN(4)
	if s.rng.IntN(50) == 0 {
		count = 20
	}
	for i := range count {
		priority := uint8(1 + s.rng.IntN(254))
		if s.rng.IntN(3) == 0 {
			priority = 100 // equal ones happen
		}
		cfg := Config{Name: fmt.Sprint("n", i), VRID: 51, Family: 4, Version: 3, Priority: priority, AdvertInterval: simInterval,
			DownTimerAdverts: 3, Preempt: s.preempt, LowerPrioNoAdvert: s.rng.IntN(4) == 0, HigherPrioSendAdvert: s.rng.IntN(4) == 0}
		n := s.add(cfg, netip.AddrFrom4([4]byte{10, 99, byte(s.rng.IntN(256)), byte(1 + i)}))
		s.after(time.Duration(s.rng.Int64N(int64(time.Second))), func() { s.start(n) })
	}
	return s
}

func (s *sim) add(cfg Config, addr netip.Addr) *simNode {
	n := &simNode{id: len(s.nodes), addr: addr, vr: NewVirtualRouter(cfg)}
	s.nodes = append(s.nodes, n)
	return n
}

func (s *sim) after(d time.Duration, do func()) {
	s.order++
	heap.Push(&s.queue, simEvent{s.now.Add(d), s.order, do})
}

func (s *sim) say(format string, args ...any) {
	if s.verbose {
		s.trace = append(s.trace, fmt.Sprintf("%10v ", s.now.Sub(epoch))+fmt.Sprintf(format, args...))
	}
}

func (s *sim) start(n *simNode) {
	if n.alive {
		return
	}
	n.alive = true
	n.vr = NewVirtualRouter(n.vr.cfg)
	s.step(n, Conditions{Priority: n.vr.cfg.Priority, Source: n.addr})
	s.step(n, Startup{})
}

func (s *sim) step(n *simNode, ev Event) {
	for _, a := range n.vr.Step(s.now, ev) {
		switch a := a.(type) {
		case SendAdvert:
			s.send(n, a.Priority)
		case RoleChanged:
			if a.To == Master {
				s.takeovers++
			}
			s.say("%s %s: %s", n.vr.cfg.Name, a.To, a.Reason)
		}
	}
	s.plan(n)
	s.check()
}

// plan has the timer of a node fire, late by a little.
func (s *sim) plan(n *simNode) {
	next := n.vr.Deadline()
	if !n.alive || next.IsZero() || next.Equal(n.ticket) {
		return
	}
	n.ticket = next
	s.after(max(0, next.Sub(s.now))+time.Duration(s.rng.IntN(200))*time.Microsecond, func() {
		if !n.alive || !n.ticket.Equal(next) {
			return
		}
		n.ticket = time.Time{}
		if s.now.Before(n.frozen) {
			s.after(n.frozen.Sub(s.now), func() { s.thaw(n) })
			return
		}
		s.step(n, Tick{})
	})
}

// thaw is a runner that wakes late: it reads its socket, then looks at the
// clock.
func (s *sim) thaw(n *simNode) {
	inbox := n.inbox
	n.inbox = nil
	for i, ev := range inbox {
		if i+1 < len(inbox) && inbox[i+1].From == ev.From && inbox[i+1].Advert.Priority != 0 {
			continue
		}
		if n.alive {
			s.step(n, ev)
		}
	}
	if n.alive {
		s.step(n, Tick{})
	}
}

func (s *sim) send(from *simNode, priority uint8) {
	ev := Received{From: from.addr, Advert: Advert{Version: 3, VRID: 51, Priority: priority, Interval: from.vr.cfg.AdvertInterval}}
	for _, to := range s.nodes {
		if to == from || to.partition != from.partition {
			continue
		}
		copies, longest := 1, s.delay
		if !s.quiet {
			copies = []int{0, 0, 1, 1, 1, 1, 1, 1, 2}[s.rng.IntN(9)]
			longest = simInterval
		}
		for range copies {
			s.after(time.Duration(s.rng.Int64N(int64(longest))), func() { s.deliver(to, ev) })
		}
	}
}

func (s *sim) deliver(to *simNode, ev Received) {
	switch {
	case !to.alive:
	case s.now.Before(to.frozen):
		to.inbox = append(to.inbox, ev)
	case len(to.inbox) > 0:
		to.inbox = append(to.inbox, ev)
		s.thaw(to)
	default:
		s.step(to, ev)
	}
}

// fault does one evil thing.
func (s *sim) fault() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch s.rng.IntN(8) {
	case 0:
		for _, m := range s.nodes {
			m.partition = s.rng.IntN(2)
		}
		s.say("partition")
	case 1:
		for _, m := range s.nodes {
			m.partition = 0
		}
		s.say("heal")
	case 2:
		n.alive, n.inbox = false, nil
		n.vr = NewVirtualRouter(n.vr.cfg) // its addresses vanish with the host
		s.say("%s dies", n.vr.cfg.Name)
	case 3:
		s.start(n)
	case 4:
		n.frozen = s.now.Add(time.Duration(s.rng.Int64N(int64(2 * time.Second))))
		s.say("%s is frozen until %v", n.vr.cfg.Name, n.frozen.Sub(epoch))
	case 5:
		if n.alive && !s.now.Before(n.frozen) {
			s.step(n, Conditions{Priority: uint8(1 + s.rng.IntN(254)), Source: n.addr})
		}
	case 6:
		if n.alive && !s.now.Before(n.frozen) {
			s.step(n, Shutdown{})
			n.alive = false
		}
	case 7: // a reload
		if n.alive && !s.now.Before(n.frozen) {
			cfg := n.vr.cfg
			cfg.AdvertInterval = []time.Duration{simInterval / 2, simInterval, simLongest}[s.rng.IntN(3)]
			s.say("%s speaks every %v", cfg.Name, cfg.AdvertInterval)
			s.step(n, Reconfigure{cfg})
		}
	}
}

func (s *sim) masters() (list []*simNode) {
	for _, n := range s.nodes {
		if n.alive && n.vr.Role() == Master {
			list = append(list, n)
		}
	}
	return list
}

// check measures how long there are two masters while nothing goes wrong.
func (s *sim) check() {
	if !s.quiet || len(s.masters()) < 2 {
		s.dualSince = time.Time{}
		return
	}
	if s.dualSince.IsZero() {
		s.dualSince = s.now
	}
	s.dualMax = max(s.dualMax, s.now.Sub(s.dualSince))
}

func (s *sim) run(until time.Duration) {
	for s.order < simMost && len(s.queue) > 0 && !s.queue[0].at.After(epoch.Add(until)) {
		e := heap.Pop(&s.queue).(simEvent)
		s.now = e.at
		e.do()
	}
	s.now = epoch.Add(until)
}

func (s *sim) play() string {
	for s.now.Sub(epoch) < simFaults {
		s.run(s.now.Sub(epoch) + time.Duration(s.rng.Int64N(int64(time.Second))))
		s.fault()
	}
	for _, n := range s.nodes {
		n.partition = 0
		s.start(n)
	}
	s.run(s.now.Sub(epoch) + 2*time.Second) // who is frozen wakes, what is on the way arrives
	s.quiet = true
	s.say("quiet")
	s.check()
	start := s.now.Sub(epoch)
	s.run(start + simQuiet/2)
	if s.order >= simMost {
		return "a storm of advertisements"
	}
	if s.dualMax > simLongest+3*simDelay {
		return fmt.Sprintf("two masters for %v", s.dualMax)
	}
	for range 50 {
		s.run(s.now.Sub(epoch) + simQuiet/100)
		if m := s.masters(); len(m) != 1 {
			return fmt.Sprintf("%d masters in the end", len(m))
		}
	}
	for _, n := range s.nodes {
		if best := s.masters()[0]; s.preempt && n.vr.Priority() > best.vr.Priority() {
			return fmt.Sprintf("%s with priority %d is master, %s has %d", best.vr.cfg.Name, best.vr.Priority(), n.vr.cfg.Name, n.vr.Priority())
		}
	}
	return ""
}

// TestS18_S19_S24_T10_Simulation plays schedules of loss, delay, duplication,
// partitions, deaths, frozen processes, reloads and changing priorities, with
// and without preemption. When the faults end there are two masters for one
// advertisement at most, and in the end exactly one: with preemption the one
// with the highest priority.
func TestS18_S19_S24_T10_Simulation(t *testing.T) {
	first, last := uint64(1), uint64(*simSeeds)
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last; seed++ {
		s := newSim(seed)
		wrong := s.play()
		if s.verbose {
			t.Log(strings.Join(s.trace, "\n"))
		}
		if wrong != "" {
			t.Errorf("seed %d: %s (run it alone with -sim.seed and -v)", seed, wrong)
			if seed-first > 20 {
				return
			}
		}
	}
}

// TestS19_OneChangeWhenTheMasterDies: after two down intervals there is one
// master, the one with the highest rank, and at its death one other follows,
// once; so on to the last.
func TestS19_OneChangeWhenTheMasterDies(t *testing.T) {
	for _, count := range []int{3, 5, 20} {
		s := &sim{rng: rand.New(rand.NewPCG(uint64(count), 2)), now: epoch, quiet: true, delay: simDelay / 10} // less than the skews differ
		for i := range count {
			s.start(s.add(Config{Name: fmt.Sprint("n", i), VRID: 51, Family: 4, Version: 3, Priority: uint8(250 - 10*i), AdvertInterval: simInterval,
				DownTimerAdverts: 3, Preempt: true}, netip.AddrFrom4([4]byte{10, 99, 0, byte(i + 1)})))
		}
		for dead := range count {
			s.run(s.now.Sub(epoch) + 8*simInterval)
			if m := s.masters(); len(m) != 1 || m[0].id != dead || s.takeovers != dead+1 {
				t.Fatalf("%d routers, %d dead: %d masters after %d takeovers", count, dead, len(m), s.takeovers)
			}
			s.nodes[dead].alive = false
		}
		if s.dualMax > 0 {
			t.Errorf("%d routers: two masters for %v", count, s.dualMax)
		}
	}
}
