package vrrp

import (
	"flag"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var floodFor = flag.Duration("flood.for", 2*time.Second, "how long the flood of malformed advertisements lasts")

// floodRate is in packets a second.
const floodRate = 10_000

// flood sends junk to a router at floodRate, with real advertisements between;
// it gives how many it sent of both.
func flood(t *testing.T, n *node, every time.Duration) (junked, real int) {
	t.Helper()
	var conn Conn
	noError(t, within(n.ns, func() (err error) {
		c := wireConfig(3, 4, func(c *Config) { c.Interface = "eth0" })
		conn, err = DialRaw(c)
		return err
	}))
	defer conn.Close()
	var bad []Outgoing
	for _, p := range junk(wires["v3"]) {
		if p.From != self { // the kernel of the other side drops it as a martian
			bad = append(bad, outgoing(p))
		}
	}
	// What it promises is longer than what it does: no pause of the sender is silence.
	sender := &codec{cfg: wireConfig(3, 4, func(c *Config) { c.AdvertInterval = MaxInterval })}
	const slice = 5 * time.Millisecond
	tick := time.NewTicker(slice)
	defer tick.Stop()
	start, next := time.Now(), time.Now()
	for time.Since(start) < *floodFor {
		now := <-tick.C
		for due := int(now.Sub(start).Seconds() * floodRate); junked < due; junked++ {
			if err := conn.Send(bad[junked%len(bad)]); err != nil {
				t.Fatal(err)
			}
		}
		if !now.Before(next) {
			noError(t, conn.Send(sender.seal(now, 200, high)[0]))
			next = now.Add(every)
			real++
		}
	}
	return junked, real
}

func outgoing(p Packet) Outgoing {
	return Outgoing{Src: p.From, Dst: p.To, TTL: uint8(p.TTL), Header: withTTL(p), Payload: p.Payload}
}

// withTTL brings the header in line with what the packet's fields say.
func withTTL(p Packet) []byte {
	h := append([]byte(nil), p.Header...)
	h[8] = uint8(p.TTL)
	n := len(h) + len(p.Payload)
	h[2], h[3] = byte(n>>8), byte(n)
	return h
}

// TestR34_AFlood: ten thousand malformed advertisements a second, of every kind
// of defect, and a master that speaks between them: the backup hears its
// advertisements, changes nothing, and logs less than 1 kB a second. What a
// machine that is slow for a moment drops is bounded, and told with CPU time.
func TestR34_AFlood(t *testing.T) {
	dut, peer := twoNodes(t)
	const every = 200 * time.Millisecond
	spec := variantNamed(t, "v3").spec(100, self, high)
	spec.Config.AdvertInterval = MaxInterval
	dut.run(spec)
	eventually(t, "the router listens", func() bool { return dut.role() == Backup && dut.memberships("eth0", group4InProc) == "1" })
	logged := len(dut.log.String())
	before := cpuTime(t)
	junked, real := flood(t, peer, every)
	received := dut.status().AdvertsReceived
	marker := netip.MustParseAddr("10.99.0.77")
	p := newTester(t, peer, dut)
	eventually(t, "the end of it is read", func() bool {
		p.send((&codec{cfg: wires["v3"]}).seal(epoch, 200, marker)[0], 0)
		return dut.status().Master == marker
	})
	st := dut.status()
	if received < uint64(real)/2 {
		t.Errorf("%d of %d real advertisements were heard", received, real)
	}
	var refused uint64
	for _, n := range st.AdvertsRefused {
		refused += n
	}
	bytes := len(dut.log.String()) - logged
	t.Logf("%d malformed sent in %v, %d refused, %d real ones heard of %d, %d bytes of log, CPU %v (sender and receiver)", junked, *floodFor, refused,
		received, real, bytes, cpuTime(t)-before)
	if st.Role != Backup || st.Transitions != 1 {
		t.Errorf("%v after %d transitions", st.Role, st.Transitions)
	}
	if refused == 0 {
		t.Error("nothing was refused: the flood did not arrive")
	}
	if limit := int(1000 * (*floodFor + time.Second).Seconds()); bytes > limit {
		t.Errorf("%d bytes of log in %v", bytes, *floodFor)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	noError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestR34_AMasterIsNotDelayed: under the same flood a master's advertisements
// keep coming. In a long run, on a machine of its own, none is late by an
// interval.
func TestR34_AMasterIsNotDelayed(t *testing.T) {
	dut, peer := twoNodes(t)
	p := newTester(t, peer, dut)
	spec := variantNamed(t, "v3").spec(255, self, high)
	dut.run(spec)
	p.next("advertisement", advert4)
	type heard struct {
		count int
		worst time.Duration
	}
	stop, result := make(chan struct{}), make(chan heard, 1)
	go func() {
		var h heard
		for last := time.Now(); ; {
			select {
			case <-stop:
				result <- h
				return
			default:
			}
			if _, err := p.read(advert4); err == nil {
				h.count++
				h.worst = max(h.worst, time.Since(last))
				last = time.Now()
			}
		}
	}()
	flood(t, peer, time.Hour)
	close(stop)
	h, interval := <-result, spec.Config.AdvertInterval
	t.Logf("%d advertisements, the longest gap between two is %v, the interval %v", h.count, h.worst, interval)
	if h.count < int(*floodFor/interval)/3 {
		t.Errorf("%d advertisements in %v", h.count, *floodFor)
	}
	if *floodFor >= 10*time.Second && h.worst >= 2*interval {
		t.Errorf("a gap of %v, the interval is %v", h.worst, interval)
	}
}
