package xdp

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Time-outs of connections, those of IPVS (net/netfilter/ipvs/ip_vs_proto_tcp.c,
// _udp.c, _sctp.c).
const (
	timeoutNew    = 60 * time.Second
	timeoutTCP    = 900 * time.Second
	timeoutFIN    = 120 * time.Second
	timeoutClosed = 10 * time.Second
	timeoutUDP    = 300 * time.Second
)

// stageTimeouts gives the idle time that each stage of a connection is
// remembered for.
func stageTimeouts(t Timeouts) map[bpfConnStage]time.Duration {
	tcp, fin, udp := cmp.Or(t.TCP, timeoutTCP), cmp.Or(t.FIN, timeoutFIN), cmp.Or(t.UDP, timeoutUDP)
	return map[bpfConnStage]time.Duration{
		bpfConnStageTCP_NEW: timeoutNew, bpfConnStageTCP_ESTABLISHED: tcp, bpfConnStageTCP_FIN: fin, bpfConnStageTCP_CLOSED: timeoutClosed,
		bpfConnStageUDP_NEW: udp, bpfConnStageUDP_ESTABLISHED: udp,
		bpfConnStageSCTP_NEW: timeoutNew, bpfConnStageSCTP_ESTABLISHED: timeoutTCP, bpfConnStageSCTP_CLOSING: timeoutFIN,
	}
}

// defaultConns is how many connections are remembered if nothing is said: 16
// MiB that packets look at and 24 MiB that say who they are.
const defaultConns = 1 << 20

// prepareDir makes dir and sees that it is on a BPF file system, mounting one at
// /sys/fs/bpf if that is the place and nothing is there yet.
func prepareDir(dir string) error {
	const root = "/sys/fs/bpf"
	if rel, err := filepath.Rel(root, dir); err == nil && filepath.IsLocal(rel) && !onBPFFS(root) {
		if err := unix.Mount("bpf", root, "bpf", 0, "mode=0700"); err != nil {
			return fmt.Errorf("mount BPF file system on %s: %w (as root: mount -t bpf bpf %s)", root, err, root)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create pin directory: %w", err)
	}
	if !onBPFFS(dir) {
		return fmt.Errorf("pin directory %q is not on a BPF file system: choose one under %s, or mount one there", dir, root)
	}
	return nil
}

func onBPFFS(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// load loads the program with the maps pinned in dir, making those that are
// missing. Maps that an earlier version left in another shape are replaced,
// with a warning: their content is lost.
func load(opt Options, clock *tickClock) (*bpfObjects, error) {
	dir := opt.PinDir
	objs, err := loadOnce(opt, clock)
	if !errors.Is(err, ebpf.ErrMapIncompatible) {
		return objs, err
	}
	opt.Log.Warn("the pinned tables have another shape than this version needs; making new ones, connections are lost", "dir", dir, "err", err)
	if err := removeMaps(dir); err != nil {
		return nil, err
	}
	return loadOnce(opt, clock)
}

// loadOnce loads the program for frames in several buffers, or where the kernel
// knows none (before 5.18) for frames in one.
func loadOnce(opt Options, clock *tickClock) (*bpfObjects, error) {
	objs, err := loadFor(opt, clock, true)
	if err == nil || errors.Is(err, ebpf.ErrMapIncompatible) {
		return objs, err
	}
	return loadFor(opt, clock, false)
}

func loadFor(opt Options, clock *tickClock, multiBuffer bool) (*bpfObjects, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read embedded BPF object: %w", err)
	}
	key, err := secret(opt.PinDir)
	if err != nil {
		return nil, err
	}
	if err := setConstants(spec, key, opt, clock); err != nil {
		return nil, err
	}
	if multiBuffer {
		if err := spec.Variables[bpfVarMultiBuffer].Set(uint32(1)); err != nil {
			return nil, fmt.Errorf("set constant %s: %w", bpfVarMultiBuffer, err)
		}
		spec.Programs[bpfProgXvip].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	objs := &bpfObjects{}
	if err := spec.LoadAndAssign(objs, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: opt.PinDir}}); err != nil {
		return nil, explainLoad(err)
	}
	if err := objs.Secret.Put(uint32(0), key); err != nil {
		return nil, errors.Join(fmt.Errorf("store secret of the connection hash: %w", err), objs.Close())
	}
	return objs, nil
}

// setConstants gives the program what it needs to know before it is loaded.
func setConstants(spec *ebpf.CollectionSpec, key uint64, opt Options, clock *tickClock) error {
	buckets := bucketsFor(opt.ConnTableSize)
	spec.Maps[bpfMapConns].MaxEntries = buckets
	spec.Maps[bpfMapPeers].MaxEntries = buckets
	for name, value := range map[string]any{
		bpfVarConnSecret: key, bpfVarConnMask: buckets - 1, bpfVarTickShift: clock.shift,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set constant %s: %w", name, err)
		}
	}
	return nil
}

// bucketsFor gives a power of two of four-way buckets for so many connections.
func bucketsFor(conns int) uint32 {
	if conns <= 0 {
		conns = defaultConns
	}
	want := max(1, (min(conns, 1<<28)+3)/4)
	return 1 << bits.Len(uint(want-1))
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// secret gives the key of the connection hash: the pinned one, so that a
// connection is found again after a restart, else a new random one.
func secret(dir string) (uint64, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, bpfMapSecret), nil)
	if err == nil {
		defer m.Close()
		var key uint64
		if err := m.Lookup(uint32(0), &key); err == nil && key != 0 {
			return key, nil
		}
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("make secret of the connection hash: %w", err)
	}
	return binary.NativeEndian.Uint64(b[:]) | 1, nil
}

// explainLoad says what to do about an error of the bpf system call.
func explainLoad(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return err
	case errors.As(err, &verifier):
		return fmt.Errorf("load XDP program: this kernel's verifier refuses it: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("load XDP program: not permitted (run as root, or with CAP_BPF and CAP_NET_ADMIN, and see kernel.unprivileged_bpf_disabled and lockdown): %w", err)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("load XDP program: this kernel has no BPF for it (5.10 or newer is needed): %w", err)
	}
	return fmt.Errorf("load XDP program: %w", err)
}

func removeMaps(dir string) error {
	spec, err := loadBpf()
	if err != nil {
		return err
	}
	var errs []error
	for name, m := range spec.Maps {
		if m.Pinning != ebpf.PinByName {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("unpin map: %w", err))
		}
	}
	return errors.Join(errs...)
}
