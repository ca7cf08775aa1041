package vrrp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forever is the kernel's value for an address lifetime without end, in seconds
// (include/net/addrconf.h, INFINITY_LIFE_TIME).
const forever = 0xffffffff

// guardPause is the least time between two looks for removed addresses.
const guardPause = 50 * time.Millisecond

// AddressOwner puts the virtual addresses of one virtual router on their
// interfaces, and the routes and rules that go with them into the kernel, and
// takes them away. All in its lists are its own, also what was there before: an
// earlier life of the daemon may have left it. One that is held from start to
// end carries static addresses, routes and rules.
// Its methods may be called from any goroutine; none lists kernel tables
// except Leftovers.
type AddressOwner struct {
	nl  *Netlink
	log *slog.Logger

	mu      sync.Mutex
	addrs   []VirtualAddress
	routing Routing
	ruled   []*netlink.Rule // rules without priority that were added
	held    bool            // Take was called after the last Release
	filter  *AcceptFilter
	denied  []netip.Addr // what filter drops for us now
	broken  map[string]string
}

// NewAddressOwner prepares the owner of addrs; nothing is added yet.
func NewAddressOwner(nl *Netlink, addrs []VirtualAddress, log *slog.Logger) *AddressOwner {
	return &AddressOwner{nl: nl, log: log, addrs: slices.Clone(addrs)}
}

// SetAcceptFilter makes the host drop packets to the addresses while they are
// held (no_accept); nil lets it accept them, which is the default. An address
// owner, with priority 255, always accepts.
func (o *AddressOwner) SetAcceptFilter(f *AcceptFilter) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.allow()
	o.filter = f
	if o.held {
		err = errors.Join(err, o.deny())
	}
	return err
}

// deny brings the filter in line with the list.
func (o *AddressOwner) deny() error {
	if o.filter == nil {
		return nil
	}
	list := make([]netip.Addr, 0, len(o.addrs))
	for _, a := range o.addrs {
		addr := a.Addr()
		if addr.IsLinkLocalUnicast() && addr.Is6() {
			addr = addr.WithZone(a.Device)
		}
		list = append(list, addr)
	}
	if slices.Equal(list, o.denied) {
		return nil
	}
	// The new ones first, so that none is open for a moment.
	err := o.filter.Deny(list)
	err = errors.Join(err, o.allow())
	o.denied = list
	return err
}

func (o *AddressOwner) allow() error {
	if o.filter == nil || len(o.denied) == 0 {
		return nil
	}
	list := o.denied
	o.denied = nil
	return o.filter.Allow(list)
}

// Addresses gives the list.
func (o *AddressOwner) Addresses() []VirtualAddress {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.addrs)
}

// Broken gives the track groups of which something could not be added by the
// last Take or Restore, and what.
func (o *AddressOwner) Broken() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.broken)
}

func (o *AddressOwner) setBroken(group string, err error) {
	if group == "" || o.broken[group] != "" {
		return
	}
	if o.broken == nil {
		o.broken = map[string]string{}
	}
	o.broken[group] = err.Error()
}

// Take adds the addresses, then the routes and rules, that are missing. It tries
// all of them and gives the joined errors; it may be called again.
func (o *AddressOwner) Take(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held, o.broken = true, nil
	denyErr := o.deny() // before the addresses can be reached
	_, err := o.add(ctx, o.addrs)
	return errors.Join(denyErr, err, o.addRouting(ctx, o.routing))
}

// Release removes what is present, the rules first. It tries all of it, also
// when ctx has ended: an address that stays is a second master.
func (o *AddressOwner) Release(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	err := o.removeRouting(o.routing)
	list := slices.Clone(o.addrs)
	slices.Reverse(list)
	return errors.Join(err, o.remove(list), o.allow())
}

// SetAddresses replaces the list. While the addresses are held, those that left
// the list are removed and new ones added, which are returned: they are to be
// announced.
func (o *AddressOwner) SetAddresses(ctx context.Context, addrs []VirtualAddress) ([]VirtualAddress, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	remove, add := diffAddresses(o.addrs, addrs)
	o.addrs = slices.Clone(addrs)
	if !o.held {
		return nil, nil
	}
	err := errors.Join(o.deny(), o.remove(remove))
	if len(remove) > 0 {
		// Where promote_secondaries is off, the kernel removes the others of
		// a subnet together with its first address (net/ipv4/devinet.c).
		add = o.addrs
	}
	added, addErr := o.add(ctx, add)
	err = errors.Join(err, addErr)
	if len(remove) > 0 {
		err = errors.Join(err, o.addRouting(ctx, o.routing)) // routes go with their source address
	}
	return added, err
}

// Restore adds held addresses that somebody else has removed, as present tells,
// and returns them. Held routes and rules that are missing are added too: they
// go with an address or an interface. What has NoTrack is left alone.
func (o *AddressOwner) Restore(ctx context.Context, present func(device string, p netip.Prefix) bool) ([]VirtualAddress, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.held {
		return nil, nil
	}
	o.broken = nil
	var missing []VirtualAddress
	for _, a := range o.addrs {
		if !a.NoTrack && !present(a.Device, kernelPrefix(a)) {
			missing = append(missing, a)
		}
	}
	added, err := o.add(ctx, missing)
	for _, a := range added {
		o.log.Warn("virtual address was removed by somebody else, put back", "address", a.Prefix, "interface", a.Device)
	}
	return added, errors.Join(err, o.addRouting(ctx, o.routing.tracked()))
}

// Leftovers reports which addresses of the list are present now. Before the
// first Take these come from an earlier life: Release removes them, Take adopts
// them.
func (o *AddressOwner) Leftovers() ([]VirtualAddress, error) {
	list := o.Addresses()
	present, err := o.nl.addrs()
	if err != nil {
		return nil, err
	}
	var found []VirtualAddress
	for _, a := range list {
		index, err := o.nl.index(a.Device)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(present, func(p netlink.Addr) bool {
			return p.LinkIndex == index && prefixOf(p.IPNet) == kernelPrefix(a)
		}) {
			found = append(found, a)
		}
	}
	return found, nil
}

// add adds what is missing of list and gives the addresses that were.
func (o *AddressOwner) add(ctx context.Context, list []VirtualAddress) ([]VirtualAddress, error) {
	var added []VirtualAddress
	var errs []error
	for _, a := range list {
		if err := ctx.Err(); err != nil {
			return added, errors.Join(append(errs, err)...)
		}
		index, err := o.nl.index(a.Device)
		if err == nil {
			err = o.nl.h.AddrAdd(nil, kernelAddr(a, index))
		}
		switch {
		case err == nil:
			added = append(added, a)
		case !errors.Is(err, unix.EEXIST):
			err = fmt.Errorf("add address %q: %w", a, err)
			o.setBroken(a.TrackGroup, err)
			errs = append(errs, err)
		}
	}
	return added, errors.Join(errs...)
}

// remove removes what is present of list.
func (o *AddressOwner) remove(list []VirtualAddress) error {
	var errs []error
	for _, a := range list {
		index, err := o.nl.index(a.Device)
		if err == nil {
			ka := kernelAddr(a, index)
			ka.Label = "" // or the kernel would spare one with another label
			err = o.nl.h.AddrDel(nil, ka)
		}
		if err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("remove address %q: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// kernelAddr translates an address for the request to the kernel.
func kernelAddr(a VirtualAddress, index int) *netlink.Addr {
	ka := &netlink.Addr{
		IPNet:     ipNet(a.Prefix),
		Label:     a.Label,
		Scope:     int(a.Scope),
		LinkIndex: index,
		// The library computes a broadcast address unless told there is none.
		Broadcast: net.IPv4zero,
	}
	if a.Broadcast.IsValid() {
		ka.Broadcast = a.Broadcast.AsSlice()
	}
	if a.Peer.IsValid() {
		ka.Peer = ipNet(a.Peer)
	}
	for _, f := range []struct {
		on   bool
		flag int
	}{
		{a.NoDAD && a.Addr().Is6(), unix.IFA_F_NODAD},
		{a.HomeAddress, unix.IFA_F_HOMEADDRESS},
		{a.ManageTempAddr, unix.IFA_F_MANAGETEMPADDR},
		{a.NoPrefixRoute, unix.IFA_F_NOPREFIXROUTE},
		{a.AutoJoin, unix.IFA_F_MCAUTOJOIN},
	} {
		if f.on {
			ka.Flags |= f.flag
		}
	}
	if a.HasLifetime {
		ka.ValidLft, ka.PreferedLft = forever, int(a.PreferredLifetime)
	}
	return ka
}

// kernelPrefix is the address as the kernel lists it: with a peer, the length
// belongs to the peer and the local address has its full length.
func kernelPrefix(a VirtualAddress) netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
	}
	return a.Prefix
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf translates an address of the kernel; the zero prefix for none.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}
