package xdp

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inNamespace puts the test into a network namespace of its own, where lo is
// up: an interface without native XDP.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(home); err != nil {
			t.Fatal(err) // the thread stays locked and ends with the goroutine
		}
		home.Close()
		ns.Close()
		runtime.UnlockOSThread()
	})
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

func TestGenericModeIsTheFallbackAndSaysWhy(t *testing.T) {
	b := newBed(t)
	inNamespace(t)
	if err := b.e.Attach([]string{"lo"}); err != nil {
		t.Fatal(err)
	}
	info := b.e.Info()
	if info.Mode != "generic" || len(info.Interfaces) != 1 || !strings.Contains(info.Interfaces[0].Reason, "native mode:") {
		t.Errorf("info %+v", info)
	}
	b.interfaces = []string{"lo"}
	b.restart() // adopts the link
	if info := b.e.Info(); info.Mode != "generic" || len(info.Interfaces) != 1 {
		t.Errorf("after a restart: %+v", info)
	}
	if err := b.e.Attach(nil); err != nil {
		t.Fatal(err)
	}
	if who, err := programOn("lo"); err != nil || who != "" {
		t.Errorf("after detaching lo has %q, %v", who, err)
	}
}

func TestNativeModeIsNotReplacedByGenericWhenOnlyNativeIsWanted(t *testing.T) {
	b := newBed(t)
	inNamespace(t)
	b.e.attacher.mode = "native"
	if err := b.e.Attach([]string{"lo"}); err == nil || !strings.Contains(err.Error(), `"lo" in native mode`) {
		t.Errorf("attach: %v", err)
	}
}

func TestAnotherProgramIsNamedAndLeftAlone(t *testing.T) {
	b := newBed(t)
	inNamespace(t)
	rungs := &benchObjects{}
	if err := loadBenchObjects(rungs, nil); err != nil {
		t.Fatal(err)
	}
	defer rungs.Close()
	other, err := link.AttachXDP(link.XDPOptions{Program: rungs.RungBare, Interface: interfaceIndex("lo"), Flags: link.XDPGenericMode})
	if err != nil {
		t.Fatal(err)
	}
	err = b.e.Attach([]string{"lo"})
	if err == nil || !strings.Contains(err.Error(), "rung_bare") || !strings.Contains(err.Error(), "xdp off") {
		t.Errorf("attach: %v, want the other program's name and what to do", err)
	}
	if who, err := programOn("lo"); err != nil || !strings.Contains(who, "rung_bare") {
		t.Errorf("lo has %q, %v", who, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.e.Attach([]string{"lo"}); err != nil {
		t.Errorf("once the other has gone: %v", err)
	}
}

func TestAMissingInterfaceIsNamedAndTheOthersServe(t *testing.T) {
	b := newBed(t)
	inNamespace(t)
	err := b.e.Attach([]string{"nosuch0", "lo"})
	if err == nil || !strings.Contains(err.Error(), "nosuch0") {
		t.Errorf("attach: %v", err)
	}
	if on := b.e.Info().Interfaces; len(on) != 1 || on[0].Name != "lo" {
		t.Errorf("attached to %+v", on)
	}
}

func TestADirectoryThatIsNoBPFFileSystemIsSaid(t *testing.T) {
	newBed(t) // skips without root
	_, err := New(context.Background(), Options{PinDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "not on a BPF file system") {
		t.Errorf("error %v", err)
	}
}
