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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://xvip/connections", nil)
	if err != nil {
		return false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return false, errors.New(string(msg[:max(0, len(msg)-1)]))
	}
	ipvs = resp.Header.Get(HeaderIPVS) != ""
	for dec := json.NewDecoder(resp.Body); ; {
		var conn Connection
		switch err := dec.Decode(&conn); {
		case errors.Is(err, io.EOF):
			return ipvs, nil
		case err != nil:
			return ipvs, fmt.Errorf("read connections from the daemon: %w", err)
		}
		if !yield(conn) {
			return ipvs, nil
		}
	}
}
