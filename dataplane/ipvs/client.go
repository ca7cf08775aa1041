package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// client speaks IPVS over a transport, which it opens anew after an error of
// the socket. It is not safe for several goroutines.
type client struct {
	dial func() (transport, error)
	t    transport
}

func (c *client) open() (transport, error) {
	if c.t == nil {
		t, err := c.dial()
		if err != nil {
			return nil, err
		}
		c.t = t
	}
	return c.t, nil
}

func (c *client) close() error {
	if c.t == nil {
		return nil
	}
	err := c.t.close()
	c.t = nil
	return err
}

// spoilt gives up the socket unless the kernel itself refused the request.
// Then an answer could still be under way and be taken for the next one's.
func (c *client) spoilt(err error) error {
	if err != nil && !refused(err) {
		return errors.Join(err, c.close())
	}
	return err
}

func (c *client) dump(cmd command) ([][]byte, error) {
	t, err := c.open()
	if err != nil {
		return nil, err
	}
	out, err := t.dump(cmd)
	return out, c.spoilt(err)
}

func (c *client) get(cmd uint8) ([]byte, error) {
	t, err := c.open()
	if err != nil {
		return nil, err
	}
	out, err := t.get(command{cmd: cmd})
	return out, c.spoilt(err)
}

func (c *client) do(cs ...command) ([]error, error) {
	t, err := c.open()
	if err != nil {
		return nil, err
	}
	errs, err := t.do(cs)
	return errs, c.spoilt(err)
}

func (c *client) try(cs ...command) error {
	t, err := c.open()
	if err != nil {
		return err
	}
	refusal, err := t.try(cs)
	return errors.Join(refusal, c.spoilt(err))
}

// one carries out a single command.
func (c *client) one(cmd uint8, attrs func(*netlink.AttributeEncoder)) error {
	ae := netlink.NewAttributeEncoder()
	if attrs != nil {
		attrs(ae)
	}
	b, err := ae.Encode()
	if err != nil {
		return err
	}
	errs, err := c.do(command{cmd, b})
	return errors.Join(append(errs, err)...)
}

// inner gives the payload of the attribute typ of an answer.
func inner(b []byte, typ uint16) ([]byte, error) {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	for ad.Next() {
		if ad.Type() == typ {
			return ad.Bytes(), nil
		}
	}
	return nil, errors.Join(fmt.Errorf("decode answer: attribute %d is missing", typ), ad.Err())
}

// reading is a service as read, with its counters.
type reading struct {
	service
	counters dataplane.Counters
	dests    []destStatsRow
}

func (r reading) entry() entry {
	e := entry{service: r.service}
	for _, d := range r.dests {
		e.dests = append(e.dests, d.dest)
	}
	return e
}

// read dumps all services for which keep is true, with their real servers.
func (c *client) read(keep func(dataplane.Key) bool) ([]reading, error) {
	rs, err := c.readServices(keep)
	for i := range rs {
		if rs[i].dests, err = c.readDests(rs[i].key); err != nil {
			return nil, err
		}
	}
	return rs, err
}

// readServices dumps them without their real servers, which take a request for
// each service.
func (c *client) readServices(keep func(dataplane.Key) bool) ([]reading, error) {
	replies, err := c.dump(command{cmd: cmdGetService})
	if err != nil {
		return nil, fmt.Errorf("read services: %w", err)
	}
	var out []reading
	for _, b := range replies {
		b, err := inner(b, attrService)
		if err != nil {
			return nil, err
		}
		var r reading
		if r.service, r.counters, err = decodeService(b); err != nil {
			return nil, err
		}
		if keep(r.key) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (c *client) readDests(k dataplane.Key) ([]destStatsRow, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Nested(attrService, func(ae *netlink.AttributeEncoder) error { encodeKey(ae, k); return nil })
	b, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	replies, err := c.dump(command{cmdGetDest, b})
	if err != nil {
		return nil, fmt.Errorf("read real servers of %s: %w", k, err)
	}
	family := uint16(unix.AF_INET)
	if isSix(k) {
		family = unix.AF_INET6
	}
	out := make([]destStatsRow, 0, len(replies))
	for _, b := range replies {
		if b, err = inner(b, attrDest); err != nil {
			return nil, err
		}
		d, err := decodeDest(b, family)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// version gives the version of IPVS, such as 1.2.1.
func (c *client) version() (string, error) {
	b, err := c.get(cmdGetInfo)
	if err != nil {
		return "", fmt.Errorf("read the version: %w", err)
	}
	if b, err = inner(b, infoVersion); err != nil {
		return "", fmt.Errorf("read the version: %w", err)
	}
	if len(b) != 4 {
		return "", fmt.Errorf("read the version: %d octets", len(b))
	}
	v := binary.NativeEndian.Uint32(b)
	return fmt.Sprintf("%d.%d.%d", v>>16&0xff, v>>8&0xff, v&0xff), nil
}

func (c *client) flush() error {
	if err := c.one(cmdFlush, nil); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// timeouts reads the idle times of connections.
func (c *client) timeouts() (Timeouts, error) {
	var t Timeouts
	b, err := c.get(cmdGetConfig)
	if err != nil {
		return t, fmt.Errorf("read timeouts: %w", err)
	}
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return t, fmt.Errorf("read timeouts: %w", err)
	}
	for ad.Next() {
		switch ad.Type() {
		case attrTimeoutTCP:
			t.TCP = seconds(ad)
		case attrTimeoutTCPFin:
			t.TCPFin = seconds(ad)
		case attrTimeoutUDP:
			t.UDP = seconds(ad)
		}
	}
	return t, ad.Err()
}

func seconds(ad *netlink.AttributeDecoder) time.Duration {
	return time.Duration(ad.Uint32()) * time.Second
}

// setTimeouts sets all three; the kernel leaves alone what is zero.
func (c *client) setTimeouts(t Timeouts) error {
	err := c.one(cmdSetConfig, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(attrTimeoutTCP, uint32(t.TCP/time.Second))
		ae.Uint32(attrTimeoutTCPFin, uint32(t.TCPFin/time.Second))
		ae.Uint32(attrTimeoutUDP, uint32(t.UDP/time.Second))
	})
	if err != nil {
		return fmt.Errorf("set timeouts %s: %w", t, err)
	}
	return nil
}

// daemons reads the sync daemons that run: at most one of each role.
func (c *client) daemons() ([]SyncDaemon, error) {
	replies, err := c.dump(command{cmd: cmdGetDaemon})
	if err != nil {
		return nil, fmt.Errorf("read sync daemons: %w", err)
	}
	var out []SyncDaemon
	for _, b := range replies {
		if b, err = inner(b, attrDaemon); err != nil {
			return nil, err
		}
		d, err := decodeDaemon(b)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// daemon starts (cmdNewDaemon) or stops (cmdDelDaemon) a sync daemon.
func (c *client) daemon(cmd uint8, d SyncDaemon) error {
	return c.one(cmd, func(ae *netlink.AttributeEncoder) { ae.Nested(attrDaemon, encodeDaemon(d)) })
}
