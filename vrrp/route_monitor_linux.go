package vrrp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeMonitor tells when somebody removes routes or rules such as ours. It
// follows the kernel only once there are any: a host may have a million routes
// of others.
type routeMonitor struct {
	nl   *Netlink
	log  *slog.Logger
	lost func()

	mu        sync.Mutex
	protocols map[uint8]bool // of our routes (rtm_protocol)
	rules     bool
	wanted    chan struct{} // closed when there is something to follow
}

func newRouteMonitor(nl *Netlink, log *slog.Logger, lost func()) *routeMonitor {
	return &routeMonitor{nl: nl, log: log, lost: lost, wanted: make(chan struct{})}
}

// set says what is ours.
func (m *routeMonitor) set(all []Routing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.protocols, m.rules = map[uint8]bool{}, false
	for _, g := range all {
		for _, c := range g.routes {
			m.protocols[uint8(c.route.Protocol)] = true
		}
		m.rules = m.rules || len(g.rules) > 0
	}
	if len(m.protocols) == 0 && !m.rules {
		return
	}
	select {
	case <-m.wanted:
	default:
		close(m.wanted)
	}
}

// run follows the kernel until ctx ends.
func (m *routeMonitor) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-m.wanted:
	}
	for {
		err := m.session(ctx)
		if ctx.Err() != nil {
			return
		}
		m.log.Warn("lost track of routes and rules", "err", err)
		m.lost()
		select {
		case <-ctx.Done():
			return
		case <-time.After(monitorPause):
		}
	}
}

func (m *routeMonitor) session(ctx context.Context) error {
	var s *nl.NetlinkSocket
	err := m.nl.Do(func() (err error) {
		s, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
		return err
	})
	if err != nil {
		return fmt.Errorf("subscribe to routes and rules: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	m.lost() // what went before we listened
	for {
		list, _, err := s.Receive()
		if errors.Is(err, unix.ENOBUFS) { // messages were lost
			m.lost()
			continue
		}
		if err != nil {
			return fmt.Errorf("follow routes and rules: %w", err)
		}
		for _, msg := range list {
			if m.concerns(msg.Header.Type, msg.Data) {
				m.lost()
				break
			}
		}
	}
}

// concerns tells whether a message is the removal of a route or rule that may
// be ours. A route message begins with struct rtmsg, whose octet 5 is the
// protocol (include/uapi/linux/rtnetlink.h).
func (m *routeMonitor) concerns(kind uint16, data []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch kind {
	case unix.RTM_DELROUTE:
		return len(data) >= unix.SizeofRtMsg && m.protocols[data[5]]
	case unix.RTM_DELRULE:
		return m.rules
	}
	return false
}
