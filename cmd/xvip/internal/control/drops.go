package control

import (
	"context"
	"fmt"
	"net/url"
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
// An empty reason is every one.
func (c *Client) Drops(ctx context.Context, aSecond int, reason string, yield func(Drop) bool) error {
	_, err := stream(ctx, c, fmt.Sprintf("drops?rate=%d&reason=%s", aSecond, url.QueryEscape(reason)), yield)
	return err
}
