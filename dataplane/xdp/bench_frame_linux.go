package xdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// sourcePortAt is where the source port is in an Ethernet frame with IPv4
// without options.
const sourcePortAt = 34

// pathFrame is a UDP datagram to the service, without a checksum, 64 octets long.
func pathFrame(to net.HardwareAddr, port uint16) []byte {
	f := append(slices.Clone([]byte(to)), 2, 0, 0, 0, 0, 1, 8, 0)
	h := []byte{0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0}
	client, vip := pathClient.As4(), pathVIP.As4()
	h = append(append(h, client[:]...), vip[:]...)
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	f = append(f, h...)
	f = binary.BigEndian.AppendUint16(f, 32768)
	f = binary.BigEndian.AppendUint16(f, port)
	f = binary.BigEndian.AppendUint16(f, 30)
	f = append(f, 0, 0)
	return append(f, make([]byte, 64-len(f))...)
}

// pathSource sends frames of many flows.
type pathSource struct {
	prog  *ebpf.Program
	frame []byte
}

// newPathSource makes a program that writes the frame anew, for the kernel hands
// the same page out again, draws one of the flows, and sends it by a device.
func newPathSource(frame []byte, device, flows int) (*pathSource, error) {
	ins := asm.Instructions{
		asm.LoadMem(asm.R7, asm.R1, 0, asm.Word), // xdp_md.data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // xdp_md.data_end
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Add.Imm(asm.R2, int32(len(frame))),
		asm.JGT.Reg(asm.R2, asm.R3, "short"),
	}
	for i := 0; i < len(frame); i += 8 {
		ins = append(ins,
			asm.LoadImm(asm.R1, int64(binary.NativeEndian.Uint64(frame[i:])), asm.DWord),
			asm.StoreMem(asm.R7, int16(i), asm.R1, asm.DWord))
	}
	ins = append(ins,
		asm.FnGetPrandomU32.Call(),
		asm.And.Imm(asm.R0, int32(flows-1)),
		asm.Add.Imm(asm.R0, 32768),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.StoreMem(asm.R7, sourcePortAt, asm.R0, asm.Half),
		asm.Mov.Imm(asm.R1, int32(device)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("short"), // XDP_ABORTED
		asm.Return(),
	)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "path_source", Type: ebpf.XDP, License: "GPL", Instructions: ins})
	if err != nil {
		return nil, fmt.Errorf("load the program that sends: %w", err)
	}
	return &pathSource{p, frame}, nil
}

// pathSink counts UDP datagrams to the ports that real servers get, and drops
// everything.
func pathSink(count *ebpf.Map) (*ebpf.Program, error) {
	const protocolAt, destinationPortAt = 23, 36
	ins := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R6),
		asm.Add.Imm(asm.R2, 42),
		asm.JGT.Reg(asm.R2, asm.R3, "drop"),
		asm.LoadMem(asm.R1, asm.R6, protocolAt, asm.Byte),
		asm.JNE.Imm(asm.R1, unix.IPPROTO_UDP, "drop"),
		asm.LoadMem(asm.R1, asm.R6, destinationPortAt, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JEq.Imm(asm.R1, pathRealPort, "count"),
		asm.JNE.Imm(asm.R1, pathDRPort, "drop"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word).WithSymbol("count"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, count.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), // XDP_DROP
		asm.Return(),
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "path_sink", Type: ebpf.XDP, License: "GPL", Instructions: ins})
	if err != nil {
		return nil, fmt.Errorf("load the program that counts: %w", err)
	}
	return p, nil
}

// pathTable is the nftables table of the rule.
func pathTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "path"}
}

// removePathDNAT takes pathDNAT back.
func removePathDNAT() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	c.DelTable(pathTable())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove the DNAT rule: %w", err)
	}
	return nil
}

// pathDNAT is the same service as a rule: ip daddr VIP udp dport 53 dnat to
// REAL:5353.
func pathDNAT() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	vip, real := pathVIP.As4(), pathReal.As4()
	table := c.AddTable(pathTable())
	chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: vip[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(pathPort)},
		&expr.Immediate{Register: 1, Data: real[:]},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(pathRealPort)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("make the DNAT rule: %w", err)
	}
	return nil
}

// extent gives least, median and most.
func extent(v []float64) (lo, mid, hi float64) {
	s := slices.Sorted(slices.Values(v))
	return s[0], s[len(s)/2], s[len(s)-1]
}
