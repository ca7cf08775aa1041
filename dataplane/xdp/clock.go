package xdp

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// tickClock is the clock of the connection table: jiffies of the kernel, shifted
// so that a tick is about a tenth of a second. The program reads it with a load,
// where a clock in nanoseconds costs a call for every packet.
type tickClock struct {
	shift uint32
	tick  time.Duration
	prog  *ebpf.Program
}

// ticks gives d in ticks, at least 1.
func (c *tickClock) ticks(d time.Duration) uint32 {
	return uint32(max(1, d/c.tick))
}

// now is conn_now of bpf/conn.h.
func (c *tickClock) now() (uint32, error) {
	n, err := c.prog.Run(&ebpf.RunOptions{Data: make([]byte, 14)})
	if err != nil {
		return 0, fmt.Errorf("read the clock of the kernel: %w", err)
	}
	return n, nil
}

func (c *tickClock) close() error { return c.prog.Close() }

// jiffies makes a program that returns the low 32 bits of jiffies >> shift.
func jiffies(shift uint32) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.FnJiffies64.Call(), asm.RSh.Imm(asm.R0, int32(shift)), asm.Return(),
	}})
	if err != nil {
		return nil, fmt.Errorf("load program that reads jiffies: %w", explainLoad(err))
	}
	return p, nil
}

// frequencies are those a kernel can be built with (kernel/Kconfig.hz; 300 is
// there too, 1024 on other machines).
var frequencies = []int{100, 250, 300, 1000, 1024}

// hertz measures how many jiffies this kernel has in a second, once: it cannot
// change.
var hertz = sync.OnceValues(func() (hz int, err error) {
	p, err := jiffies(0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	c := &tickClock{prog: p}
	first, err := c.now()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for wait := 60 * time.Millisecond; ; wait *= 2 {
		time.Sleep(wait)
		last, err := c.now()
		if err != nil {
			return 0, err
		}
		if hz, ok := nearest(int(last-first), time.Since(begin)); ok || wait > time.Second {
			return hz, nil
		}
	}
})

// nearest gives the frequency that jiffies in d come closest to; ok is false when
// one jiffy more or less would speak for another.
func nearest(jiffies int, d time.Duration) (hz int, ok bool) {
	best, second := -1.0, -1.0
	for _, f := range frequencies {
		off := float64(jiffies) - float64(f)*d.Seconds()
		if off < 0 {
			off = -off
		}
		switch {
		case best < 0 || off < best:
			best, second, hz = off, best, f
		case second < 0 || off < second:
			second = off
		}
	}
	return hz, best < 1.5 && second > 3
}

// newClock makes the clock for this kernel.
func newClock() (*tickClock, error) {
	hz, err := hertz()
	if err != nil {
		return nil, err
	}
	c := &tickClock{tick: time.Second / time.Duration(hz)}
	for c.tick < 60*time.Millisecond {
		c.shift++
		c.tick *= 2
	}
	c.prog, err = jiffies(c.shift)
	return c, err
}
