package control

import (
	"context"
	"fmt"
	"time"
)

// Drop is one line of `xvip drops --json`. Fields may be added, never renamed.
type Drop struct {
	Time      time.Time `json:"time"`
	Reason    string    `json:"reason"` // name of the counter
	Meaning   string    `json:"meaning"`
	Interface string    `json:"interface"`
	Length    int       `json:"length"` // octets
	Packet    string    `json:"packet"`
	Head      []byte    `json:"head"` // first octets of the frame, base64
}

// Drops streams packets that the XDP engine drops to yield until it says false.
func (c *Client) Drops(ctx context.Context, aSecond int, yield func(Drop) bool) error {
	_, err := stream(ctx, c, fmt.Sprintf("drops?rate=%d", aSecond), yield)
	return err
}
