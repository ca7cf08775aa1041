// Package wire is what a machine and its host say to each other: the plan that
// the guest finds in its initramfs, and the frames it sends over its second
// serial port.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// PlanPath is where the guest finds its Plan, in JSON.
const PlanPath = "/plan.json"

// Plan is what a guest does after it has booted.
type Plan struct {
	Modules []string // loaded by modprobe, in this order
	Argv    []string
	Dir     string   // working directory; made
	Env     []string // added to the guest's own
	Collect []string // patterns of files whose content is sent at the end
}

// Kind says what a frame holds.
type Kind byte

// The frames, in the order in which a guest sends them.
const (
	Ready  Kind = 'r' // booted; the kernel's release
	Output Kind = 'o' // a piece of what the command wrote
	File   Kind = 'f' // path, NUL, content
	Failed Kind = 'e' // the guest could not do its plan: why
	Exit   Kind = 'x' // 4 bytes, big endian: the command's exit status. The last frame.
)

// Frame is one message: a byte of kind, 4 bytes of length (big endian), data.
type Frame struct {
	Kind Kind
	Data []byte
}

const headerLen = 5

// maxLen bounds a frame: what is longer is noise on the line.
const maxLen = 1 << 28

// Write sends a frame in one call of w.Write.
func Write(w io.Writer, f Frame) error {
	if len(f.Data) > maxLen {
		return fmt.Errorf("send frame of kind %q: %d bytes are more than %d", f.Kind, len(f.Data), maxLen)
	}
	buf := make([]byte, headerLen, headerLen+len(f.Data))
	buf[0] = byte(f.Kind)
	binary.BigEndian.PutUint32(buf[1:], uint32(len(f.Data)))
	_, err := w.Write(append(buf, f.Data...))
	return err
}

// ReadAll gives all whole frames. A frame cut short at the end, as by a machine
// that was stopped, is io.ErrUnexpectedEOF; the frames before it are given.
func ReadAll(r io.Reader) ([]Frame, error) {
	in := bufio.NewReader(r)
	var frames []Frame
	for {
		f, err := read(in)
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func read(in *bufio.Reader) (Frame, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return Frame{}, err
	}
	kind, n := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	switch kind {
	case Ready, Output, File, Failed, Exit:
	default:
		return Frame{}, fmt.Errorf("read frame: unknown kind %q", kind)
	}
	if n > maxLen {
		return Frame{}, fmt.Errorf("read frame of kind %q: %d bytes are more than %d", kind, n, maxLen)
	}
	var data bytes.Buffer // grows with what is there: n may be noise
	if _, err := io.CopyN(&data, in, int64(n)); err != nil {
		return Frame{}, io.ErrUnexpectedEOF
	}
	return Frame{kind, data.Bytes()}, nil
}
