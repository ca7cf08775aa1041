// Package dataplane holds the nouns of forwarding and the contract of a kernel
// engine: virtual services, real servers, what an engine can carry, what it
// counted. It decides which engine carries a service; it touches no kernel.
package dataplane

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Protocol is an IP protocol number (IANA assigned internet protocol numbers).
type Protocol uint8

// The transport protocols a virtual service can have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String gives the lower-case name used in files, status and metrics.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

// Method is a forwarding method: how a packet reaches the real server.
type Method uint8

// Forwarding methods. Local means that the real server is this host: the
// packet goes up its own stack unchanged (IPVS calls it localnode).
const (
	NAT Method = iota
	DR
	TUN
	Local
)

// String gives the word keepalived uses after lvs_method.
func (m Method) String() string {
	switch m {
	case NAT:
		return "NAT"
	case DR:
		return "DR"
	case TUN:
		return "TUN"
	case Local:
		return "LOCAL"
	}
	return fmt.Sprintf("method-%d", uint8(m))
}

// Scheduler is the rule that picks a real server for a new connection, by its
// IPVS name: rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, fo, ovf, sed, nq, twos.
type Scheduler string

// SchedulerFlags are the three scheduler flags of IPVS (IP_VS_SVC_F_SCHED1..3
// in include/uapi/linux/ip_vs.h); for sh and mh, flag 1 is fallback and flag 2
// is port.
type SchedulerFlags uint8

// Scheduler flags.
const (
	SchedFlag1 SchedulerFlags = 1 << iota
	SchedFlag2
	SchedFlag3
)

// Family is 4 or 6.
type Family uint8

// Key identifies a virtual service. Either Address is valid, or FWMark is not
// zero and Family says which packets it covers. It is comparable.
type Key struct {
	Address  netip.Addr
	Port     uint16 // host order; 0 is every port
	Protocol Protocol
	FWMark   uint32
	Family   Family // only with FWMark
}

// AddrPort gives the address and port of a service that has them.
func (k Key) AddrPort() netip.AddrPort { return netip.AddrPortFrom(k.Address, k.Port) }

// String gives address:port/protocol, or fwmark:N.
func (k Key) String() string {
	if k.FWMark != 0 {
		return fmt.Sprintf("fwmark:%d/inet%d", k.FWMark, k.Family)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(k.Address, k.Port), k.Protocol)
}

// TunnelType is the encapsulation of the TUN method.
type TunnelType uint8

// Tunnel types, numbered as IP_VS_CONN_F_TUNNEL_TYPE_* (include/uapi/linux/ip_vs.h).
const (
	IPIP TunnelType = iota
	GUE
	GRE
)

// TunnelChecksum says what to do with the outer checksum of GUE and GRE.
type TunnelChecksum uint8

// Outer checksum settings (IP_VS_TUNNEL_ENCAP_FLAG_*).
const (
	NoChecksum TunnelChecksum = iota
	Checksum
	RemoteChecksum
)

// Tunnel holds the options of the TUN method; the zero value is plain IPIP.
type Tunnel struct {
	Type     TunnelType
	Port     uint16 // UDP port of GUE, host order
	Checksum TunnelChecksum
}

// RealServer is one backend of a virtual service.
type RealServer struct {
	Address        netip.Addr
	Port           uint16 // host order
	Method         Method
	Tunnel         Tunnel
	Weight         uint32 // 0 is quiesced: connections go on, none new
	UpperThreshold uint32 // connections; 0 is no limit
	LowerThreshold uint32
}

// RealKey identifies a real server inside its virtual service.
type RealKey struct {
	Address netip.Addr
	Port    uint16
}

// Key gives the identity of the real server inside its service.
func (r RealServer) Key() RealKey { return RealKey{r.Address, r.Port} }

// String gives address:port.
func (k RealKey) String() string { return netip.AddrPortFrom(k.Address, k.Port).String() }

// VirtualService is one service as it should be in the kernel. Real servers
// that are down are not listed; their order is the order of the configuration.
type VirtualService struct {
	Key
	Scheduler       Scheduler
	Flags           SchedulerFlags
	Persistence     time.Duration // 0 is none
	PersistenceBits uint8         // prefix length of the client network
	PersistenceSIP  bool          // persistence engine "sip"
	OnePacket       bool          // UDP: schedule every packet
	// NewConnections bounds the new connections a second; 0 is no bound. Only the
	// XDP engine keeps it.
	NewConnections uint32
	// Active is the ownership gate: false while the VIP belongs to a virtual
	// router that is not Master. An inactive service stays in the kernel, and
	// its packets go to the stack.
	Active      bool
	RealServers []RealServer
}

// Forwarder is a kernel engine. Apply makes the kernel hold exactly want; it
// may be called again after any error and does nothing when nothing differs.
type Forwarder interface {
	Apply(ctx context.Context, want []VirtualService) error
	// Services reads back what the kernel holds, also after a restart.
	Services(ctx context.Context) ([]VirtualService, error)
	Stats(ctx context.Context) (Stats, error)
	// Close lets go of the engine. What is pinned stays and forwards on.
	Close() error
}

// Engine is a Forwarder that says what it can carry.
type Engine interface {
	Forwarder
	// Name is "xdp" or "ipvs".
	Name() string
	// Supports gives nil, or the reason why it cannot carry the service.
	Supports(VirtualService) error
	// Withdraw removes everything this engine has in the kernel: a clean stop.
	Withdraw(ctx context.Context) error
	// Info tells the engine's state for status, logs and metrics.
	Info() EngineInfo
}

// EngineInfo is the state of an engine.
type EngineInfo struct {
	Name       string
	Available  bool
	Reason     string // why it is not available, or not at its best
	Mode       string // "native", "generic", "mixed"; empty when not attached
	Interfaces []InterfaceInfo
}

// InterfaceInfo is an interface an engine is attached to.
type InterfaceInfo struct {
	Name   string
	Mode   string // "native" or "generic"
	Reason string // why not native
}

// Counters count since the object was made, as IPVS does.
type Counters struct {
	Connections uint64
	PacketsIn   uint64
	BytesIn     uint64
	PacketsOut  uint64
	BytesOut    uint64
}

// RealStats are the counters of one real server in one service.
type RealStats struct {
	Counters
	Active   uint64 // connections in an established state
	Inactive uint64 // the others that are still remembered
	NextHop  string // "resolved", "unresolved", "local"; empty if not known
}

// ServiceStats are the counters of one service and its real servers.
type ServiceStats struct {
	Counters
	Refused     uint64 // new connections over the limit of the service
	RealServers map[RealKey]RealStats
}

// VerdictCount is how often the forwarding program left by one numbered exit.
type VerdictCount struct {
	Name    string
	Packets uint64
	Bytes   uint64
}

// MapFill is how full a kernel table is, in entries.
type MapFill struct {
	Name string
	Used uint64
	Size uint64
}

// Stats is one reading of an engine.
type Stats struct {
	Services map[Key]ServiceStats
	Verdicts []VerdictCount
	Maps     []MapFill
}

// ParseProtocol reads TCP, UDP or SCTP in any case.
func ParseProtocol(s string) (Protocol, error) {
	switch strings.ToUpper(s) {
	case "TCP":
		return TCP, nil
	case "UDP":
		return UDP, nil
	case "SCTP":
		return SCTP, nil
	}
	return 0, fmt.Errorf("parse protocol %q: want TCP, UDP or SCTP", s)
}
