package daemon

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"

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
			PreferredLifetime: a.PreferredLft, HasLifetime: a.PreferredLft != config.Forever, NoTrack: a.NoTrack, TrackGroup: a.TrackGroup,
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

// peers turns the unicast peers into those of the election.
func peers(list []config.UnicastPeer) []vrrp.Peer {
	var out []vrrp.Peer
	for _, p := range list {
		out = append(out, vrrp.Peer{Addr: p.Address, MinTTL: p.MinTTL, MaxTTL: p.MaxTTL, CheckTTL: p.HasTTL})
	}
	return out
}

func oldChecksum(word string) vrrp.OldChecksum {
	switch word {
	case "always":
		return vrrp.OldChecksumAlways
	case "never":
		return vrrp.OldChecksumNever
	}
	return vrrp.OldChecksumAuto
}

// bufferOf is what the socket is to hold for an instance: its own number of
// octets, or what the policy of all of them says.
func bufferOf(in *config.VRRPInstance, g *config.Global) vrrp.ReceiveBuffer {
	switch {
	case in.KernelRXBufSize > 0:
		return vrrp.ReceiveBuffer{Octets: in.KernelRXBufSize}
	case g.VRRPRXBufsPolicy == "MTU":
		return vrrp.ReceiveBuffer{Packets: g.VRRPRXBufsMultiplier}
	case g.VRRPRXBufsPolicy == "ADVERT":
		return vrrp.ReceiveBuffer{Octets: g.VRRPRXBufsMultiplier * advertLen(in)}
	}
	n, _ := strconv.Atoi(g.VRRPRXBufsPolicy) // config has read it as a number, or it is empty
	return vrrp.ReceiveBuffer{Octets: n}
}

// advertLen is the length of an advertisement with its IP header, in octets.
func advertLen(in *config.VRRPInstance) int {
	n := len(in.VirtualIPAddress)
	switch {
	case in.Family == 6:
		return 40 + 8 + 16*n
	case in.Version == 3:
		return 20 + 8 + 4*n
	case in.Authentication.Type == "AH":
		return 20 + 24 + 8 + 4*n + 8
	}
	return 20 + 8 + 4*n + 8
}

// hmacOf turns an auth_hmac block into keys and rules; nil stays nil. Keys in
// files are read here: one that cannot be read is an error.
func hmacOf(in *config.AuthHMAC) (*vrrp.HMAC, error) {
	if in == nil {
		return nil, nil
	}
	h := &vrrp.HMAC{Keys: map[uint8][]byte{}, ActiveKey: in.ActiveKey, Window: in.TimeWindow, Monotonic: in.AntiReplay == "monotonic"}
	switch in.Mode {
	case "permissive":
		h.Mode = vrrp.HMACPermissive
	case "receive-only":
		h.Mode = vrrp.HMACReceiveOnly
	}
	for _, k := range in.Keys {
		value := k.Value
		if k.File != "" {
			b, err := os.ReadFile(k.File)
			if err != nil {
				return nil, fmt.Errorf("read key %d of auth_hmac: %w", k.ID, err)
			}
			value = bytes.TrimRight(b, "\r\n")
		}
		if len(value) < 32 || len(value) > 64 {
			return nil, fmt.Errorf("read key %d of auth_hmac: %d octets, want 32 to 64", k.ID, len(value))
		}
		h.Keys[k.ID] = value
	}
	return h, nil
}
