package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
)

// Connection is one line of `xvip conns --json`. Fields may be added, never
// renamed.
type Connection struct {
	Protocol    string         `json:"protocol"`
	Client      netip.AddrPort `json:"client"`
	Service     netip.AddrPort `json:"service"` // with the port that the client named
	Real        netip.AddrPort `json:"real"`    // port 0: the client's choice stays
	State       string         `json:"state"`
	Active      bool           `json:"active"`
	IdleSeconds float64        `json:"idle_seconds"`
}

// HeaderIPVS is set in the answer when IPVS has connections of its own.
const HeaderIPVS = "Xvip-Ipvs"

// Connections streams those of the XDP engine to yield until it says false;
// ipvs says that IPVS carries services too, whose connections are not among them.
func (c *Client) Connections(ctx context.Context, yield func(Connection) bool) (ipvs bool, err error) {
	header, err := stream(ctx, c, "connections", yield)
	return header.Get(HeaderIPVS) != "", err
}

// stream reads JSON values, one after the other, until yield says false.
func stream[T any](ctx context.Context, c *Client, name string, yield func(T) bool) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://xvip/"+name, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, errors.New(string(msg[:max(0, len(msg)-1)]))
	}
	for dec := json.NewDecoder(resp.Body); ; {
		var v T
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return resp.Header, nil
		case err != nil:
			return resp.Header, fmt.Errorf("read %s from the daemon: %w", name, err)
		}
		if !yield(v) {
			return resp.Header, nil
		}
	}
}
