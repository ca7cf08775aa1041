// Package config reads keepalived.conf: the whole language, with a position on
// every problem and on every object. Parse gives a complete typed Config with
// defaults and inheritance resolved, or a list of problems; never half. The
// package touches nothing but the fs.FS and the functions it is given.
package config

import (
	"fmt"
	"net/netip"
	"time"
)

// Pos is a place in a configuration file. Line and Col count from 1; Col counts
// bytes. The zero Pos means "not from a file" (a default).
type Pos struct {
	File string
	Line int
	Col  int
}

// String gives FILE:LINE:COL, without the parts that are not known.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Config is a whole configuration. Every value is resolved: defaults filled in,
// global settings and the chain virtual server, real server, checker inherited.
type Config struct {
	Global Global
	XVIP   XVIP

	VRRPInstances  []*VRRPInstance
	VRRPSyncGroups []*VRRPSyncGroup
	VRRPScripts    []*VRRPScript
	TrackFiles     []*TrackFile
	TrackProcesses []*TrackProcess
	BFDInstances   []*BFDInstance

	VirtualServers      []*VirtualServer
	VirtualServerGroups []*VirtualServerGroup
	SSL                 *SSL // nil when there is no SSL block

	StaticAddresses []*VirtualIPAddress
	StaticRoutes    []*VirtualRoute
	StaticRules     []*VirtualRule
	TrackGroups     []*TrackGroup
	GARPGroups      []*GARPGroup

	LinkbeatInterfaces    []LinkbeatInterface
	InterfaceUpDownDelays []InterfaceUpDownDelay
}

// XVIP is our own top-level block. keepalived does not know it and skips it
// with a message, so that one file serves both.
type XVIP struct {
	Pos           Pos
	Dataplane     string        // "auto", "xdp", "ipvs" or "none"
	XDPMode       string        // "auto", "native" or "generic"
	XDPInterfaces []string      // empty: the interfaces the services need
	MetricsListen string        // ADDR:PORT, or "off"
	ControlSocket string        // path of the unix socket of status and control
	StateDir      string        // directory of what must survive a restart
	BPFFSDir      string        // directory of pinned programs and maps
	ConnTableSize int           // connections the XDP engine can remember
	DrainTime     time.Duration // how long a moved slot remembers its old real server
	// NewConnectionLimit bounds the new connections a second of each service on
	// XDP; 0: no bound.
	NewConnectionLimit int
	// NewConnectionLimits are those of single services, which come first.
	NewConnectionLimits []ServiceLimit
	LogLevel            string // "debug", "info", "warn" or "error"
}

// ServiceLimit is a new_connection_limit of one service.
type ServiceLimit struct {
	Pos      Pos
	Address  netip.Addr
	Port     uint16
	Protocol string // "TCP", "UDP" or "SCTP"; empty: each
	Limit    int    // 0: none
}

// Script is a command that runs without a shell: /bin/sh is its program only
// when the text had the word && or ||. The words are those that keepalived's
// tokeniser gives; Argv[0] is the program as written.
type Script struct {
	Pos    Pos
	Argv   []string
	User   string // as written or inherited; empty: nobody was named, see UID
	Group  string // as written; empty: the user's own group
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups, only with set_supplementary_groups
}

// Track is one reference from an instance or a group to something tracked: an
// interface, a script, a file, a process or a BFD instance. Weight and Reverse
// are resolved: the reference's own, else those of what it names. For a track
// file Weight is a multiplier. Weight 0 means FAULT when the thing is down
// (Reverse: when it is up).
type Track struct {
	Pos     Pos
	Name    string
	Weight  int
	Reverse bool
}

// FIFO is a named pipe that event lines are written to, and the program that
// reads it (nil: none is started). The program gets the name as last argument.
type FIFO struct {
	Pos    Pos
	Path   string
	User   string // as written; empty: root
	Group  string
	UID    uint32
	GID    uint32
	Script *Script
}

// VirtualIPAddress is one line of virtual_ipaddress, virtual_ipaddress_excluded
// or static_ipaddress.
type VirtualIPAddress struct {
	Pos           Pos
	Prefix        netip.Prefix // address and length; /32 or /128 when none was given
	Peer          netip.Prefix // point-to-point peer; invalid: none
	Brd           netip.Addr   // broadcast; invalid: none (see BrdAuto)
	BrdAuto       string       // "+" or "-": computed, with host bits set or cleared
	Dev           string       // resolved: the instance's interface when none was given
	Label         string
	Scope         uint8  // RT_SCOPE_* of the kernel: 0 global, 200 site, 253 link, 254 host
	UseVMAC       bool   // a macvlan of its own on Dev
	Home          bool   // IFA_F_HOMEADDRESS
	NoDAD         bool   // resolved: always true for IPv6 virtual addresses
	MngTmpAddr    bool   // IFA_F_MANAGETEMPADDR
	NoPrefixRoute bool   // IFA_F_NOPREFIXROUTE
	AutoJoin      bool   // IFA_F_MCAUTOJOIN
	NoTrack       bool   // do not leave MASTER when somebody removes it
	PreferredLft  uint32 // seconds; Forever unless given; 0 means deprecated
	TrackGroup    string // static addresses only
}

// Forever is the kernel's value for a lifetime without end.
const Forever uint32 = 0xffffffff

// LinkbeatInterface is one line of linkbeat_interfaces.
type LinkbeatInterface struct {
	Pos  Pos
	Name string
	Type string // "MII", "ETHTOOL", "IOCTL", or empty: MII first
}

// InterfaceUpDownDelay is one line of interface_up_down_delays.
type InterfaceUpDownDelay struct {
	Pos  Pos
	Name string
	Down time.Duration
	Up   time.Duration
}

// TrackGroup is a track_group: instances that fault when something static goes.
type TrackGroup struct {
	Pos   Pos
	Name  string
	Group []string
}

// GARPGroup is a garp_group: interfaces that share one limit.
type GARPGroup struct {
	Pos          Pos
	GARPInterval time.Duration
	GNAInterval  time.Duration
	Interfaces   []string
}
