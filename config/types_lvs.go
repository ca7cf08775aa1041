package config

import (
	"net/netip"
	"time"
)

// LVSMethod is a forwarding method with the options of a tunnel.
type LVSMethod struct {
	Kind       string // "NAT", "DR" or "TUN"
	TunnelType string // TUN: "ipip", "gue" or "gre"
	TunnelPort uint16 // gue: UDP port
	Checksum   string // gue, gre: "nocsum", "csum" or "remcsum"; empty with ipip
}

// VirtualServer is a virtual_server. Exactly one of Address, FWMark and Group
// names it.
type VirtualServer struct {
	Pos     Pos
	Address netip.Addr
	Port    uint16 // 0: every port
	FWMark  uint32
	Group   string // name of a VirtualServerGroup
	Family  int    // 4 or 6, resolved; 0 when a fwmark or group does not tell

	Protocol  string // "TCP", "UDP" or "SCTP"; empty for FWMark and for groups of marks
	LVSSched  string // "rr", "wrr", ...
	LVSMethod LVSMethod
	Flag1     bool // scheduler flag 1; sh and mh: fallback
	Flag2     bool // scheduler flag 2; sh and mh: port
	Flag3     bool
	Hashed    bool
	OPS       bool // one packet scheduling

	PersistenceTimeout     time.Duration // 0: none
	PersistenceGranularity uint8         // prefix length; 32 or 128 when not given
	PersistenceEngine      string        // "" or "sip"

	DelayLoop        time.Duration
	ConnectTimeout   time.Duration
	Retry            int           // -1: the checker type's own default
	DelayBeforeRetry time.Duration // -1: the checker type's own default
	Warmup           time.Duration // -1: DelayLoop
	InhibitOnFailure bool
	Alpha            bool
	Omega            bool
	Weight           int // default of the real servers
	Quorum           int
	Hysteresis       int
	QuorumUp         *Script
	QuorumDown       *Script
	HASuspend        bool
	SMTPAlert        bool
	VirtualHost      string
	SNMPName         string

	SorryServer        *SorryServer // nil: none
	SorryServerInhibit bool

	RealServers []*RealServer
}

// SorryServer takes over when the quorum is lost.
type SorryServer struct {
	Pos       Pos
	Address   netip.Addr
	Port      uint16
	LVSMethod LVSMethod
}

// RealServer is a real_server.
type RealServer struct {
	Pos              Pos
	Address          netip.Addr
	Port             uint16
	Weight           int
	LVSMethod        LVSMethod
	UThreshold       int
	LThreshold       int
	InhibitOnFailure bool
	NotifyUp         *Script
	NotifyDown       *Script
	Alpha            bool
	Retry            int           // -1: the checker type's own default
	DelayBeforeRetry time.Duration // -1: the checker type's own default
	Warmup           time.Duration // -1: DelayLoop
	ConnectTimeout   time.Duration
	DelayLoop        time.Duration
	SMTPAlert        bool
	VirtualHost      string
	SNMPName         string
	Checkers         []*Checker
}

// Checker types are the keywords that open a checker block.
const (
	HTTPGet   = "HTTP_GET"
	SSLGet    = "SSL_GET"
	TCPCheck  = "TCP_CHECK"
	SMTPCheck = "SMTP_CHECK"
	DNSCheck  = "DNS_CHECK"
	MiscCheck = "MISC_CHECK"
	BFDCheck  = "BFD_CHECK"
	UDPCheck  = "UDP_CHECK"
	PingCheck = "PING_CHECK"
	FileCheck = "FILE_CHECK"
)

// Checker is one checker block of a real server: what every type has, and for
// the types that have more, exactly one of the pointers.
type Checker struct {
	Pos  Pos
	Type string // HTTPGet, TCPCheck, ...

	ConnectOptions                 // zero for MiscCheck, BFDCheck and FileCheck
	Retry            int           // further tries after a failure, resolved by type
	DelayBeforeRetry time.Duration // resolved by type
	Warmup           time.Duration // resolved: DelayLoop when not given
	DelayLoop        time.Duration
	Alpha            bool
	LogAllFailures   bool

	HTTP *HTTPGetOptions // HTTPGet, SSLGet
	SMTP *SMTPOptions
	DNS  *DNSOptions
	Misc *MiscOptions
	BFD  string // name of a BFDInstance
	UDP  *UDPOptions
	File *Track // name of a TrackFile with its weight
}

// ConnectOptions say where a probe goes and from where. ConnectIP and
// ConnectPort are resolved to the real server's.
type ConnectOptions struct {
	ConnectIP      netip.Addr
	ConnectPort    uint16
	BindTo         netip.Addr // invalid: not bound
	BindPort       uint16     // 0: any
	BindIf         string
	ConnectTimeout time.Duration
	FWMark         uint32
}

// HTTPGetOptions belong to HTTP_GET and SSL_GET.
type HTTPGetOptions struct {
	HTTPProtocol string // "1.0", "1.0C" or "1.1"
	VirtualHost  string // resolved; empty: the target address
	EnableSNI    bool
	SNIName      string
	FastRecovery bool
	TLSCompliant bool
	URLs         []URL
}

// URL is a url block.
type URL struct {
	Pos            Pos
	Path           string
	Digest         string        // 32 hexadecimal digits in lower case; empty: none
	StatusCode     []StatusRange // resolved: 200-299 when not given
	VirtualHost    string        // resolved
	Regex          string        // PCRE2; empty: none
	RegexNoMatch   bool
	RegexOptions   []string
	RegexMinOffset int
	RegexMaxOffset int // 0: no end
	RegexStack     [2]int
	TLSCompliant   bool
}

// StatusRange is an inclusive range of HTTP status codes.
type StatusRange struct{ From, To int }

// SMTPOptions belong to SMTP_CHECK.
type SMTPOptions struct {
	HeloName string
	Hosts    []ConnectOptions // deprecated host blocks, resolved; empty: the checker's own
}

// DNSOptions belong to DNS_CHECK.
type DNSOptions struct {
	Type string
	Name string
}

// MiscOptions belong to MISC_CHECK.
type MiscOptions struct {
	Script  Script
	Timeout time.Duration // resolved: DelayLoop when not given
	Dynamic bool
}

// UDPOptions belong to UDP_CHECK.
type UDPOptions struct {
	Payload        []byte // nil: a random one
	RequireReply   bool
	Reply          []byte // expected octets; nil: any
	ReplyMask      []byte // 1 bits are compared; as long as Reply
	MinReplyLength int
	MaxReplyLength int
}

// VirtualServerGroup is a virtual_server_group.
type VirtualServerGroup struct {
	Pos       Pos
	Name      string
	Addresses []AddressRange
	FWMarks   []GroupFWMark
}

// AddressRange is a run of addresses from First to Last, both included, each
// with the same port.
type AddressRange struct {
	Pos   Pos
	First netip.Addr
	Last  netip.Addr
	Port  uint16 // 0: every port
}

// GroupFWMark is a fwmark line of a group.
type GroupFWMark struct {
	Pos    Pos
	Mark   uint32
	Family int // 4 or 6; 0: not told
}

// SSL is the SSL block: what SSL_GET presents to servers.
type SSL struct {
	Pos         Pos
	Password    string
	CA          string
	Certificate string
	Key         string
}
