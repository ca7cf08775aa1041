package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Frame is a captured Ethernet frame.
type Frame struct {
	At   time.Time
	Data []byte // from the destination address on
}

// Sniffer captures frames that a predicate accepts.
type Sniffer struct {
	conn *packet.Conn
	keep func([]byte) bool
	done chan struct{}

	mu     sync.Mutex
	frames []Frame
	more   chan struct{} // closed and replaced with each frame
}

// Sniff captures on a link of the host, both directions. Frames that an XDP
// program there takes do not get this far: see SniffWire.
func (h *Host) Sniff(dev string, keep func(frame []byte) bool) (*Sniffer, error) {
	return h.sniff(h.ns, dev, keep)
}

// SniffWire captures at the switch's end of the host's cable: all that the
// host sends and gets, whatever XDP does with it.
func (h *Host) SniffWire(keep func(frame []byte) bool) (*Sniffer, error) {
	return h.sniff(h.lab.sw.namespace, h.port, keep)
}

func (h *Host) sniff(ns *namespace, dev string, keep func([]byte) bool) (*Sniffer, error) {
	s := &Sniffer{keep: keep, done: make(chan struct{}), more: make(chan struct{})}
	err := ns.do(func() error {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		if s.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil); err != nil {
			return err
		}
		return s.conn.SetPromiscuous(true)
	})
	if err != nil {
		if s.conn != nil {
			s.conn.Close()
		}
		return nil, fmt.Errorf("capture on %q of %q: %w", dev, ns.name, err)
	}
	go s.run()
	h.atClose(func() { s.conn.Close() })
	return s, nil
}

func (s *Sniffer) run() {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // the link was set down; it may come back
		}
		if err != nil {
			return
		}
		if !s.keep(buf[:n]) {
			continue
		}
		s.mu.Lock()
		s.frames = append(s.frames, Frame{At: time.Now(), Data: slices.Clone(buf[:n])})
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// Frames gives what was captured so far.
func (s *Sniffer) Frames() []Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.frames)
}

// Wait returns when n frames have been captured, or with ctx's error.
func (s *Sniffer) Wait(ctx context.Context, n int) ([]Frame, error) {
	for {
		s.mu.Lock()
		frames, more := slices.Clone(s.frames), s.more
		s.mu.Unlock()
		if len(frames) >= n {
			return frames, nil
		}
		select {
		case <-more:
		case <-s.done:
			return frames, fmt.Errorf("wait for %d frames: capture ended with %d", n, len(frames))
		case <-ctx.Done():
			return frames, fmt.Errorf("wait for %d frames: have %d: %w", n, len(frames), context.Cause(ctx))
		}
	}
}

// Close ends the capture.
func (s *Sniffer) Close() error {
	err := s.conn.Close()
	<-s.done
	return err
}
