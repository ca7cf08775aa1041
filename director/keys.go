package director

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
)

// maxRange bounds the services one address range may become. A /16 is more
// than any director serves; a typing error in a range should not eat memory.
const maxRange = 1 << 16

// Name identifies a virtual_server over reloads: its address, mark or group,
// and its protocol. It is the service in the health room's keys.
func Name(vs *config.VirtualServer) string {
	switch {
	case vs.Group != "":
		return fmt.Sprintf("group:%s/%s", vs.Group, strings.ToLower(vs.Protocol))
	case vs.FWMark != 0:
		return fmt.Sprintf("fwmark:%d/inet%d", vs.FWMark, family(vs))
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(vs.Address, vs.Port), strings.ToLower(vs.Protocol))
}

// serverName is the real server in the health room's keys.
func serverName(rs *config.RealServer) string {
	return dataplane.RealKey{Address: rs.Address, Port: rs.Port}.String()
}

// Keys gives the kernel services that one virtual_server becomes: one, or one
// for each address and mark of its group.
func Keys(cfg *config.Config, vs *config.VirtualServer) ([]dataplane.Key, error) {
	if vs.FWMark != 0 {
		return []dataplane.Key{{FWMark: vs.FWMark, Family: family(vs)}}, nil
	}
	var proto dataplane.Protocol
	if vs.Protocol != "" {
		var err error
		if proto, err = dataplane.ParseProtocol(vs.Protocol); err != nil {
			return nil, err
		}
	}
	if vs.Group == "" {
		return []dataplane.Key{{Address: vs.Address, Port: vs.Port, Protocol: proto}}, nil
	}
	for _, g := range cfg.VirtualServerGroups {
		if g.Name == vs.Group {
			return groupKeys(g, vs, proto)
		}
	}
	return nil, fmt.Errorf("find virtual_server_group %q: there is none of that name", vs.Group)
}

func groupKeys(g *config.VirtualServerGroup, vs *config.VirtualServer, proto dataplane.Protocol) ([]dataplane.Key, error) {
	var keys []dataplane.Key
	for _, r := range g.Addresses {
		for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; a = a.Next() {
			keys = append(keys, dataplane.Key{Address: a, Port: r.Port, Protocol: proto})
			if len(keys) > maxRange {
				return nil, fmt.Errorf("expand virtual_server_group %q: more than %d services", g.Name, maxRange)
			}
		}
	}
	for _, m := range g.FWMarks {
		f := dataplane.Family(m.Family)
		if f == 0 {
			f = family(vs)
		}
		keys = append(keys, dataplane.Key{FWMark: m.Mark, Family: f})
	}
	return keys, nil
}

// family is that of the real servers when the configuration does not tell;
// IPv4 when there are none.
func family(vs *config.VirtualServer) dataplane.Family {
	if vs.Family != 0 {
		return dataplane.Family(vs.Family)
	}
	for _, rs := range vs.RealServers {
		if rs.Address.Is6() {
			return 6
		}
	}
	return 4
}
