package health

import (
	"cmp"
	"net/netip"
	"time"
)

// Connect says whom a probe talks to and from where: the connection options
// that all checkers share.
type Connect struct {
	Addr     netip.AddrPort // connect_ip (else the real server) and connect_port (else its port)
	BindAddr netip.Addr     // bindto; the zero Addr leaves the choice to the kernel
	BindPort uint16         // bind_port; 0 leaves the choice to the kernel
	BindIf   string         // bind_if; empty leaves the choice to the routes
	Mark     uint32         // fwmark of the probe's packets; 0 sets none
	Timeout  time.Duration  // connect_timeout, for each stage of a probe; 0 means DefaultConnectTimeout
}

func (c Connect) timeout() time.Duration { return cmp.Or(c.Timeout, DefaultConnectTimeout) }

// unzoned turns the zone of an address, as in fe80::1%eth0, into bind_if. Package
// net would look the zone up in a cache that outlives a recreated interface.
func (c Connect) unzoned() Connect {
	c.BindIf = cmp.Or(c.BindIf, c.Addr.Addr().Zone(), c.BindAddr.Zone())
	c.Addr = netip.AddrPortFrom(c.Addr.Addr().WithZone(""), c.Addr.Port())
	c.BindAddr = c.BindAddr.WithZone("")
	return c
}
