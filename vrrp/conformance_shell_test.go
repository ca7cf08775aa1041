package vrrp

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a Conn without a kernel, for a runner in a bubble of its own clock.
type wire struct {
	mu      sync.Mutex
	pending []Packet
	sent    []sentAdvert
	arrived chan struct{}
	closed  chan struct{}
	deaf    bool // Ready does not tell of what arrives
}

type sentAdvert struct {
	at       time.Time
	priority uint8
}

func newWire() *wire { return &wire{arrived: make(chan struct{}, 1), closed: make(chan struct{})} }

func (w *wire) Send(o Outgoing) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, sentAdvert{time.Now(), o.Payload[2]})
	return nil
}

func (w *wire) Ready() <-chan struct{} { return w.arrived }

func (w *wire) Err() error { return nil }

func (w *wire) Collect() {}

func (w *wire) Glance(func(Packet) (taken bool)) {}
func (w *wire) Pending() (p Packet, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return p, false
	}
	p, w.pending = w.pending[0], w.pending[1:]
	return p, true
}

func (w *wire) Close() error { close(w.closed); return nil }

func (w *wire) arrive(p Packet) {
	w.mu.Lock()
	w.pending = append(w.pending, p)
	deaf := w.deaf
	w.mu.Unlock()
	if deaf {
		return
	}
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

func (w *wire) adverts() []sentAdvert {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sentAdvert(nil), w.sent...)
}

// noAddresses is an owner and announcer of nothing.
type noAddresses struct{}

func (noAddresses) Take(context.Context) error          { return nil }
func (noAddresses) Release(context.Context) error       { return nil }
func (noAddresses) Announce(context.Context, int) error { return nil }

// onWire runs a router on a wire until the test's bubble ends.
func onWire(t *testing.T, cfg *Config) (*runner, *wire, *logBuffer) {
	t.Helper()
	c := *cfg
	c.Preempt, c.DownTimerAdverts = true, 3
	w := newWire()
	log, text := testLog()
	r := newRunner(c, Shell{Dial: func(*Config) (Conn, error) { return w, nil }, Owner: noAddresses{}, Announcer: noAddresses{}, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	go r.run(ctx)
	t.Cleanup(func() { cancel(); <-r.done })
	r.tell(Conditions{Priority: c.Priority, Source: selfOf(&c)})
	r.tell(Startup{})
	synctest.Wait()
	return r, w, text
}

// junk is something of every kind that is refused.
func junk(c *Config) []Packet {
	var list []Packet
	for _, change := range []func(*Packet){
		func(p *Packet) { p.TTL = 254 },
		func(p *Packet) { p.Payload[7] ^= 1 },
		func(p *Packet) { p.Payload[0] = 0x21; reseal(p) },
		func(p *Packet) { p.Payload[0] = 0x32; reseal(p) },
		func(p *Packet) { p.Payload[1] = 52; reseal(p) },
		func(p *Packet) { p.Payload = p.Payload[:9] },
		func(p *Packet) { p.Payload[3] = 0; reseal(p) },
		func(p *Packet) { p.Payload[4], p.Payload[5] = 0, 0; reseal(p) },
		func(p *Packet) { p.Payload[11]++; reseal(p) },
		func(p *Packet) { p.Payload = append(p.Payload, 0) },
		func(p *Packet) { p.From = self },
	} {
		list = append(list, rawPacket(c, change))
	}
	return list
}

// Packets that are refused, one every 0.4 of an interval, neither keep a backup
// from taking over when it is due nor move the advertisements of a master.
func TestS25_JunkMovesNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r, w, _ := onWire(t, wires["v3"])
		list := junk(wires["v3"])
		for i := range 25 * 4 { // 40 s
			w.arrive(list[i%len(list)])
			time.Sleep(400 * time.Millisecond)
			synctest.Wait()
		}
		const down = 3*time.Second + 156*time.Second/256
		sent := w.adverts()
		if len(sent) != 37 {
			t.Errorf("%d advertisements in 40 s", len(sent))
		}
		for i, a := range sent {
			if want := down + time.Duration(i)*time.Second; a.at.Sub(start) != want {
				t.Errorf("advertisement %d at %v, want %v", i, a.at.Sub(start), want)
			}
		}
		st := RouterStatus{AdvertsRefused: map[Refusal]uint64{}}
		r.fill(&st)
		var refused uint64
		for _, n := range st.AdvertsRefused {
			refused += n
		}
		if refused != 100 || st.AdvertsReceived != 0 || st.Transitions != 2 {
			t.Errorf("%d refused, %d received, %d transitions", refused, st.AdvertsReceived, st.Transitions)
		}
	})
}

// A router of another version on the same VRID: refused, counted, told once a
// minute; the master stays one.
func TestX06_R03_AnotherVersionIsToldOnce(t *testing.T) {
	for mine, theirs := range map[string]string{"v2": "v3", "v3": "v2"} {
		synctest.Test(t, func(t *testing.T) {
			r, w, text := onWire(t, wires[mine])
			for range 50 {
				w.arrive(sentBy(wires[theirs]))
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if n := strings.Count(text.String(), "reason=version"); n != 1 || r.role() != Master {
				t.Errorf("%s: told %d times, role %v:\n%s", mine, n, r.role(), text)
			}
			st := RouterStatus{AdvertsRefused: map[Refusal]uint64{}}
			r.fill(&st)
			if st.AdvertsRefused[RefusedVersion] != 50 {
				t.Errorf("%s: counted %v", mine, st.AdvertsRefused)
			}
		})
	}
}

// What the list of refusals asks to be told once is told once in a minute.
func TestR12_R25_R37_ToldOnce(t *testing.T) {
	carp := append([]byte{0x21, 51, 100, 7, 0, 1}, make([]byte, 30)...)
	for reason, p := range map[string]Packet{
		"addresses": rawPacket(wires["v2"], func(p *Packet) { p.Payload[11]++; reseal(p) }),
		"interval":  rawPacket(wires["v2"], func(p *Packet) { p.Payload[5]++; reseal(p) }),
		"carp":      rawPacket(wires["v2"], func(p *Packet) { p.Payload = carp }),
	} {
		synctest.Test(t, func(t *testing.T) {
			r, w, text := onWire(t, wires["v2"])
			for range 50 {
				w.arrive(p)
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if n := strings.Count(text.String(), "reason="+reason); n != 1 || r.role() != Master {
				t.Errorf("%s: told %d times, role %v:\n%s", reason, n, r.role(), text)
			}
		})
	}
}

// A runner that only wakes by its timer finds in its socket that the master has
// spoken meanwhile.
func TestT10_TheSocketIsReadBeforeSilenceIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := onWire(t, wires["v3"])
		w.mu.Lock()
		w.deaf = true
		w.mu.Unlock()
		for range 20 {
			w.arrive(sentBy(wires["v3"]))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if r.role() != Backup || len(w.adverts()) > 0 {
			t.Errorf("role %v, %d advertisements, while the master speaks", r.role(), len(w.adverts()))
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if r.role() != Master {
			t.Errorf("role %v after silence", r.role())
		}
	})
}

// R24: the longest interval is believed and waited for; who speaks it loses the
// mastership after it and not before.
func TestR24_T04_TheLongestIntervalIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MaxInterval })
		r, w, _ := onWire(t, wires["v3"])
		w.arrive(sentBy(slow))
		const down = 3*MaxInterval + 156*MaxInterval/256
		time.Sleep(down - time.Millisecond)
		synctest.Wait()
		if r.role() != Backup {
			t.Errorf("role %v before the down interval ended", r.role())
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if r.role() != Master {
			t.Errorf("role %v after it", r.role())
		}
	})
}

// X10: counters equal what was sent.
func TestX10_CountersEqualWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := onWire(t, wires["v3"])
		want := map[Refusal]uint64{}
		var good uint64
		for i := range 300 {
			p, other := sentBy(wires["v3"]), netip.AddrFrom4([4]byte{10, 99, 1, byte(i)})
			p.From = other // so that each counts, and not the last of a row
			p.Payload = append([]byte(nil), p.Payload...)
			switch {
			case i%3 == 0:
				p.TTL = 7
				want[RefusedTTL]++
			case i%7 == 0:
				p.Payload[6] ^= 1
				want[RefusedChecksum]++
			default:
				reseal(&p)
				good++
			}
			w.arrive(p)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		st := RouterStatus{AdvertsRefused: map[Refusal]uint64{}}
		r.fill(&st)
		for why, n := range st.AdvertsRefused {
			if n != want[why] {
				t.Errorf("%s: %d, want %d", why, n, want[why])
			}
		}
		if st.AdvertsReceived != good || st.AdvertsSent != uint64(len(w.adverts())) {
			t.Errorf("received %d of %d, sent %d of %d", st.AdvertsReceived, good, st.AdvertsSent, len(w.adverts()))
		}
	})
}
