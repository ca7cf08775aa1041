package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Pinger is a probe by ICMP echo.
type Pinger struct {
	*Probe
	conn *icmp.PacketConn

	mu      sync.Mutex
	waiting map[int]chan struct{} // by sequence number
}

// pingID tells the pingers of this process apart.
var pingID atomic.Uint32

// Ping sends an echo request to dst every so often. The server of a good
// sample is dst's text.
func (h *Host) Ping(dst netip.Addr, every, timeout time.Duration) (*Pinger, error) {
	network, any := "ip4:icmp", "0.0.0.0"
	if dst.Is6() {
		network, any = "ip6:ipv6-icmp", "::"
	}
	p := &Pinger{waiting: map[int]chan struct{}{}}
	err := h.Do(func() (err error) {
		p.conn, err = icmp.ListenPacket(network, any)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open ICMP on host %q: %w", h.name, err)
	}
	id := (os.Getpid() + int(pingID.Add(1))) & 0xffff
	go p.receive(dst, id)
	var seq atomic.Uint32
	p.Probe = startProbe(every, timeout, func(ctx context.Context) (string, error) {
		return dst.String(), p.ask(ctx, dst, id, int(seq.Add(1)&0xffff))
	})
	h.atClose(func() {
		p.stop()
		p.conn.Close()
	})
	return p, nil
}

// Stop ends the probe as Probe.Stop does.
func (p *Pinger) Stop() Report {
	r := p.Probe.Stop()
	p.conn.Close()
	return r
}

func (p *Pinger) ask(ctx context.Context, dst netip.Addr, id, seq int) error {
	answered := make(chan struct{}, 1)
	p.mu.Lock()
	p.waiting[seq] = answered
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, seq)
		p.mu.Unlock()
	}()
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq}}
	if dst.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := p.conn.WriteTo(b, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pinger) receive(dst netip.Addr, id int) {
	proto, reply := 1, icmp.Type(ipv4.ICMPTypeEchoReply)
	if dst.Is6() {
		proto, reply = 58, ipv6.ICMPTypeEchoReply
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || from.String() != dst.String() {
			continue
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
			p.answered(e.Seq)
		}
	}
}

func (p *Pinger) answered(seq int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.waiting[seq]; c != nil {
		select {
		case c <- struct{}{}:
		default: // a second answer
		}
	}
}
