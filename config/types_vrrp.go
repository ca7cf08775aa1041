package config

import (
	"net/netip"
	"time"
)

// VRRPInstance is a vrrp_instance: one virtual router. Settings that default to
// a global one are resolved.
type VRRPInstance struct {
	Pos  Pos
	Name string

	State            string // "MASTER" or "BACKUP"; only a hint
	Interface        string // empty only with unicast peers
	VRF              string
	VirtualRouterID  uint8
	Family           int   // 4 or 6, of the advertisements
	Version          uint8 // 2 or 3, resolved
	Priority         uint8
	AdvertInt        time.Duration // version 2: rounded to whole seconds
	DownTimerAdverts int

	VirtualIPAddress         []VirtualIPAddress
	VirtualIPAddressExcluded []VirtualIPAddress
	NoVirtualIPAddress       bool
	VirtualRoutes            []VirtualRoute
	VirtualRules             []VirtualRule
	PromoteSecondaries       bool

	McastSrcIP         netip.Addr // source of multicast adverts; invalid: the interface's
	McastDstIP         netip.Addr // resolved group
	UnicastSrcIP       netip.Addr // source of unicast adverts; invalid: the interface's
	UnicastPeer        []UnicastPeer
	UnicastTTL         uint8
	UnicastFaultNoPeer bool
	CheckUnicastSrc    bool
	TrackSrcIP         bool
	OldUnicastChecksum string // "auto", "always" or "never"
	V3ChecksumAsV2     bool

	UseVMAC      *VMAC // nil: off; also set by use_ipvlan, see VMAC.IPVLAN
	UseVMACAddr  bool
	VMACXmitBase bool

	Preempt      bool // false with nopreempt; cleared nopreempt with state MASTER is true
	PreemptDelay time.Duration
	Accept       bool // false with no_accept, or in strict mode without accept
	Strict       bool

	SkipCheckAdvAddr     bool
	LowerPrioNoAdvert    bool
	HigherPrioSendAdvert bool
	OwnerIgnoreAdverts   bool
	TimerExpiredBackup   int // priority from which on a late process yields; 0: off

	GARPMasterDelay         time.Duration
	GARPMasterRepeat        int
	GARPMasterRefresh       time.Duration
	GARPMasterRefreshRepeat int
	GARPLowerPrioDelay      time.Duration
	GARPLowerPrioRepeat     int
	GARPExtraIf             time.Duration // 0: off
	GARPExtraIfAll          bool

	DontTrackPrimary   bool
	LinkbeatUsePolling bool
	TrackInterface     []Track
	TrackScript        []Track
	TrackFile          []Track
	TrackProcess       []Track
	TrackBFD           []Track

	Authentication Authentication
	AuthHMAC       *AuthHMAC // nil: none

	Notify                 VRRPNotify
	NotifyMasterRXLowerPri *Script
	NotifyDeleted          *Script
	NotifyDeletedState     bool // notify_deleted was given: report DELETED, not FAULT
	NotifyPriorityChanges  bool
	SMTPAlert              bool

	LVSSyncDaemonInterface string
	KernelRXBufSize        int // bytes; 0: by the global policy
	Debug                  int
}

// VRRPNotify is the set of scripts that a state change starts; nil is none.
type VRRPNotify struct {
	Master *Script
	Backup *Script
	Fault  *Script
	Stop   *Script
	Any    *Script // notify: every change, with four more arguments
}

// UnicastPeer is one line of unicast_peer. A TTL below MinTTL or above MaxTTL
// is refused; 0 and 255 when not given.
type UnicastPeer struct {
	Pos     Pos
	Address netip.Addr
	MinTTL  uint8
	MaxTTL  uint8
	HasTTL  bool // limits were given: they also turn on the source check
}

// VMAC is use_vmac or use_ipvlan.
type VMAC struct {
	Pos           Pos
	IPVLAN        bool
	Name          string       // resolved name of the new interface
	MAC           string       // 00:00:5e:00:01:VRID, or 02 for IPv6, when none was given; empty with IPVLAN
	Address       netip.Prefix // use_ipvlan: address of the link; invalid: none
	Mode          string       // use_ipvlan: "bridge", "private" or "vepa"
	Group         uint32       // interface group; HasGroup says that one was given
	HasGroup      bool
	NetlinkNotify bool
}

// Authentication is the authentication block. Type is "", "PASS" or "AH"; Pass
// has at most eight bytes.
type Authentication struct {
	Pos  Pos
	Type string
	Pass string
}

// AuthHMAC is the auth_hmac block of keepalived 2.4.
type AuthHMAC struct {
	Pos        Pos
	Keys       []HMACKey
	ActiveKey  uint8
	TimeWindow time.Duration
	AntiReplay string // "time" or "monotonic"
	Mode       string // "enforce", "permissive" or "receive-only"
}

// HMACKey is one key line of auth_hmac. Value holds the octets, or File names
// the file to read them from.
type HMACKey struct {
	Pos   Pos
	ID    uint8
	Value []byte
	File  string
}

// VRRPSyncGroup is a vrrp_sync_group.
type VRRPSyncGroup struct {
	Pos   Pos
	Name  string
	Group []string // names of existing instances, in order

	TrackInterface []Track
	TrackScript    []Track
	TrackFile      []Track
	TrackProcess   []Track
	TrackBFD       []Track

	Notify                  VRRPNotify
	NotifyPriorityChanges   bool
	SMTPAlert               bool
	GlobalTracking          bool
	SyncGroupTrackingWeight bool
}

// VRRPScript is a vrrp_script.
type VRRPScript struct {
	Pos      Pos
	Name     string
	Script   Script
	Interval time.Duration
	Timeout  time.Duration // resolved: Interval when not given
	Weight   int
	Reverse  bool
	Rise     int
	Fall     int
	InitFail bool
}

// TrackProcess is a vrrp_track_process.
type TrackProcess struct {
	Pos            Pos
	Name           string
	Process        string   // program name or path
	Params         []string // its arguments, when given
	ParamMatch     string   // "exact", "initial" or "partial"
	FullCommand    bool
	Weight         int
	Reverse        bool
	Quorum         int
	QuorumMax      int // -1: no limit
	ForkDelay      time.Duration
	TerminateDelay time.Duration
}

// TrackFile is a track_file or vrrp_track_file.
type TrackFile struct {
	Pos       Pos
	Name      string
	File      string
	Weight    int
	Reverse   bool
	InitFile  bool // create the file at start
	InitValue int
	Overwrite bool // also when it exists
}

// BFDInstance is a bfd_instance.
type BFDInstance struct {
	Pos        Pos
	Name       string
	NeighborIP netip.Addr
	SourceIP   netip.Addr // invalid: the kernel chooses
	MinRX      time.Duration
	MinTX      time.Duration
	IdleTX     time.Duration
	Multiplier uint8
	Passive    bool
	TTL        uint8 // of sent packets: ttl for IPv4, hoplimit for IPv6; 0: not given
	MaxHops    int   // how far the TTL may have fallen; -1: not checked
	Multihop   bool
	Weight     int
	Reverse    bool
	VRRP       bool // events go to VRRP
	Checker    bool // events go to checkers
}

// VirtualRoute is one line of virtual_routes or static_routes, in the language
// of ip-route(8).
type VirtualRoute struct {
	Pos      Pos
	Type     string // "unicast", "blackhole", "unreachable", "prohibit", "throw", ...
	Dst      netip.Prefix
	From     netip.Prefix // source-specific destination (IPv6); invalid: none
	Src      netip.Addr   // preferred source; invalid: none
	Via      netip.Addr
	Or       netip.Addr // second gateway of the old "via A or B"; invalid: none
	Dev      string
	Table    string // number or name; empty: main
	Scope    string
	Protocol string
	Metric   uint32
	TOS      string
	// Options are the other words of ip-route(8) with their values, in order,
	// such as {"mtu", "1400"} or {"onlink"}.
	Options    [][]string
	NextHops   [][]string // each "nexthop" with its words
	NoTrack    bool
	TrackGroup string // static routes only
}

// VirtualRule is one line of virtual_rules or static_rules, in the language of
// ip-rule(8).
type VirtualRule struct {
	Pos         Pos
	Family      int          // 4 or 6; 0: both
	From        netip.Prefix // invalid: all
	To          netip.Prefix
	Priority    uint32
	HasPriority bool
	Table       string
	Action      string // "table", "blackhole", "unreachable", "prohibit", "goto", "nop"
	Not         bool
	FWMark      string // N or N/MASK
	IIF         string
	OIF         string
	TOS         string
	// Options are the other words of ip-rule(8) with their values, in order.
	Options    [][]string
	NoTrack    bool
	TrackGroup string // static rules only
}
