package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/director"
)

// suspender has the checkers of services with ha_suspend rest while no address
// of theirs is on this host, whoever puts it there.
type suspender struct {
	log     *slog.Logger
	suspend func(service string, on bool)

	mu       sync.Mutex
	services map[string][]netip.Addr // with ha_suspend, by name
}

func newSuspender(log *slog.Logger, suspend func(service string, on bool)) *suspender {
	return &suspender{log: log, suspend: suspend}
}

// setConfig follows a configuration; services that lost the keyword go on. It is
// called before their checkers start.
func (s *suspender) setConfig(cfg *config.Config) {
	now := map[string][]netip.Addr{}
	for _, vs := range cfg.VirtualServers {
		if !vs.HASuspend {
			continue
		}
		keys, err := director.Keys(cfg, vs)
		if err != nil {
			continue // the director tells
		}
		var list []netip.Addr
		for _, k := range keys {
			if k.Address.IsValid() {
				list = append(list, k.Address)
			}
		}
		if len(list) > 0 { // a firewall mark has no address that could be missing
			now[director.Name(vs)] = list
		}
	}
	s.mu.Lock()
	before := s.services
	s.services = now
	s.mu.Unlock()
	for name := range before {
		if now[name] == nil {
			s.suspend(name, false)
		}
	}
	if err := s.apply(); err != nil {
		s.log.Warn("ha_suspend does not know the addresses of the host", "err", err)
	}
}

// run follows the addresses of the host until ctx ends.
func (s *suspender) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.follow(ctx); err != nil {
			s.log.Warn("ha_suspend follows no addresses for a moment", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// follow looks at all addresses after every change of one: a message that was
// lost is made good by the next.
func (s *suspender) follow(ctx context.Context) error {
	updates := make(chan netlink.AddrUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	broken := make(chan error, 1)
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{ErrorCallback: func(err error) {
		select {
		case broken <- err:
		default:
		}
	}})
	if err != nil {
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	for {
		if err := s.apply(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case _, ok := <-updates:
			if !ok {
				return errors.New("subscription to addresses ended")
			}
		}
	}
}

func (s *suspender) apply() error {
	s.mu.Lock()
	services := s.services
	s.mu.Unlock()
	if len(services) == 0 {
		return nil
	}
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	here := map[netip.Addr]bool{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			here[ip.Unmap()] = true
		}
	}
	for name, addrs := range services {
		s.suspend(name, !anyOf(addrs, here))
	}
	return nil
}

func anyOf(addrs []netip.Addr, here map[netip.Addr]bool) bool {
	for _, a := range addrs {
		if here[a.Unmap()] {
			return true
		}
	}
	return false
}
