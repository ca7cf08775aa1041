package rung

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// facts are the lines of the table in docs/KERNELS.md, in its order. Each is
// tried out, not read from a version.
var facts = []struct {
	name  string
	probe func() (string, error)
}{
	{"IPVS schedulers", schedulers},
	{"IPVS tunnels (`--tun-type`)", tunnels},
	{"IPVS sync daemons, master and backup at once", syncDaemons},
	{"locked memory is limited for BPF maps (RLIMIT_MEMLOCK)", mapsAreLockedMemory},
	{"BPF without privileges (`kernel.unprivileged_bpf_disabled`)", unprivileged},
	{"BTF of the kernel", func() (string, error) { return exists("/sys/kernel/btf/vmlinux") }},
	{"BTF of modules", func() (string, error) { return exists("/sys/kernel/btf/veth") }},
	{"map type ring buffer", func() (string, error) { return yesNo(features.HaveMapType(ebpf.RingBuf)) }},
	{"map type LRU hash", func() (string, error) { return yesNo(features.HaveMapType(ebpf.LRUHash)) }},
	{"helper bpf_fib_lookup in XDP", helper(asm.FnFibLookup)},
	{"helper bpf_loop in XDP", helper(asm.FnLoop)},
	{"helper bpf_timer_init in XDP", helper(asm.FnTimerInit)},
	{"helper bpf_xdp_load_bytes", helper(asm.FnXdpLoadBytes)},
	{"XDP frames of several buffers", func() (string, error) { return loads(unix.BPF_F_XDP_HAS_FRAGS) }},
	{"native XDP on veth", native(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "fact0"}, PeerName: "fact1"})},
	{"native XDP on a bond", native(activeBackup())},
	{"native XDP on macvlan", native(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "fact0"}})},
	{"native XDP on VLAN", native(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "fact0"}, VlanId: 7})},
	{"native XDP on dummy", native(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "fact0"}})},
	{"detaching an XDP link (BPF_LINK_DETACH)", detach},
}

// TestFacts prints the facts of the kernel it runs on; TestVMFacts reads them.
func TestFacts(t *testing.T) {
	if os.Getenv("XVIP_VM") == "" {
		t.Skip("this tells about the kernels of the virtual machines: TestVMFacts runs it there")
	}
	for _, f := range facts {
		value, err := f.probe()
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		fmt.Printf("\n%s%s%s%s\n", factMark, f.name, factSep, value)
	}
}

func schedulers() (string, error) {
	var have []string
	for _, s := range strings.Fields("dh fo lblc lblcr lc mh nq ovf rr sed sh twos wlc wrr") {
		if exec.Command("modprobe", "ip_vs_"+s).Run() == nil {
			have = append(have, s)
		}
	}
	if len(have) == 0 {
		return "", errors.New("load any ip_vs scheduler: none")
	}
	return strings.Join(have, " "), nil
}

func ipvsadm(args ...string) error {
	out, err := exec.Command("ipvsadm", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ipvsadm %q: %w: %s", args, err, out)
	}
	return nil
}

func tunnels() (string, error) {
	if err := ipvsadm("-A", "-t", "192.0.2.1:80", "-s", "rr"); err != nil {
		return "", err
	}
	have := []string{}
	for i, kind := range []string{"ipip", "gue", "gre"} {
		args := []string{"-a", "-t", "192.0.2.1:80", "-r", fmt.Sprintf("192.0.2.%d", 10+i), "-i", "--tun-type", kind}
		if kind == "gue" {
			args = append(args, "--tun-port", "6080")
		}
		if ipvsadm(args...) == nil {
			have = append(have, kind)
		}
	}
	return strings.Join(have, " "), ipvsadm("-C")
}

func syncDaemons() (string, error) {
	for _, role := range []string{"master", "backup"} {
		if err := ipvsadm("--start-daemon", role, "--mcast-interface", "lo"); err != nil {
			return "", err
		}
	}
	return "yes", errors.Join(ipvsadm("--stop-daemon", "master"), ipvsadm("--stop-daemon", "backup"))
}

// mapsAreLockedMemory makes a map of 4 MiB under a limit of 64 KiB, without the
// capability that goes over limits.
func mapsAreLockedMemory() (string, error) {
	var before unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &before); err != nil {
		return "", err
	}
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: before.Max}, nil); err != nil {
		return "", err
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4096, MaxEntries: 1024})
	if err == nil {
		m.Close()
	}
	// Lifted for all that follows.
	if err := rlimit.RemoveMemlock(); err != nil {
		return "", err
	}
	switch {
	case err == nil:
		return "no", nil
	case errors.Is(err, unix.EPERM):
		return "yes", nil
	}
	return "", err
}

func unprivileged() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled")
	if err != nil {
		return "", err
	}
	if value := strings.TrimSpace(string(text)); value != "0" {
		return "off (" + value + ")", nil
	}
	return "allowed (0)", nil
}

func exists(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return "no", nil
	} else if err != nil {
		return "", err
	}
	return "yes", nil
}

func yesNo(err error) (string, error) {
	switch {
	case err == nil:
		return "yes", nil
	case errors.Is(err, ebpf.ErrNotSupported):
		return "no", nil
	}
	return "", err
}

func helper(fn asm.BuiltinFunc) func() (string, error) {
	return func() (string, error) { return yesNo(features.HaveProgramHelper(ebpf.XDP, fn)) }
}

// pass is a program that lets every packet through.
func pass(flags uint32) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Flags: flags,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
}

func loads(flags uint32) (string, error) {
	p, err := pass(flags)
	if errors.Is(err, unix.EINVAL) {
		return "no", nil
	}
	if err != nil {
		return "", err
	}
	return "yes", p.Close()
}

func activeBackup() netlink.Link {
	bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: "fact0"})
	bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
	return bond
}

// native tries the driver's mode on a device of a kind. Devices that sit on
// another get a dummy below.
func native(dev netlink.Link) func() (string, error) {
	return func() (string, error) {
		var detached bool
		err := onDevice(dev, func(l link.Link) error { detached = true; return l.Close() })
		if errors.Is(err, unix.EOPNOTSUPP) && !detached {
			return "no", nil
		}
		if err != nil {
			return "", err
		}
		return "yes", nil
	}
}

func detach() (string, error) {
	err := onDevice(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "fact0"}, PeerName: "fact1"}, func(l link.Link) error {
		return errors.Join(l.Detach(), l.Close())
	})
	return yesNo(err)
}

// onDevice makes dev, attaches a program in native mode, calls use and removes
// everything.
func onDevice(dev netlink.Link, use func(link.Link) error) (err error) {
	base := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "base0"}}
	if err := netlink.LinkAdd(base); err != nil {
		return fmt.Errorf("make dummy: %w", err)
	}
	defer func() { err = errors.Join(err, netlink.LinkDel(base)) }()
	switch dev.(type) {
	case *netlink.Vlan, *netlink.Macvlan:
		dev.Attrs().ParentIndex = base.Index
	}
	if err := netlink.LinkAdd(dev); err != nil {
		return fmt.Errorf("make %s: %w", dev.Type(), err)
	}
	defer func() { err = errors.Join(err, netlink.LinkDel(dev)) }()
	p, err := pass(0)
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: dev.Attrs().Index, Flags: link.XDPDriverMode})
	if err != nil {
		return err
	}
	return use(l)
}
