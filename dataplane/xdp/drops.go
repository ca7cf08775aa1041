package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// Drop is one packet that the program has dropped.
type Drop struct {
	Age       time.Duration // since it came
	Reason    string        // the counter's name
	Meaning   string        // for people
	Interface string
	Length    int    // octets of the frame
	Head      []byte // the first of them
	Text      string // what they hold
}

// DropReasons are the reasons that there are.
func DropReasons() []string {
	var out []string
	for _, name := range verdictNames {
		if strings.HasPrefix(name, "drop_") {
			out = append(out, name)
		}
	}
	return out
}

// ErrWatched says that somebody looks at dropped packets already.
var ErrWatched = errors.New("somebody looks at dropped packets already")

// Drops gives dropped packets as they come, at most so many a second of each
// reason, until yield says false or ctx ends. Nothing is kept while nobody looks;
// one at a time may.
func (e *Engine) Drops(ctx context.Context, aSecond int, yield func(Drop) bool) error {
	if aSecond < 1 {
		return fmt.Errorf("look at dropped packets: %d a second is below 1", aSecond)
	}
	if !e.watched.CompareAndSwap(false, true) {
		return ErrWatched
	}
	defer e.watched.Store(false)
	e.mu.Lock()
	r, turns, err := e.openSamples()
	e.mu.Unlock()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	defer r.Close()
	wanted := uint32(bpfVerdictVERDICTS)
	if err := turns.Put(wanted, bpfSampleTurn{Taken: uint32(aSecond)}); err != nil {
		return errors.Join(fmt.Errorf("begin to look at dropped packets: %w", err), turns.Close())
	}
	err = e.readSamples(r, yield)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, turns.Put(wanted, bpfSampleTurn{}), turns.Close())
}

// openSamples gives the reader, and the map that turns samples on and off; it
// outlives the engine.
func (e *Engine) openSamples() (*ringbuf.Reader, *ebpf.Map, error) {
	if e.closed {
		return nil, nil, errClosed
	}
	turns, err := e.objs.Sampling.Clone()
	if err != nil {
		return nil, nil, fmt.Errorf("look at dropped packets: %w", err)
	}
	r, err := ringbuf.NewReader(e.objs.Samples)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("look at dropped packets: %w", err), turns.Close())
	}
	return r, turns, nil
}

func (e *Engine) readSamples(r *ringbuf.Reader, yield func(Drop) bool) error {
	for {
		rec, err := r.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dropped packets: %w", err)
		}
		var s bpfSample
		if _, err := binary.Decode(rec.RawSample, binary.NativeEndian, &s); err != nil {
			return fmt.Errorf("read dropped packets: %w", err)
		}
		if !yield(dropOf(&s)) {
			return nil
		}
	}
}

func dropOf(s *bpfSample) Drop {
	d := Drop{Interface: fmt.Sprintf("interface %d", s.Ifindex), Length: int(s.Length), Head: s.Head[:min(int(s.Held), len(s.Head))], Reason: "unknown"}
	if v := bpfVerdict(s.Verdict); v < bpfVerdictVERDICTS {
		d.Reason, d.Meaning = verdictName(v), meanings[v]
	}
	if link, err := net.InterfaceByIndex(int(s.Ifindex)); err == nil {
		d.Interface = link.Name
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil { // the clock of bpf_ktime_get_ns
		d.Age = max(0, time.Duration(now.Nano())-time.Duration(s.Time))
	}
	d.Text = frameText(d.Head)
	return d
}
