package xdp

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

// needFrags skips where the kernel knows no frames in several buffers.
func needFrags(t *testing.T) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}})
	if err != nil {
		t.Skip("the kernel has no frames in several buffers: ", err)
	}
	prog.Close()
}

// A frame that the kernel keeps in several buffers is a frame like others: it is
// forwarded whole, counted whole, and refused when it is shorter than it says.
func TestFramesInSeveralBuffers(t *testing.T) {
	needFrags(t)
	b := newBed(t)
	svc := web("rr", 1)
	b.apply(svc)
	b.want(b.send(frame{sport: 1, payload: 8000}), "forward_tx 1")
	b.want(b.send(frame{sport: 1, flags: ack, payload: 8900}), "forward_tx 1")
	b.want(b.send(frame{sport: 1, flags: ack, payload: 8000, cut: 1}), "drop_malformed")
	st, err := b.e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Services[svc.Key].BytesIn; got != 8040+8940 {
		t.Errorf("%d octets counted", got)
	}
	for _, v := range st.Verdicts {
		if v.Name == "forward_tx" && v.Bytes != 14+8040+14+8940 {
			t.Errorf("%d octets of frames counted", v.Bytes)
		}
	}
	for _, m := range []dataplane.Method{dataplane.NAT, dataplane.TUN} {
		svc.RealServers[0].Method = m
		b.apply(svc)
		b.hops(func(r *bpfReal) { r.Mtu = 9200 })
		verdict, out := b.pass((&frame{sport: 2, payload: 8000}).bytes())
		if verdict != "forward_tx" || len(out) < 14+8040 {
			t.Errorf("method %v: %s, %d octets", m, verdict, len(out))
		}
		if m == dataplane.TUN { // a tunnel without room answers
			b.hops(func(r *bpfReal) { r.Mtu = 1500 })
			verdict, out := b.pass((&frame{sport: 2, flags: ack, payload: 8000}).bytes())
			if verdict != "answer_too_big" || len(out) > 600 {
				t.Errorf("too big: %s, %d octets", verdict, len(out))
			}
		}
	}
}

// An interface with jumbo frames takes the program in native mode.
func TestNativeModeWithJumboFrames(t *testing.T) {
	needFrags(t)
	b := newBed(t)
	inNamespace(t)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "j0", MTU: 9000}, PeerName: "j1", PeerMTU: 9000}); err != nil {
		t.Fatal(err)
	}
	if err := b.e.Attach([]string{"j0"}); err != nil {
		t.Fatal(err)
	}
	if info := b.e.Info(); info.Mode != "native" {
		t.Errorf("info %+v", info)
	}
	if err := b.e.Attach(nil); err != nil {
		t.Fatal(err)
	}
}
