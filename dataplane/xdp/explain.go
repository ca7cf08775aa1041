package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/xvip-lb/xvip/dataplane"
)

// Question is a packet of which Explain tells what would become of it.
type Question struct {
	Interface       string // where it comes in; empty: the first that the program is on
	Protocol        dataplane.Protocol
	Client, Service netip.AddrPort
	Opening         bool // TCP: SYN, else ACK
}

// Answer is what the program does with a packet, and why.
type Answer struct {
	Verdict string        // the counter's name
	Known   *Connection   // the connection that the table has for it
	Service dataplane.Key // zero: none of that address, port and protocol
	Real    dataplane.RealKey
	Steps   []string // sentences, in the order of the program
	Out     []byte   // the frame that leaves; nil when none does
}

// meanings say what a verdict means to an operator.
var meanings = map[bpfVerdict]string{
	bpfVerdictPASS_NOT_IP:        "it is neither IPv4 nor IPv6: the stack gets it",
	bpfVerdictPASS_NOT_SERVICE:   "no service on XDP has this address, port and protocol: the stack gets it, and IPVS there",
	bpfVerdictPASS_FRAGMENT:      "its first fragment was not seen: the stack gets it",
	bpfVerdictPASS_INACTIVE:      "the virtual address belongs to another node now: the stack gets it",
	bpfVerdictPASS_NO_CONNECTION: "it does not open a connection and none is remembered: the stack gets it and resets it",
	bpfVerdictPASS_NO_SERVER:     "no real server takes new connections: the stack gets it",
	bpfVerdictPASS_LOCAL:         "the real server is this host: the stack gets it",
	bpfVerdictFORWARD_TX:         "it leaves by the interface that it came by",
	bpfVerdictFORWARD_REDIRECT:   "it leaves by another interface",
	bpfVerdictANSWER_TOO_BIG:     "it is too long for the tunnel: the client hears so by ICMP",
	bpfVerdictDROP_MALFORMED:     "it is dropped: shorter than its headers say",
	bpfVerdictDROP_MARTIAN:       "it is dropped: no client can have this source address",
	bpfVerdictDROP_TTL:           "it is dropped: its hops are used up",
	bpfVerdictDROP_NO_NEXT_HOP:   "it is dropped: the MAC of the next hop is not known; does the real server or its router answer ARP?",
	bpfVerdictDROP_NO_ROUTE:      "it is dropped: the reply has no route to the client",
	bpfVerdictDROP_TOO_BIG:       "it is dropped: too long for the tunnel, and no answer can be made",
	bpfVerdictDROP_LIMIT:         "it is dropped: the service takes no more new connections now (new_connection_limit)",
}

// Explain runs the program on a made packet and tells what it does. It is a
// second instance of the program, on the tables of services and real servers as
// they are and on copies of what packets change: nothing that counts, remembers
// or rotates is touched.
func (e *Engine) Explain(q Question) (Answer, error) {
	frame, err := questionFrame(q)
	if err != nil {
		return Answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return Answer{}, errClosed
	}
	return e.explain(q, frame)
}

// trial is one run of the second instance.
type trial struct {
	objs       *bpfObjects
	candidates map[dataplane.Key]*service          // services of the address
	replies    map[dataplane.Key]dataplane.RealKey // services whose real server, by NAT, the packet comes from
}

func (e *Engine) explain(q Question, frame []byte) (a Answer, err error) {
	t := trial{candidates: map[dataplane.Key]*service{}, replies: map[dataplane.Key]dataplane.RealKey{}}
	for k, s := range e.tables.services {
		if rk, ok := e.replier(q, k, s); ok {
			t.candidates[k], t.replies[k] = s, rk
		} else if k.Address == q.Service.Addr() {
			t.candidates[k] = s
		}
	}
	buckets, err := e.bucketsOf(q, &t)
	if err != nil {
		return a, err
	}
	if t.objs, err = e.secondInstance(t.candidates, buckets); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, t.objs.Close()) }()
	in, err := e.entrance(q.Interface)
	if err != nil {
		return a, err
	}
	action, out, err := testRun(t.objs.Xvip, frame, in.index)
	if err != nil {
		return a, err
	}
	a.tell("it comes in at %s, where the program is in %s mode", in.info.Name, in.info.Mode)
	verdict, err := t.verdict()
	if err != nil {
		return a, err
	}
	a.Verdict = verdictName(verdict)
	if err := e.tellService(&a, q, &t, verdict, buckets); err != nil {
		return a, err
	}
	a.tell("%s (counted as %s)", meanings[verdict], a.Verdict)
	if action == xdpActionTX || action == xdpActionRedirect {
		a.Out = out
		a.tell("it leaves as %s", frameText(out))
	}
	return a, nil
}

// Actions of include/uapi/linux/bpf.h.
const (
	xdpActionTX       = 3
	xdpActionRedirect = 4
)

func (a *Answer) tell(format string, args ...any) {
	a.Steps = append(a.Steps, fmt.Sprintf(format, args...))
}

// entrance is the interface that a packet comes in by.
func (e *Engine) entrance(name string) (*attachment, error) {
	names := make([]string, 0, len(e.attacher.on))
	for n := range e.attacher.on {
		names = append(names, n)
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return nil, errors.New("the program is on no interface")
	case name == "":
		name = names[0]
	case e.attacher.on[name] == nil:
		return nil, fmt.Errorf("the program is not on interface %q, only on %v", name, names)
	}
	return e.attacher.on[name], nil
}

// tellService adds what was found on the way to the real server.
func (e *Engine) tellService(a *Answer, q Question, t *trial, verdict bpfVerdict, buckets map[uint32]bucket) error {
	key := dataplane.Key{Address: q.Service.Addr(), Port: q.Service.Port(), Protocol: q.Protocol}
	s := t.candidates[key]
	if s == nil {
		key.Port = 0 // a service on every port
		s = t.candidates[key]
	}
	if s == nil {
		return e.tellReply(a, q, t, buckets)
	}
	a.Service = key
	a.tell("service %s, scheduler %s, %d real servers", key, s.holds.Scheduler, len(s.holds.RealServers))
	known, err := e.knownConnection(q.Client, q.Service.Port(), key, buckets)
	if err != nil {
		return err
	}
	chosen, index, err := t.chosen(s)
	if err != nil {
		return err
	}
	switch {
	case known != nil && q.Opening && known.ended():
		a.tell("the table has a connection of these ports that has ended: %s, %s; this one takes its place", real(known.Real), known.State)
	case known != nil:
		a.Known = known
		a.tell("the table has the connection: %s, %s, idle for %.1f s", real(known.Real), known.State, known.Idle.Seconds())
	case verdict == bpfVerdictPASS_INACTIVE:
	case stateless(s.holds):
		a.tell("connections of %s are not remembered: the hash of the packet decides", s.holds.Scheduler)
	default:
		a.tell("the table has no such connection")
	}
	if chosen == (dataplane.RealKey{}) {
		return nil
	}
	if had, err := e.templateOf(q, s); err != nil {
		return err
	} else if a.Known == nil && had == chosen {
		a.tell("the client's network was with this real server within the persistence of %v: it stays there", s.holds.Persistence)
	}
	a.Real = chosen
	r := e.tables.reals[index]
	if r.Weight == 0 {
		a.tell("the real server takes nothing new any more: what it has goes on")
	}
	a.tell("real server %s, next hop %s", real(chosen), nextHopWord(r.Flags))
	return nil
}

// replier tells whether the packet can be a reply of a real server of a service,
// whose address NAT puts in place of its own, and gives the real server.
func (e *Engine) replier(q Question, k dataplane.Key, s *service) (dataplane.RealKey, bool) {
	for rk, index := range s.reals {
		r := e.tables.reals[index]
		if k.Protocol == q.Protocol && r.Method == uint8(dataplane.NAT) && rk.Address == q.Client.Addr() && (rk.Port == q.Client.Port() || rk.Port == 0) {
			return rk, true
		}
	}
	return dataplane.RealKey{}, false
}

// asked are the client and the port of the service that a question is about, for
// a service; a reply has them the other way round.
func (t *trial) asked(q Question, k dataplane.Key) (client netip.AddrPort, port uint16) {
	if _, ok := t.replies[k]; !ok {
		return q.Client, q.Service.Port()
	}
	if k.Port == 0 {
		return q.Service, q.Client.Port()
	}
	return q.Service, k.Port
}

// tellReply is for a packet to no service: it may come from a real server.
func (e *Engine) tellReply(a *Answer, q Question, t *trial, buckets map[uint32]bucket) error {
	for key, rk := range t.replies {
		client, port := t.asked(q, key)
		known, err := e.knownConnection(client, port, key, buckets)
		if err != nil {
			return err
		}
		if known == nil || known.Real != rk {
			continue
		}
		a.Service, a.Known, a.Real = key, known, rk
		a.tell("it is a reply of real server %s to a client of service %s: %s, idle for %.1f s", real(rk), key, known.State, known.Idle.Seconds())
		return nil
	}
	for key, rk := range t.replies {
		a.tell("real server %s of service %s sends it, but no such connection is remembered", real(rk), key)
	}
	return nil
}

// templateOf is the real server that persistence keeps for the client's network;
// zero: none.
func (e *Engine) templateOf(q Question, s *service) (dataplane.RealKey, error) {
	if s.holds.Persistence <= 0 {
		return dataplane.RealKey{}, nil
	}
	k := bpfTemplateKey{Service: s.id}
	mask := networkMask(s.holds)
	for i, w := range addrWords(q.Client.Addr()) {
		k.Src[i] = w & mask[i]
	}
	var v bpfTemplate
	err := e.objs.Templates.Lookup(k, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return dataplane.RealKey{}, nil
	}
	if err != nil {
		return dataplane.RealKey{}, fmt.Errorf("read templates of persistence: %w", err)
	}
	now, err := e.clock.now()
	if err != nil {
		return dataplane.RealKey{}, err
	}
	r, ok := e.tables.reals[v.Tag&0xfffff]
	if !ok || r.Tag != v.Tag || e.clock.idle(now, v.Seen) > s.holds.Persistence {
		return dataplane.RealKey{}, nil
	}
	return realKey(r), nil
}

// ended tells whether an opening packet begins anew in the place of c.
func (c *Connection) ended() bool {
	return c.State == states[bpfConnStageTCP_FIN] || c.State == states[bpfConnStageTCP_CLOSED] || c.State == states[bpfConnStageSCTP_CLOSING]
}

func real(k dataplane.RealKey) string { return netip.AddrPortFrom(k.Address, k.Port).String() }

// chosen is the real server that counted the packet.
func (t *trial) chosen(s *service) (dataplane.RealKey, uint32, error) {
	for key, index := range s.reals {
		c, err := readCounters(t.objs.RealStats, index)
		if err != nil {
			return dataplane.RealKey{}, 0, err
		}
		if c.Packets+c.Connections > 0 {
			return key, index, nil
		}
	}
	return dataplane.RealKey{}, 0, nil
}

// verdict is the only one that has counted.
func (t *trial) verdict() (bpfVerdict, error) {
	for v := bpfVerdict(0); v < bpfVerdictVERDICTS; v++ {
		c, err := readCounters(t.objs.Verdicts, uint32(v))
		if err != nil {
			return 0, err
		}
		if c.Packets > 0 {
			return v, nil
		}
	}
	return 0, errors.New("the program came to no verdict")
}

// secondInstance loads the program once more: it shares what packets only read
// and has copies of what they change, as far as these services are concerned.
func (e *Engine) secondInstance(services map[dataplane.Key]*service, buckets map[uint32]bucket) (*bpfObjects, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read embedded BPF object: %w", err)
	}
	var key uint64
	if err := e.objs.Secret.Lookup(uint32(0), &key); err != nil {
		return nil, fmt.Errorf("read secret of the connection hash: %w", err)
	}
	if err := setConstants(spec, key, Options{ConnTableSize: int(e.objs.Conns.MaxEntries()) * 4}, e.clock); err != nil {
		return nil, err
	}
	last := uint32(0)
	for i := range e.tables.reals {
		last = max(last, i)
	}
	for name, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
		switch name {
		case bpfMapFragments, bpfMapTemplates:
			m.MaxEntries = 1024
		case bpfMapRealStats: // one a CPU
			m.MaxEntries = last + 1
		}
	}
	objs := &bpfObjects{}
	err = spec.LoadAndAssign(objs, &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		bpfMapServices: e.objs.Services, bpfMapServed: e.objs.Served, bpfMapSlots: e.objs.Slots, bpfMapReals: e.objs.Reals, bpfMapReplies: e.objs.Replies,
		bpfMapWays: e.objs.Ways, bpfMapSettings: e.objs.Settings, bpfMapSecret: e.objs.Secret,
	}})
	if err != nil {
		return nil, explainLoad(err)
	}
	if err := e.copyState(objs, services, buckets); err != nil {
		return nil, errors.Join(err, objs.Close())
	}
	return objs, nil
}

// copyState gives the second instance what the first one remembers.
func (e *Engine) copyState(to *bpfObjects, services map[dataplane.Key]*service, buckets map[uint32]bucket) error {
	var errs []error
	ids := map[uint32]bool{}
	for _, s := range services {
		ids[s.id] = true
		var c bpfCursor
		errs = append(errs, e.objs.Cursors.Lookup(s.id, &c), to.Cursors.Put(s.id, c))
		for _, index := range s.reals {
			var l bpfLoad
			errs = append(errs, e.objs.Loads.Lookup(index, &l), to.Loads.Put(index, l))
		}
	}
	for i, b := range buckets {
		errs = append(errs, to.Conns.Put(i, b.conns), to.Peers.Put(i, b.peers))
	}
	var k bpfTemplateKey
	var v bpfTemplate
	for it := e.objs.Templates.Iterate(); it.Next(&k, &v); {
		if ids[k.Service] {
			errs = append(errs, to.Templates.Put(k, v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("copy tables: %w", err)
	}
	return nil
}

// bucket is one of the table of connections.
type bucket struct {
	conns bpfConnBucket
	peers bpfPeerBucket
}

// bucketsOf reads the buckets where the flow of the question is, or would be, at
// each of these services.
func (e *Engine) bucketsOf(q Question, t *trial) (map[uint32]bucket, error) {
	var secret uint64
	if err := e.objs.Secret.Lookup(uint32(0), &secret); err != nil {
		return nil, fmt.Errorf("read secret of the connection hash: %w", err)
	}
	out := map[uint32]bucket{}
	for key, s := range t.candidates {
		client, port := t.asked(q, key)
		sig := connSig(secret, s.id, client, port)
		for _, i := range connPlaces(sig, e.objs.Conns.MaxEntries()) {
			var b bucket
			if err := errors.Join(e.objs.Conns.Lookup(i, &b.conns), e.objs.Peers.Lookup(i, &b.peers)); err != nil {
				return nil, fmt.Errorf("read connections: %w", err)
			}
			out[i] = b
		}
	}
	return out, nil
}

// connSig is conn_sig of bpf/conn.h: what the table knows a flow by.
func connSig(secret uint64, service uint32, client netip.AddrPort, port uint16) uint64 {
	mix := func(x uint64) uint64 {
		for range 2 {
			x ^= x >> 32
			x *= 0xd6e8feb86659fd93
		}
		return x ^ x>>32
	}
	a := addrWords(client.Addr())
	high, low := uint64(a[0])<<32|uint64(a[1]), uint64(a[2])<<32|uint64(a[3])
	h := mix((uint64(service)<<32 | uint64(swap16(port))<<16 | uint64(swap16(client.Port()))) ^ secret)
	if client.Addr().Unmap().Is4() {
		return mix(h^uint64(a[3])) | 1
	}
	return mix(mix(h^high)^low) | 1
}

// connPlaces are conn_index and conn_second of bpf/conn.h, in a table of so many
// buckets.
func connPlaces(sig uint64, buckets uint32) [2]uint32 {
	first := uint32(sig>>1) & (buckets - 1)
	return [2]uint32{first, (first ^ (uint32(sig>>32) | 1)) & (buckets - 1)}
}

// knownConnection is the one of a client to a port of a service among these
// buckets.
func (e *Engine) knownConnection(client netip.AddrPort, port uint16, key dataplane.Key, buckets map[uint32]bucket) (*Connection, error) {
	now, err := e.clock.now()
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		for j, c := range b.conns.Way {
			p := b.peers.Way[j]
			r, ok := e.tables.reals[c.Word>>4&0xfffff]
			stage := bpfConnStage(c.Word & 15)
			if c.Sig == 0 || !ok || r.Tag != c.Word>>4 || r.Service != e.tables.services[key].id || stage >= bpfConnStageSTAGES ||
				p.Src != addrWords(client.Addr()) || p.Sport != swap16(client.Port()) || p.Dport != swap16(port) {
				continue
			}
			return &Connection{Client: client, Service: key, Port: port, Real: realKey(r), State: states[stage],
				Active: activeStage(stage), Idle: e.clock.idle(now, c.Seen)}, nil
		}
	}
	return nil, nil
}

// testRun gives a frame to the program as if it came by a device.
func testRun(prog *ebpf.Program, frame []byte, device int) (action uint32, out []byte, err error) {
	type xdpMD struct{ Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32 }
	opt := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: xdpMD{DataEnd: uint32(len(frame)), IngressIfindex: uint32(device)}}
	action, err = prog.Run(&opt)
	if err != nil { // Linux 5.14 or older: it comes in at lo
		opt.Context, opt.DataOut = nil, make([]byte, len(frame)+256)
		action, err = prog.Run(&opt)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("run the program: %w", err)
	}
	return action, opt.DataOut, nil
}

// questionFrame makes the packet, in a frame to this host.
func questionFrame(q Question) ([]byte, error) {
	src, dst := q.Client.Addr().Unmap(), q.Service.Addr().Unmap()
	if src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("explain a packet from %s to %s: two families", src, dst)
	}
	l4, err := questionSegment(q)
	if err != nil {
		return nil, err
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	return append(frameHeader(mac, mac, dst.Is4()), ipPacket(src, dst, uint8(q.Protocol), l4)...), nil
}
