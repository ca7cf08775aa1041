package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// kernel is IPVS in memory behind the transport: it decodes the requests, keeps
// tables, and refuses what ip_vs_ctl.c refuses.
type kernel struct {
	services []entry
	daemons  []SyncDaemon
	timeouts Timeouts
	lacks    string // a scheduler it has not
	counters dataplane.Counters
	log      []string // commands that changed something, or tried to
	cut      error    // the next command dies with this error of the socket
	dials    int
	dumps    int
}

func newKernel() *kernel {
	return &kernel{timeouts: Timeouts{TCP: 900e9, TCPFin: 120e9, UDP: 300e9}}
}

func (k *kernel) dial() (transport, error) { k.dials++; return k, nil }
func (k *kernel) close() error             { return nil }

func (k *kernel) broken() error {
	err := k.cut
	k.cut = nil
	return err
}

func encode(f func(*netlink.AttributeEncoder)) []byte {
	ae := netlink.NewAttributeEncoder()
	f(ae)
	b, err := ae.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func (k *kernel) stats(typ uint16, ae *netlink.AttributeEncoder) {
	ae.Nested(typ, func(ae *netlink.AttributeEncoder) error {
		ae.Uint64(statsConnections, k.counters.Connections)
		ae.Uint64(statsPacketsIn, k.counters.PacketsIn)
		ae.Uint64(statsPacketsOut, k.counters.PacketsOut)
		ae.Uint64(statsBytesIn, k.counters.BytesIn)
		ae.Uint64(statsBytesOut, k.counters.BytesOut)
		return nil
	})
}

func (k *kernel) dump(c command) ([][]byte, error) {
	if err := k.broken(); err != nil {
		return nil, err
	}
	k.dumps++
	var out [][]byte
	switch c.cmd {
	case cmdGetService:
		for _, e := range k.services {
			out = append(out, encode(func(ae *netlink.AttributeEncoder) {
				ae.Nested(attrService, func(ae *netlink.AttributeEncoder) error {
					k.stats(svcStats64, ae)
					return encodeService(e.service)(ae)
				})
			}))
		}
	case cmdGetDest:
		i := k.find(mustKey(c.attrs))
		if i < 0 {
			return nil, nil
		}
		for _, d := range k.services[i].dests {
			out = append(out, encode(func(ae *netlink.AttributeEncoder) {
				ae.Nested(attrDest, func(ae *netlink.AttributeEncoder) error {
					k.stats(destStats64, ae)
					ae.Uint32(destActive, 3)
					ae.Uint32(destInactive, 4)
					return encodeDest(d, false)(ae)
				})
			}))
		}
	case cmdGetDaemon:
		for _, d := range k.daemons {
			out = append(out, encode(func(ae *netlink.AttributeEncoder) { ae.Nested(attrDaemon, encodeDaemon(d)) }))
		}
	}
	return out, nil
}

func (k *kernel) get(c command) ([]byte, error) {
	if err := k.broken(); err != nil {
		return nil, err
	}
	return encode(func(ae *netlink.AttributeEncoder) {
		if c.cmd == cmdGetInfo {
			ae.Uint32(infoVersion, 0x010201)
			return
		}
		ae.Uint32(attrTimeoutTCP, uint32(k.timeouts.TCP/1e9))
		ae.Uint32(attrTimeoutTCPFin, uint32(k.timeouts.TCPFin/1e9))
		ae.Uint32(attrTimeoutUDP, uint32(k.timeouts.UDP/1e9))
	}), nil
}

func (k *kernel) do(cs []command) ([]error, error) {
	var errs []error
	for _, c := range cs {
		if err := k.broken(); err != nil {
			return errs, err
		}
		err := k.one(c)
		if err != nil {
			err = &netlink.OpError{Op: "receive", Err: err}
		}
		errs = append(errs, err)
	}
	return errs, nil
}

func (k *kernel) try(cs []command) (refusal, err error) {
	errs, err := k.do(cs)
	for _, e := range errs {
		if refusal == nil {
			refusal = e
		}
	}
	return refusal, err
}

// mustKey decodes the service of a request that names one.
func mustKey(attrs []byte) dataplane.Key {
	b, err := inner(attrs, attrService)
	if err != nil {
		panic(err)
	}
	s, _, err := decodeService(b)
	if err != nil {
		panic(err)
	}
	return s.key
}

func (k *kernel) find(key dataplane.Key) int {
	return slices.IndexFunc(k.services, func(e entry) bool { return e.key == key })
}

func (k *kernel) one(c command) error {
	switch c.cmd {
	case cmdFlush:
		k.log = append(k.log, "flush")
		k.services = nil
		return nil
	case cmdSetConfig:
		return k.config(c.attrs)
	case cmdNewDaemon, cmdDelDaemon:
		return k.daemon(c)
	}
	i := k.find(mustKey(c.attrs))
	switch {
	case c.cmd == cmdNewService && i >= 0:
		return unix.EEXIST
	case c.cmd != cmdNewService && i < 0:
		return unix.ESRCH
	case c.cmd == cmdDelService:
		k.log = append(k.log, "del "+k.services[i].key.String())
		k.services = slices.Delete(k.services, i, i+1)
		return nil
	case c.cmd == cmdNewService || c.cmd == cmdSetService:
		return k.service(c, i)
	}
	return k.dest(c, i)
}

func (k *kernel) service(c command, i int) error {
	b, _ := inner(c.attrs, attrService)
	s, _, _ := decodeService(b)
	if s.sched == k.lacks {
		return unix.ENOENT
	}
	if i < 0 {
		k.log = append(k.log, "add "+s.key.String())
		k.services = append(k.services, entry{service: s})
		return nil
	}
	k.log = append(k.log, "set "+s.key.String())
	k.services[i].service = s
	return nil
}

func (k *kernel) dest(c command, i int) error {
	b, err := inner(c.attrs, attrDest)
	if err != nil {
		return unix.EINVAL
	}
	e := &k.services[i]
	row, err := decodeDest(b, 0)
	if err != nil {
		return unix.EINVAL
	}
	d := row.dest
	j := slices.IndexFunc(e.dests, func(o dest) bool { return o.key() == d.key() })
	verb := map[uint8]string{cmdNewDest: "add", cmdSetDest: "set", cmdDelDest: "del"}[c.cmd]
	switch {
	case c.cmd == cmdNewDest && j >= 0:
		return unix.EEXIST
	case c.cmd != cmdNewDest && j < 0:
		return unix.ENOENT
	case d.lower > d.upper:
		return unix.EINVAL
	}
	k.log = append(k.log, fmt.Sprintf("%s %s>%s", verb, e.key, d.key()))
	switch c.cmd {
	case cmdNewDest:
		e.dests = append(e.dests, d)
	case cmdSetDest:
		e.dests[j] = d
	default:
		e.dests = slices.Delete(e.dests, j, j+1)
	}
	return nil
}

func (k *kernel) config(attrs []byte) error {
	ad, err := netlink.NewAttributeDecoder(attrs)
	if err != nil {
		return unix.EINVAL
	}
	for ad.Next() {
		v := seconds(ad)
		if v == 0 {
			continue
		}
		switch ad.Type() {
		case attrTimeoutTCP:
			k.timeouts.TCP = v
		case attrTimeoutTCPFin:
			k.timeouts.TCPFin = v
		case attrTimeoutUDP:
			k.timeouts.UDP = v
		}
	}
	k.log = append(k.log, "timeouts "+k.timeouts.String())
	return nil
}

func (k *kernel) daemon(c command) error {
	b, err := inner(c.attrs, attrDaemon)
	if err != nil {
		return unix.EINVAL
	}
	d, err := decodeDaemon(b)
	if err != nil {
		return unix.EINVAL
	}
	i := slices.IndexFunc(k.daemons, func(o SyncDaemon) bool { return o.Master == d.Master })
	switch {
	case c.cmd == cmdNewDaemon && i >= 0:
		return unix.EEXIST
	case c.cmd == cmdDelDaemon && i < 0:
		return unix.ESRCH
	case c.cmd == cmdNewDaemon:
		k.log = append(k.log, "start "+d.String())
		if d.MaxLen == 0 {
			d.MaxLen = 1444
		}
		k.daemons = append(k.daemons, d)
	default:
		k.log = append(k.log, "stop "+d.String())
		k.daemons = slices.Delete(k.daemons, i, i+1)
	}
	return nil
}

// took gives the log and empties it.
func (k *kernel) took() []string {
	l := k.log
	k.log = nil
	return l
}

var errSocket = errors.New("socket died")

func big16(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
