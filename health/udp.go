package health

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"
)

// UDPConfig is a UDP_CHECK.
type UDPConfig struct {
	Connect      Connect
	Payload      []byte // what to send; nil sends 16 random octets
	RequireReply bool
	Reply        []byte // octets wanted at the start of the reply; nil takes any
	ReplyMask    []byte // bits of Reply that are compared; nil compares all
	// MinReply and MaxReply bound the length of a required reply, in octets.
	// MaxReply 0 means DefaultMaxReply.
	MinReply, MaxReply int
}

// DefaultMaxReply is the length of the longest reply that UDP_CHECK accepts.
const DefaultMaxReply = 255

// UDP is UDP_CHECK: a datagram that no ICMP error answers, or that gets the
// reply asked for. Silence passes unless a reply is required.
type UDP struct{ config UDPConfig }

// NewUDP returns a UDP_CHECK.
func NewUDP(c UDPConfig) (*UDP, error) {
	if c.ReplyMask != nil && len(c.ReplyMask) != len(c.Reply) {
		return nil, errors.New("reply and its mask differ in length")
	}
	if c.MaxReply == 0 {
		c.MaxReply = DefaultMaxReply
	}
	if c.MinReply > c.MaxReply {
		return nil, fmt.Errorf("min_reply_length %d is more than max_reply_length %d", c.MinReply, c.MaxReply)
	}
	return &UDP{c}, nil
}

// Check sends one datagram and waits for what comes back.
func (u *UDP) Check(ctx context.Context) Result {
	conn, err := u.config.Connect.dial(ctx, "udp")
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	payload := u.config.Payload
	if payload == nil {
		payload = make([]byte, 16)
		rand.Read(payload) // never fails
	}
	if _, err := conn.Write(payload); err != nil {
		return failure(err)
	}
	conn.SetReadDeadline(time.Now().Add(u.config.Connect.timeout()))
	buffer := make([]byte, u.config.MaxReply+1)
	n, err := conn.Read(buffer)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !u.config.RequireReply:
		return Result{OK: true, Reason: "no error came back"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Result{Reason: "timed out: no reply"}
	case err != nil:
		return failure(err)
	}
	return u.judge(buffer[:n])
}

// judge decides on a reply. Octets are compared as far as both are long.
func (u *UDP) judge(reply []byte) Result {
	c := &u.config
	if !c.RequireReply {
		return Result{OK: true, Reason: "reply"}
	}
	if len(reply) > c.MaxReply {
		return Result{Reason: fmt.Sprintf("reply is longer than %d octets", c.MaxReply)}
	}
	if len(reply) < c.MinReply {
		return Result{Reason: fmt.Sprintf("reply of %d octets, want %d or more", len(reply), c.MinReply)}
	}
	for i := range min(len(reply), len(c.Reply)) {
		mask := byte(0xff)
		if c.ReplyMask != nil {
			mask = c.ReplyMask[i]
		}
		if (reply[i]^c.Reply[i])&mask != 0 {
			return Result{Reason: fmt.Sprintf("reply differs at octet %d: %#02x", i, reply[i])}
		}
	}
	return Result{OK: true, Reason: "reply as wanted"}
}

// Limit is the connect timeout, with room for the verdict on silence.
func (u *UDP) Limit() time.Duration { return u.config.Connect.timeout() + time.Second }

func (u *UDP) String() string { return "UDP_CHECK " + u.config.Connect.Addr.String() }
