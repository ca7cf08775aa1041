package health

import (
	"context"
	"time"
)

// TCP is TCP_CHECK: the server passes when it accepts a connection.
type TCP struct{ connect Connect }

// NewTCP returns a TCP_CHECK.
func NewTCP(c Connect) *TCP { return &TCP{connect: c} }

// Check connects and closes.
func (t *TCP) Check(ctx context.Context) Result {
	conn, err := t.connect.dial(ctx, "tcp")
	if err != nil {
		return failure(err)
	}
	conn.Close()
	return Result{OK: true, Reason: "connected"}
}

// Limit is the connect timeout.
func (t *TCP) Limit() time.Duration { return t.connect.timeout() }

func (t *TCP) String() string { return "TCP_CHECK " + t.connect.Addr.String() }
