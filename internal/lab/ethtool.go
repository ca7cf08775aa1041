package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// features of a network device that veth pairs must be told.
type features struct {
	txChecksum bool // off: checksums are written here, not promised to hardware that a veth has not
	gro        bool
}

// setFeatures works on a device of the calling thread's namespace.
func setFeatures(dev string, f features) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open ethtool socket: %w", err)
	}
	defer unix.Close(fd)
	if err := setFeature(fd, dev, unix.ETHTOOL_STXCSUM, f.txChecksum); err != nil {
		return fmt.Errorf("set transmit checksums of %q: %w", dev, err)
	}
	if err := setFeature(fd, dev, unix.ETHTOOL_SGRO, f.gro); err != nil {
		return fmt.Errorf("set GRO of %q: %w", dev, err)
	}
	return nil
}

// ethtoolValue is struct ethtool_value of include/uapi/linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqData is struct ifreq of include/uapi/linux/if.h with ifr_data, 40 bytes.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

func setFeature(fd int, dev string, cmd uint32, on bool) error {
	value := ethtoolValue{cmd: cmd}
	if on {
		value.data = 1
	}
	req := ifreqData{data: unsafe.Pointer(&value)}
	copy(req.name[:unix.IFNAMSIZ-1], dev)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return errno
	}
	return nil
}
