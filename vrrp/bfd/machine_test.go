package bfd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testConfig(change func(*Config)) Config {
	c := Config{Name: "B", MinTX: 50 * time.Millisecond, MinRX: 40 * time.Millisecond, IdleTX: time.Second, Multiplier: 3, TTL: 255, MinTTL: 255}
	if change != nil {
		change(&c)
	}
	return c
}

// pair is two sessions and the wire between them, in one clock.
type pair struct {
	now  time.Time
	a, b *Session
	// lose says which packets are lost: those of a, those of b.
	loseA, loseB bool
	sentA, sentB []Packet
	story        []string
}

func newPair(a, b Config) *pair {
	random := func() float64 { return 0 }
	return &pair{now: epoch, a: NewSession(epoch, a, 1, random), b: NewSession(epoch, b, 2, random)}
}

// do performs actions of one side, and what they cause on the other.
func (p *pair) do(fromA bool, acts []Action) {
	for _, act := range acts {
		switch x := act.(type) {
		case Changed:
			p.story = append(p.story, fmt.Sprintf("%v %s %s: %s", p.now.Sub(epoch), map[bool]string{true: "a", false: "b"}[fromA], x.To, x.Diagnostic))
		case Send:
			wire, why := Parse(x.Packet.Append(nil))
			if why != Accepted {
				panic(why.String())
			}
			to, lost := p.b, p.loseA
			if fromA {
				p.sentA = append(p.sentA, wire)
			} else {
				p.sentB = append(p.sentB, wire)
				to, lost = p.a, p.loseB
			}
			if !lost {
				p.do(!fromA, to.Step(p.now, Received{wire}))
			}
		}
	}
}

// run lets time pass.
func (p *pair) run(d time.Duration) {
	end := p.now.Add(d)
	for {
		next := end
		for _, s := range []*Session{p.a, p.b} {
			if t := s.Deadline(); !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		p.now = next
		if !next.Before(end) {
			return
		}
		p.do(true, p.a.Step(p.now, Tick{}))
		p.do(false, p.b.Step(p.now, Tick{}))
	}
}

func (p *pair) want(t *testing.T, states string) {
	t.Helper()
	if got := p.a.State().String() + " " + p.b.State().String(); got != states {
		t.Fatalf("states %s, want %s:\n%s", got, states, strings.Join(p.story, "\n"))
	}
}

// RFC 5880 section 6.2: three ways to Up, at the slow rate; then the wished one,
// told by a Poll Sequence (section 6.5).
func TestThreeWaysToUp(t *testing.T) {
	p := newPair(testConfig(nil), testConfig(nil))
	p.run(999 * time.Millisecond)
	if len(p.sentA)+len(p.sentB) > 0 {
		t.Error("packets before the first second")
	}
	p.run(2 * time.Second)
	p.want(t, "Up Up")
	if !strings.HasSuffix(strings.Join(p.story, "|"), "a Up: no diagnostic") && !strings.HasSuffix(strings.Join(p.story, "|"), "b Up: no diagnostic") {
		t.Error(p.story)
	}
	if p.a.poll || p.b.poll {
		t.Error("the Poll Sequence has not ended")
	}
	p.sentA = nil
	p.run(time.Second)
	// 50 ms are wished for, and 40 ms are what the other side can take.
	if n := len(p.sentA); n < 19 || n > 21 {
		t.Errorf("%d packets in a second, want 20", n)
	}
	if last := p.sentA[len(p.sentA)-1]; last.MinTX != 50*time.Millisecond || last.State != Up || last.Your != 2 || last.Poll {
		t.Errorf("%+v", last)
	}
}

// Section 6.8.4: silence of multiplier x the agreed interval is Down, and that
// is told at once; the other side follows by the word of the first.
func TestSilenceIsDown(t *testing.T) {
	p := newPair(testConfig(nil), testConfig(nil))
	p.run(3 * time.Second)
	p.want(t, "Up Up")
	p.story, p.loseA = nil, true
	cut := p.now
	p.run(3 * 50 * time.Millisecond)
	p.want(t, "Down Down")
	if got := strings.Join(p.story, "|"); !strings.Contains(got, "b Down: control detection time expired") || !strings.Contains(got, "a Down: control detection time expired") {
		t.Error(got)
	}
	if at := p.now.Sub(cut); at > 151*time.Millisecond {
		t.Errorf("after %v", at)
	}
	if last := p.sentB[len(p.sentB)-1]; last.Diagnostic != DetectionTimeExpired || last.State != Down || last.Your != 0 {
		t.Errorf("the last word of b: %+v", last)
	}
	p.loseA = false
	p.run(4 * time.Second)
	p.want(t, "Up Up")
}

// Section 6.8.16: a stop is told, and is no failure of the path.
func TestStopIsTold(t *testing.T) {
	p := newPair(testConfig(nil), testConfig(nil))
	p.run(3 * time.Second)
	p.story = nil
	p.do(true, p.a.Step(p.now, Stop{}))
	p.want(t, "AdminDown Down")
	if got := strings.Join(p.story, "|"); !strings.Contains(got, "b Down: administratively down") {
		t.Error(got)
	}
	if !p.a.Deadline().IsZero() {
		t.Error("a stopped session has a timer")
	}
	p.run(10 * time.Second) // b does not come up against nobody
	p.want(t, "AdminDown Down")
}

// Section 6.1: a passive side says nothing first; two of them never meet.
func TestPassive(t *testing.T) {
	passive := testConfig(func(c *Config) { c.Passive = true })
	p := newPair(passive, testConfig(nil))
	p.run(4 * time.Second)
	p.want(t, "Up Up")
	p = newPair(passive, passive)
	p.run(time.Minute)
	if p.want(t, "Down Down"); len(p.sentA)+len(p.sentB) > 0 {
		t.Error("a passive session spoke first")
	}
}

// Section 6.8.7: 75 to 100 percent of the interval, with multiplier 1 at most
// 90; and never more often than the other side can take.
func TestJitterAndTheOtherSidesRate(t *testing.T) {
	for _, c := range []struct {
		multiplier uint8
		random     float64
		want       time.Duration
	}{{3, 0, 200}, {3, 1, 150}, {1, 0, 180}, {1, 1, 150}} {
		s := NewSession(epoch, testConfig(func(x *Config) { x.Multiplier = c.multiplier }), 1, func() float64 { return c.random })
		s.state, s.minTX, s.remote = Up, 50*time.Millisecond, remote{discriminator: 2, state: Up, minRX: 200 * time.Millisecond, multiplier: 3}
		s.schedule(epoch)
		if got := s.next.Sub(epoch); got.Round(time.Microsecond) != c.want*time.Millisecond {
			t.Errorf("%+v: %v", c, got)
		}
	}
	s := NewSession(epoch, testConfig(nil), 1, func() float64 { return 0 })
	s.Step(epoch, Received{Packet{State: Down, My: 9, Multiplier: 3, MinTX: time.Second}}) // MinRX 0
	if s.Deadline() != epoch.Add(3*time.Second) {
		t.Errorf("a neighbor that wants no packets gets some: %v", s.Deadline().Sub(epoch))
	}
}

// Demand mode of the neighbor silences us while both are Up (section 6.6), but a
// poll is answered.
func TestDemandOfTheNeighbor(t *testing.T) {
	p := newPair(testConfig(nil), testConfig(nil))
	p.run(3 * time.Second)
	word := Packet{State: Up, My: 2, Your: 1, Multiplier: 3, MinTX: 50 * time.Millisecond, MinRX: 40 * time.Millisecond, Demand: true}
	p.a.Step(p.now, Received{word})
	if !p.a.next.IsZero() {
		t.Error("periodic packets go on")
	}
	word.Poll = true
	acts := p.a.Step(p.now, Received{word})
	if len(acts) != 1 || !acts[0].(Send).Packet.Final || acts[0].(Send).Packet.Poll {
		t.Errorf("%+v", acts)
	}
	word.Poll, word.Demand = false, false
	if p.a.Step(p.now, Received{word}); p.a.next.IsZero() {
		t.Error("no periodic packets without demand")
	}
}

// Who was not running when the detection time ended waits for one more packet.
func TestALateWakeIsNotSilence(t *testing.T) {
	p := newPair(testConfig(nil), testConfig(nil))
	p.run(3 * time.Second)
	late := p.a.detect.Add(time.Hour)
	p.a.Step(late, Tick{})
	if p.a.State() != Up {
		t.Fatal("down without a look at what has arrived")
	}
	p.a.Step(late.Add(50*time.Millisecond), Tick{})
	if p.a.State() != Down {
		t.Error("still up after one more interval of silence")
	}
}

// What a session hears in each state (section 6.8.6).
func TestStates(t *testing.T) {
	for _, c := range []struct {
		state, heard, want State
	}{
		{Down, Down, Init}, {Down, Init, Up}, {Down, Up, Down}, {Down, AdminDown, Down},
		{Init, Down, Init}, {Init, Init, Up}, {Init, Up, Up}, {Init, AdminDown, Down},
		{Up, Down, Down}, {Up, Init, Up}, {Up, Up, Up}, {Up, AdminDown, Down},
		{AdminDown, Down, AdminDown}, {AdminDown, Up, AdminDown},
	} {
		s := NewSession(epoch, testConfig(nil), 1, func() float64 { return 0 })
		s.state = c.state
		s.Step(epoch, Received{Packet{State: c.heard, My: 2, Your: 1, Multiplier: 3, MinTX: time.Second, MinRX: time.Second}})
		if s.State() != c.want {
			t.Errorf("%s hears %s: %s, want %s", c.state, c.heard, s.State(), c.want)
		}
	}
}
