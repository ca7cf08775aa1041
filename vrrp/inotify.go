package vrrp

import (
	"bytes"
	"encoding/binary"
)

// inotifyHeader is the size of struct inotify_event without its name, and
// inotifyOverflow the mask of an event that stands for lost ones
// (include/uapi/linux/inotify.h).
const (
	inotifyHeader   = 16
	inotifyOverflow = 0x4000
)

// inotifyConcerns tells whether a buffer of inotify events, in the host's byte
// order, has one for the name, or one that says that events were lost.
func inotifyConcerns(buf []byte, name string) bool {
	for len(buf) >= inotifyHeader {
		mask := binary.NativeEndian.Uint32(buf[4:])
		end := inotifyHeader + int(binary.NativeEndian.Uint32(buf[12:]))
		if end > len(buf) {
			return false
		}
		got, _, _ := bytes.Cut(buf[inotifyHeader:end], []byte{0})
		if mask&inotifyOverflow != 0 || string(got) == name {
			return true
		}
		buf = buf[end:]
	}
	return false
}
