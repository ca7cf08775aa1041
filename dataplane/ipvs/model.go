package ipvs

import (
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"github.com/xvip-lb/xvip/dataplane"
)

// service is a virtual service as the kernel holds it. It is comparable; what
// the kernel ignores is zero, so that equal services compare equal.
type service struct {
	key     dataplane.Key
	sched   string
	flags   uint32 // IP_VS_SVC_F_*, only those of flagsOurs
	timeout uint32 // seconds; 0 without flagPersistent
	bits    uint8  // prefix length of the client network; 0 without flagPersistent
	pe      string // persistence engine
}

// dest is a real server as the kernel holds it, comparable likewise.
type dest struct {
	addr         netip.Addr
	port         uint16
	method       dataplane.Method
	weight       uint32
	upper, lower uint32
	tunnel       dataplane.Tunnel // zero unless the method is TUN
}

func (d dest) key() dataplane.RealKey { return dataplane.RealKey{Address: d.addr, Port: d.port} }

// entry is a service with its real servers, in the order in which they are to
// be made or were read.
type entry struct {
	service
	dests []dest
}

// toEntry says what the kernel should hold for s.
func toEntry(s dataplane.VirtualService) entry {
	e := entry{service: service{key: s.Key, sched: string(s.Scheduler)}}
	if s.Persistence > 0 {
		e.flags |= flagPersistent
		e.timeout = uint32(s.Persistence / time.Second)
		e.bits = s.PersistenceBits
		if e.bits == 0 || int(e.bits) > familyBits(s.Key) {
			e.bits = uint8(familyBits(s.Key))
		}
		if s.PersistenceSIP {
			e.pe = "sip"
		}
	}
	if s.OnePacket {
		e.flags |= flagOnePacket
	}
	e.flags |= uint32(s.Flags&(dataplane.SchedFlag1|dataplane.SchedFlag2|dataplane.SchedFlag3)) << bits.TrailingZeros32(flagSched1)
	for _, r := range s.RealServers {
		d := dest{addr: r.Address.Unmap(), port: heldPort(s.Key, r), method: r.Method, weight: r.Weight, upper: r.UpperThreshold, lower: r.LowerThreshold}
		if r.Method == dataplane.TUN {
			d.tunnel = r.Tunnel
		}
		e.dests = append(e.dests, d)
	}
	return e
}

// heldPort is the port that a real server has in the kernel. DR and TUN do not
// change a packet's port, so it is the service's there, as with keepalived.
func heldPort(k dataplane.Key, r dataplane.RealServer) uint16 {
	if r.Method == dataplane.DR || r.Method == dataplane.TUN {
		return k.Port
	}
	return r.Port
}

// virtualService is the reverse of toEntry.
func (e entry) virtualService() dataplane.VirtualService {
	s := dataplane.VirtualService{
		Key: e.key, Scheduler: dataplane.Scheduler(e.sched), OnePacket: e.flags&flagOnePacket != 0, Active: true,
		Flags: dataplane.SchedulerFlags(e.flags >> bits.TrailingZeros32(flagSched1) & 7),
	}
	if e.flags&flagPersistent != 0 {
		s.Persistence = time.Duration(e.timeout) * time.Second
		s.PersistenceBits, s.PersistenceSIP = e.bits, e.pe == "sip"
	}
	for _, d := range e.dests {
		s.RealServers = append(s.RealServers, dataplane.RealServer{
			Address: d.addr, Port: d.port, Method: d.method, Tunnel: d.tunnel, Weight: d.weight,
			UpperThreshold: d.upper, LowerThreshold: d.lower,
		})
	}
	return s
}

// familyBits is the length of the addresses of a service.
func familyBits(k dataplane.Key) int {
	if isSix(k) {
		return 128
	}
	return 32
}

func isSix(k dataplane.Key) bool {
	if k.FWMark != 0 {
		return k.Family == 6
	}
	return k.Address.Is6() && !k.Address.Is4In6()
}

// normalKey gives the form in which a key is read back.
func normalKey(k dataplane.Key) dataplane.Key {
	if k.FWMark != 0 {
		f := k.Family
		if f != 6 {
			f = 4
		}
		return dataplane.Key{FWMark: k.FWMark, Family: f}
	}
	return dataplane.Key{Address: k.Address.Unmap().WithZone(""), Port: k.Port, Protocol: k.Protocol}
}

// Counters and connections of one destination, as read.
type destStatsRow struct {
	dest
	dataplane.RealStats
}

// Timeouts are the idle times after which IPVS forgets a connection, whole
// seconds; 0 leaves one as it is.
type Timeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// String gives the values in the order of ipvsadm --set.
func (t Timeouts) String() string {
	return fmt.Sprintf("tcp %v tcpfin %v udp %v", t.TCP, t.TCPFin, t.UDP)
}

// SyncDaemon is the kernel's thread that sends (Master) or takes over the
// connections of another director. Zero values of MaxLen, Port, TTL and Group
// leave the choice to the kernel.
type SyncDaemon struct {
	Master    bool // else backup
	Interface string
	ID        uint8
	MaxLen    uint16 // octets of UDP payload
	Port      uint16
	TTL       uint8
	Group     netip.Addr
}

// covers says that have is what want asks for.
func (want SyncDaemon) covers(have SyncDaemon) bool {
	return want.Master == have.Master && want.Interface == have.Interface && want.ID == have.ID &&
		(want.MaxLen == 0 || want.MaxLen == have.MaxLen) && (want.Port == 0 || want.Port == have.Port) &&
		(want.TTL == 0 || want.TTL == have.TTL) && (!want.Group.IsValid() || want.Group == have.Group)
}
