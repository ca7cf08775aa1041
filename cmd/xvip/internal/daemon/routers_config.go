package daemon

import (
	"net/netip"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/internal/script"
	"github.com/xvip-lb/xvip/vrrp"
)

// addresses turns a list of virtual addresses into what the owner carries.
func addresses(list []config.VirtualIPAddress) []vrrp.VirtualAddress {
	out := make([]vrrp.VirtualAddress, 0, len(list))
	for _, a := range list {
		out = append(out, vrrp.VirtualAddress{
			Prefix: a.Prefix, Device: a.Dev, Label: a.Label, Scope: a.Scope, Broadcast: broadcast(a), Peer: a.Peer,
			NoDAD: a.NoDAD, HomeAddress: a.Home, ManageTempAddr: a.MngTmpAddr, NoPrefixRoute: a.NoPrefixRoute, AutoJoin: a.AutoJoin,
			PreferredLifetime: a.PreferredLft, HasLifetime: a.PreferredLft != config.Forever, NoTrack: a.NoTrack,
		})
	}
	return out
}

func broadcast(a config.VirtualIPAddress) netip.Addr {
	switch a.BrdAuto {
	case "+":
		return vrrp.BroadcastOf(a.Prefix, true)
	case "-":
		return vrrp.BroadcastOf(a.Prefix, false)
	}
	return a.Brd
}

// command turns a script of the configuration into one that runs; nil stays
// nil.
func command(s *config.Script) *script.Command {
	if s == nil {
		return nil
	}
	return &script.Command{Argv: s.Argv, UID: s.UID, GID: s.GID, Groups: s.Groups, HasUser: true}
}
