package vrrp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linkbeatPause is the time between two looks at the carrier of an interface
// that is polled, as in keepalived.
const linkbeatPause = time.Second

// Ways to ask for a carrier, by the words of the configuration.
const (
	LinkbeatMII     = "MII"
	LinkbeatEthtool = "ETHTOOL"
	LinkbeatIOCTL   = "IOCTL"
)

// linkbeat asks an interface for its carrier. MII is tried first, then ethtool,
// then the flags of the interface, which every one has; a preferred way comes
// before these.
type linkbeat struct {
	ways []string
}

// SetLinkbeat has the carriers of interfaces asked for every second, by name with
// the preferred way, which may be empty: their drivers may not tell the kernel
// (linkbeat_interfaces). They are up when the kernel says so and the carrier too.
func (m *LinkMonitor) SetLinkbeat(ways map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if maps.Equal(ways, m.polled) {
		return
	}
	m.polled, m.carriers = maps.Clone(ways), map[string]bool{}
	m.publish(m.table.names())
	select {
	case m.repoll <- struct{}{}:
	default:
	}
}

// poll asks the polled interfaces until ctx ends.
func (m *LinkMonitor) poll(ctx context.Context) {
	tick := time.NewTicker(linkbeatPause)
	defer tick.Stop()
	beats := map[string]*linkbeat{}
	for {
		m.mu.Lock()
		polled := maps.Clone(m.polled)
		m.mu.Unlock()
		var ticks <-chan time.Time
		if len(polled) > 0 {
			ticks = tick.C
		}
		for name, way := range polled {
			b := beats[name]
			if b == nil {
				b = newLinkbeat(way)
				beats[name] = b
			}
			m.beat(name, b)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.repoll:
			clear(beats)
		case <-ticks:
		}
	}
}

// beat asks one interface and tells a change.
func (m *LinkMonitor) beat(name string, b *linkbeat) {
	var carrier bool
	err := m.nl.Do(func() (err error) { carrier, err = m.carrier(b, name); return err })
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.polled[name]; !ok {
		return
	}
	if err != nil && !errors.Is(err, unix.ENODEV) { // what cannot be asked is left to the kernel's word
		carrier = true
	}
	m.carriers[name] = carrier
	m.publish([]string{name})
}

// beats is whether an interface that is polled has a carrier, as far as is known.
// The lock is held.
func (m *LinkMonitor) beats(name string) bool {
	carrier, asked := m.carriers[name]
	return !asked || carrier
}

func newLinkbeat(preferred string) *linkbeat {
	b := &linkbeat{}
	for _, way := range []string{preferred, LinkbeatMII, LinkbeatEthtool, LinkbeatIOCTL} {
		if way != "" {
			b.ways = append(b.ways, way)
		}
	}
	return b
}

// carrier asks in the first way that the interface has; the others are not tried
// again.
func (b *linkbeat) carrier(name string) (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open socket for linkbeat: %w", err)
	}
	defer unix.Close(fd)
	for {
		up, err := map[string]func(int, string) (bool, error){LinkbeatMII: carrierMII, LinkbeatEthtool: carrierEthtool, LinkbeatIOCTL: carrierIOCTL}[b.ways[0]](fd, name)
		if err == nil || errors.Is(err, unix.ENODEV) || len(b.ways) == 1 {
			return up, err
		}
		b.ways = b.ways[1:]
	}
}

// ifreq is struct ifreq of include/uapi/linux/if.h, 40 octets.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func request(fd int, name string, what uint, req *ifreq) error {
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(what), uintptr(unsafe.Pointer(req))); errno != 0 {
		return errno
	}
	return nil
}

// carrierMII reads the basic mode status register of the PHY: bit 2 is the link
// (include/uapi/linux/mii.h, struct mii_ioctl_data).
func carrierMII(fd int, name string) (bool, error) {
	var req ifreq
	if err := request(fd, name, unix.SIOCGMIIPHY, &req); err != nil {
		return false, err
	}
	mii := (*[4]uint16)(unsafe.Pointer(&req.data)) // phy_id, reg_num, val_in, val_out
	mii[1] = 1                                     // MII_BMSR
	if err := request(fd, name, unix.SIOCGMIIREG, &req); err != nil {
		return false, err
	}
	return mii[3]&4 != 0, nil
}

// carrierEthtool is ETHTOOL_GLINK (include/uapi/linux/ethtool.h).
func carrierEthtool(fd int, name string) (bool, error) {
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GLINK}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return false, errno
	}
	return value.data != 0, nil
}

// carrierIOCTL reads IFF_RUNNING.
func carrierIOCTL(fd int, name string) (bool, error) {
	var req ifreq
	if err := request(fd, name, unix.SIOCGIFFLAGS, &req); err != nil {
		return false, err
	}
	return *(*uint16)(unsafe.Pointer(&req.data))&unix.IFF_RUNNING != 0, nil
}
