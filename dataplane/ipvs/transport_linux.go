package ipvs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// command is one request of the family: a number and encoded attributes.
type command struct {
	cmd   uint8
	attrs []byte
}

// transport carries commands to the kernel.
type transport interface {
	// dump gives the attributes of every answer to one request.
	dump(c command) ([][]byte, error)
	// get gives the attributes of the one answer to a request.
	get(c command) ([]byte, error)
	// do carries out the commands in order and gives the error of each. The
	// second result is the transport's own, after which it must be replaced.
	do(cs []command) ([]error, error)
	// try carries out many commands and tells only whether one was refused; it
	// is several times as fast. The second result is as that of do.
	try(cs []command) (refusal, err error)
	close() error
}

// Bounds of the socket: answerWithin is how long the kernel may take, which
// includes loading a scheduler's module; batch is how many commands are sent
// before their acknowledgements are read, few enough for the receive buffer.
const (
	answerWithin = 20 * time.Second
	batch        = 64
	// tryBatch is how many are sent when only refusals are answered.
	tryBatch = 256
)

// genl is the transport over generic netlink.
type genl struct {
	conn   *netlink.Conn
	family netlink.HeaderType
}

// errNoFamily says that the kernel has no IPVS, or not loaded.
var errNoFamily = errors.New("the kernel has no IPVS; its module ip_vs is not loaded")

// dial opens a socket in the network namespace of the file netns, the current
// one when it is empty. The error is errNoFamily where the kernel has no IPVS.
func dial(netns string) (transport, error) {
	cfg := netlink.Config{}
	if netns != "" {
		f, err := os.Open(netns)
		if err != nil {
			return nil, fmt.Errorf("open network namespace: %w", err)
		}
		defer f.Close()
		cfg.NetNS = int(f.Fd())
	}
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, &cfg)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	g := &genl{conn: conn, family: ctrlFamilyID}
	if g.family, err = g.resolve(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return g, nil
}

// resolve asks the controller for the number of the family.
func (g *genl) resolve() (netlink.HeaderType, error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(ctrlAttrName, familyName)
	b, err := ae.Encode()
	if err != nil {
		return 0, err
	}
	reply, err := g.ask(g.message(command{ctrlGetFamily, b}, ctrlVersion, netlink.Request))
	if errors.Is(err, unix.ENOENT) {
		return 0, errNoFamily
	}
	if err != nil {
		return 0, fmt.Errorf("find the netlink family %s: %w", familyName, err)
	}
	for _, r := range reply {
		ad, err := netlink.NewAttributeDecoder(r)
		if err != nil {
			return 0, fmt.Errorf("find the netlink family %s: %w", familyName, err)
		}
		for ad.Next() {
			if ad.Type() == ctrlAttrID {
				return netlink.HeaderType(ad.Uint16()), ad.Err()
			}
		}
	}
	return 0, fmt.Errorf("find the netlink family %s: the answer has no number", familyName)
}

func (g *genl) message(c command, version uint8, flags netlink.HeaderFlags) netlink.Message {
	data := append([]byte{c.cmd, version, 0, 0}, c.attrs...) // struct genlmsghdr
	return netlink.Message{Header: netlink.Header{Type: g.family, Flags: flags}, Data: data}
}

// ask sends one request and strips the headers of its answers.
func (g *genl) ask(m netlink.Message) ([][]byte, error) {
	if err := g.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	replies, err := g.conn.Execute(m)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, r := range replies {
		if len(r.Data) >= genlHeaderSize {
			out = append(out, r.Data[genlHeaderSize:])
		}
	}
	return out, nil
}

func (g *genl) dump(c command) ([][]byte, error) {
	return g.ask(g.message(c, familyVersion, netlink.Request|netlink.Dump))
}

func (g *genl) get(c command) ([]byte, error) {
	replies, err := g.ask(g.message(c, familyVersion, netlink.Request))
	if err != nil {
		return nil, err
	}
	if len(replies) == 0 {
		return nil, errors.New("the kernel gave no answer")
	}
	return replies[0], nil
}

func (g *genl) do(cs []command) ([]error, error) {
	errs := make([]error, 0, len(cs))
	for len(cs) > 0 {
		n := min(len(cs), batch)
		got, err := g.doBatch(cs[:n])
		errs = append(errs, got...)
		if err != nil {
			return errs, err
		}
		cs = cs[n:]
	}
	return errs, nil
}

func (g *genl) try(cs []command) (refusal, err error) {
	for len(cs) > 0 && refusal == nil {
		n := min(len(cs), tryBatch)
		if refusal, err = g.tryBatch(cs[:n]); err != nil {
			return refusal, err
		}
		cs = cs[n:]
	}
	return refusal, nil
}

// tryBatch sends commands without asking for acknowledgements, and a question
// behind them, whose answer is the end: what the kernel refuses it answers before.
func (g *genl) tryBatch(cs []command) (refusal, err error) {
	if err := g.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	msgs := make([]netlink.Message, 0, len(cs)+1)
	for _, c := range cs {
		msgs = append(msgs, g.message(c, familyVersion, netlink.Request))
	}
	msgs = append(msgs, g.message(command{cmd: cmdGetInfo}, familyVersion, netlink.Request))
	if _, err := g.conn.SendMessages(msgs); err != nil {
		return nil, err
	}
	for {
		switch _, err := g.conn.Receive(); {
		case err == nil:
			return refusal, nil
		case !refused(err):
			return refusal, fmt.Errorf("read the kernel's answer: %w", err)
		case refusal == nil:
			refusal = err
		}
	}
}

// doBatch sends commands at once. The kernel carries them out in order and
// acknowledges each in a datagram of its own, so answers need no matching.
func (g *genl) doBatch(cs []command) ([]error, error) {
	if err := g.conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	msgs := make([]netlink.Message, len(cs))
	for i, c := range cs {
		msgs[i] = g.message(c, familyVersion, netlink.Request|netlink.Acknowledge)
	}
	if _, err := g.conn.SendMessages(msgs); err != nil {
		return nil, err
	}
	errs := make([]error, 0, len(cs))
	for range cs {
		_, err := g.conn.Receive()
		if err != nil && !refused(err) {
			return errs, fmt.Errorf("read the kernel's answer: %w", err)
		}
		errs = append(errs, err)
	}
	return errs, nil
}

// refused tells an error that the kernel answered from one of the socket: only
// the first comes as a bare number.
func refused(err error) bool {
	var op *netlink.OpError
	if !errors.As(err, &op) {
		return false
	}
	_, ok := op.Err.(syscall.Errno)
	return ok
}

func (g *genl) close() error { return g.conn.Close() }
