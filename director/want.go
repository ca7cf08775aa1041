package director

import (
	"net/netip"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/health"
)

// Health is the state of the real servers that have checkers; any other is up.
type Health map[health.ServerID]health.ServerState

func (h Health) server(id health.ServerID) health.ServerState {
	if st, ok := h[id]; ok {
		return st
	}
	return health.ServerState{Up: true}
}

// Decision is what Want decides: the services for the forwarder, and for each
// virtual_server why they look as they do.
type Decision struct {
	Services []dataplane.VirtualService
	Virtual  []Virtual
}

// Virtual is the decision for one virtual_server.
type Virtual struct {
	Name        string // see Name
	Config      *config.VirtualServer
	Keys        []dataplane.Key
	Active      bool // some address of it is ours to forward
	QuorumUp    bool
	SorryActive bool
	Real        []Real
	Err         error // why it has no services; nil when it has
}

// Real is the decision for one real server, up or down, in the order of the
// configuration.
type Real struct {
	Config *config.RealServer
	Up     bool
	Reason string // why it is down
	Weight uint32 // effective, when up
}

// Want computes the services that the kernel should hold. masters names the
// virtual routers that are Master; before is the last decision, which matters
// to the quorum's hysteresis only. It reads no clock and changes nothing.
func Want(cfg *config.Config, h Health, masters map[string]bool, before Decision) Decision {
	quorumBefore := make(map[string]bool, len(before.Virtual))
	for _, v := range before.Virtual {
		quorumBefore[v.Name] = v.QuorumUp
	}
	owners := owners(cfg)
	var d Decision
	for _, vs := range cfg.VirtualServers {
		v := Virtual{Name: Name(vs), Config: vs}
		v.Keys, v.Err = Keys(cfg, vs)
		v.Real = realServers(v.Name, vs, h)
		was, known := quorumBefore[v.Name]
		v.QuorumUp = quorum(vs, v.Real, was, known)
		v.SorryActive = !v.QuorumUp && vs.SorryServer != nil
		servers := wantedServers(v)
		for _, key := range v.Keys {
			active := owned(key, owners, masters)
			v.Active = v.Active || active
			s := service(vs, key, active, servers)
			s.NewConnections = NewConnections(&cfg.XVIP, key)
			d.Services = append(d.Services, s)
		}
		d.Virtual = append(d.Virtual, v)
	}
	return d
}

// NewConnections is the limit of new connections a second of a service: its own,
// or that of all; 0: none.
func NewConnections(x *config.XVIP, key dataplane.Key) uint32 {
	for _, l := range x.NewConnectionLimits {
		protocol, err := dataplane.ParseProtocol(l.Protocol)
		if key.FWMark == 0 && l.Address == key.Address && l.Port == key.Port && (l.Protocol == "" || err == nil && protocol == key.Protocol) {
			return uint32(l.Limit)
		}
	}
	return uint32(x.NewConnectionLimit)
}

// owners gives the virtual routers that carry each virtual address.
func owners(cfg *config.Config) map[netip.Addr][]string {
	out := map[netip.Addr][]string{}
	for _, in := range cfg.VRRPInstances {
		for _, list := range [][]config.VirtualIPAddress{in.VirtualIPAddress, in.VirtualIPAddressExcluded} {
			for _, a := range list {
				out[a.Prefix.Addr()] = append(out[a.Prefix.Addr()], in.Name)
			}
		}
	}
	return out
}

// owned is the gate of DESIGN's decision 4.1: an address that no virtual router
// manages is ours, any other only while one of its routers is Master.
func owned(key dataplane.Key, owners map[netip.Addr][]string, masters map[string]bool) bool {
	routers := owners[key.Address]
	if len(routers) == 0 {
		return true
	}
	for _, name := range routers {
		if masters[name] {
			return true
		}
	}
	return false
}

func realServers(service string, vs *config.VirtualServer, h Health) []Real {
	out := make([]Real, 0, len(vs.RealServers))
	for _, rs := range vs.RealServers {
		st := h.server(health.ServerID{Service: service, Server: serverName(rs)})
		out = append(out, Real{Config: rs, Up: st.Up, Reason: st.Reason, Weight: uint32(max(0, rs.Weight+st.Weight))})
	}
	return out
}

// quorum is keepalived's rule: up at quorum plus hysteresis, down below quorum
// minus hysteresis or at zero, else as before. A quorum that all servers
// together cannot reach counts as what they can.
func quorum(vs *config.VirtualServer, servers []Real, before, known bool) bool {
	var alive, all int
	for _, r := range servers {
		all += r.Config.Weight
		if r.Up {
			alive += int(r.Weight)
		}
	}
	need := min(vs.Quorum, max(all, 1))
	hysteresis := min(vs.Hysteresis, need-1)
	switch {
	case alive == 0 || alive < need-hysteresis:
		return false
	case alive >= need+hysteresis || alive >= all:
		return true
	}
	return known && before
}

// wantedServers are the entries of the kernel's table: while the sorry server
// stands in, it alone.
func wantedServers(v Virtual) []dataplane.RealServer {
	vs := v.Config
	var out []dataplane.RealServer
	for _, r := range v.Real {
		rs := r.Config
		weight := r.Weight
		if !r.Up || v.SorryActive {
			if !rs.InhibitOnFailure {
				continue
			}
			weight = 0
		}
		out = append(out, dataplane.RealServer{
			Address: rs.Address, Port: rs.Port, Method: method(rs.LVSMethod.Kind), Tunnel: tunnel(rs.LVSMethod), Weight: weight,
			UpperThreshold: uint32(max(0, rs.UThreshold)), LowerThreshold: uint32(max(0, rs.LThreshold)),
		})
	}
	if s := vs.SorryServer; s != nil && (v.SorryActive || vs.SorryServerInhibit) {
		weight := uint32(1)
		if !v.SorryActive {
			weight = 0
		}
		out = append(out, dataplane.RealServer{Address: s.Address, Port: s.Port, Method: method(s.LVSMethod.Kind), Tunnel: tunnel(s.LVSMethod), Weight: weight})
	}
	return out
}

func service(vs *config.VirtualServer, key dataplane.Key, active bool, servers []dataplane.RealServer) dataplane.VirtualService {
	var flags dataplane.SchedulerFlags
	for i, set := range []bool{vs.Flag1, vs.Flag2, vs.Flag3} {
		if set {
			flags |= 1 << i
		}
	}
	s := dataplane.VirtualService{
		Key: key, Scheduler: dataplane.Scheduler(vs.LVSSched), Flags: flags, OnePacket: vs.OPS, Active: active,
		RealServers: servers, Persistence: vs.PersistenceTimeout,
	}
	if s.Persistence > 0 {
		s.PersistenceBits, s.PersistenceSIP = vs.PersistenceGranularity, vs.PersistenceEngine == "sip"
	}
	return s
}

func method(kind string) dataplane.Method {
	switch kind {
	case "DR":
		return dataplane.DR
	case "TUN":
		return dataplane.TUN
	}
	return dataplane.NAT
}

func tunnel(m config.LVSMethod) dataplane.Tunnel {
	if m.Kind != "TUN" {
		return dataplane.Tunnel{}
	}
	t := dataplane.Tunnel{Port: m.TunnelPort}
	switch m.TunnelType {
	case "gue":
		t.Type = dataplane.GUE
	case "gre":
		t.Type = dataplane.GRE
	}
	switch m.Checksum {
	case "csum":
		t.Checksum = dataplane.Checksum
	case "remcsum":
		t.Checksum = dataplane.RemoteChecksum
	}
	return t
}
