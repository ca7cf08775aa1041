// Package control is the way into a running daemon: HTTP over a unix socket,
// and the documents that go over it.
package control

import (
	"cmp"
	"slices"
)

// Status is the document of `xvip status --json`. Fields may be added, never
// renamed.
type Status struct {
	Version        string          `json:"version"`
	UptimeSeconds  float64         `json:"uptime_seconds"`
	ConfigFile     string          `json:"config_file"`
	Reload         Reload          `json:"reload"`
	Engine         Engines         `json:"engine"`
	VirtualRouters []VirtualRouter `json:"virtual_routers"`
	BFDSessions    []BFDSession    `json:"bfd_sessions"`
	VirtualServers []VirtualServer `json:"virtual_servers"`
}

// Reload tells how the last reading of the configuration went.
type Reload struct {
	Count   uint64 `json:"count"`
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"` // the first error when not OK
}

// Engines is the state of both engines.
type Engines struct {
	XDP  Engine `json:"xdp"`
	IPVS Engine `json:"ipvs"`
}

// Engine is the state of one engine.
type Engine struct {
	Available  bool              `json:"available"`
	Reason     string            `json:"reason"`
	Mode       string            `json:"mode"`
	Interfaces []EngineInterface `json:"interfaces"`
	Verdicts   map[string]uint64 `json:"verdicts,omitempty"` // packets, by exit of the program
}

// EngineInterface is an interface the engine is attached to.
type EngineInterface struct {
	Name   string `json:"name"`
	Mode   string `json:"mode"`
	Reason string `json:"reason,omitempty"`
}

// VirtualRouter is the state of one virtual router.
type VirtualRouter struct {
	Name              string   `json:"name"`
	Interface         string   `json:"interface"`
	VRID              uint8    `json:"vrid"`
	Family            string   `json:"family"` // "inet" or "inet6"
	Version           int      `json:"version"`
	State             string   `json:"state"` // INIT, BACKUP, MASTER, FAULT
	Reason            string   `json:"reason,omitempty"`
	Priority          int      `json:"priority"`
	EffectivePriority int      `json:"effective_priority"`
	MasterAddress     string   `json:"master_address"`
	Addresses         []string `json:"addresses"`
	Transitions       uint64   `json:"transitions"`
}

// BFDSession is the state of one BFD session.
type BFDSession struct {
	Name        string  `json:"name"`
	Neighbor    string  `json:"neighbor"`
	State       string  `json:"state"` // AdminDown, Down, Init, Up
	RemoteState string  `json:"remote_state"`
	Diagnostic  string  `json:"diagnostic"`
	Interval    float64 `json:"interval_seconds"`  // of our packets
	Detection   float64 `json:"detection_seconds"` // of silence, until it is Down
	Transitions uint64  `json:"transitions"`
}

// VirtualServer is the state of one virtual service.
type VirtualServer struct {
	Address           string       `json:"address"`
	Port              uint16       `json:"port"`
	Protocol          string       `json:"protocol"`
	FWMark            uint32       `json:"fwmark"`
	Scheduler         string       `json:"scheduler"`
	Method            string       `json:"method"`
	Engine            string       `json:"engine"`
	Reason            string       `json:"reason"`
	Active            bool         `json:"active"`
	QuorumUp          bool         `json:"quorum_up"`
	SorryServerActive bool         `json:"sorry_server_active"`
	Connections       uint64       `json:"connections"`
	Refused           uint64       `json:"connections_refused"` // over new_connection_limit
	PacketsIn         uint64       `json:"packets_in"`
	BytesIn           uint64       `json:"bytes_in"`
	RealServers       []RealServer `json:"real_servers"`
}

// RealServer is the state of one real server, up or down; the sorry server
// stands last with Sorry set.
type RealServer struct {
	Address             string `json:"address"`
	Port                uint16 `json:"port"`
	Method              string `json:"method"`
	Weight              int    `json:"weight"`
	EffectiveWeight     int    `json:"effective_weight"`
	Up                  bool   `json:"up"`
	Reason              string `json:"reason"`
	Sorry               bool   `json:"sorry,omitempty"`
	NextHop             string `json:"next_hop,omitempty"`
	ActiveConnections   uint64 `json:"active_connections"`
	InactiveConnections uint64 `json:"inactive_connections"`
	Connections         uint64 `json:"connections"`
	PacketsIn           uint64 `json:"packets_in"`
	BytesIn             uint64 `json:"bytes_in"`
}

// Sort puts routers and services in an order that does not depend on the run.
func (s *Status) Sort() {
	slices.SortStableFunc(s.VirtualRouters, func(a, b VirtualRouter) int { return cmp.Compare(a.Name, b.Name) })
}
