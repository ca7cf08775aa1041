package ipvs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/dataplane"
)

func start(t *testing.T, k *kernel, opt Options) *Engine {
	t.Helper()
	opt.Log = slog.New(slog.DiscardHandler)
	e, err := open(t.Context(), opt, k.dial, func(context.Context) error { return errors.New("not asked for") })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func apply(t *testing.T, e *Engine, want ...dataplane.VirtualService) {
	t.Helper()
	if err := e.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
}

func web(addr string, servers ...string) dataplane.VirtualService {
	s := dataplane.VirtualService{Key: dataplane.Key{Address: netip.MustParseAddr(addr), Port: 80, Protocol: dataplane.TCP}, Scheduler: "wrr", Active: true}
	for _, a := range servers {
		s.RealServers = append(s.RealServers, dataplane.RealServer{Address: netip.MustParseAddr(a), Port: 80, Method: dataplane.DR, Weight: 1})
	}
	return s
}

func expect(t *testing.T, k *kernel, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, k.took()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestApplyChangesOnlyWhatDiffers(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	svc := web("192.0.2.1", "10.0.0.1", "10.0.0.2")
	apply(t, e, svc)
	expect(t, k, "add 192.0.2.1:80/tcp", "add 192.0.2.1:80/tcp>10.0.0.1:80", "add 192.0.2.1:80/tcp>10.0.0.2:80")
	apply(t, e, svc)
	expect(t, k)

	svc.RealServers[1].Weight = 7
	apply(t, e, svc)
	expect(t, k, "set 192.0.2.1:80/tcp>10.0.0.2:80")

	svc.Scheduler, svc.Persistence = "sh", 50*time.Second
	apply(t, e, svc)
	expect(t, k, "set 192.0.2.1:80/tcp")

	next := web("192.0.2.1", "10.0.0.2", "10.0.0.3")
	next.Scheduler, next.Persistence, next.RealServers[0].Weight = "sh", 50*time.Second, 7
	apply(t, e, next)
	expect(t, k, "add 192.0.2.1:80/tcp>10.0.0.3:80", "del 192.0.2.1:80/tcp>10.0.0.1:80")

	apply(t, e)
	expect(t, k, "del 192.0.2.1:80/tcp")
}

func TestServicesAreReadBackAsTheyWereWanted(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	addr := netip.MustParseAddr
	want := []dataplane.VirtualService{
		{Key: dataplane.Key{Address: addr("192.0.2.1"), Port: 53, Protocol: dataplane.UDP}, Scheduler: "mh", Flags: dataplane.SchedFlag1 | dataplane.SchedFlag2,
			OnePacket: true, Active: true, RealServers: []dataplane.RealServer{{Address: addr("10.0.0.1"), Port: 5353, Method: dataplane.NAT, Weight: 3, UpperThreshold: 9, LowerThreshold: 4}}},
		{Key: dataplane.Key{Address: addr("2001:db8::1"), Port: 0, Protocol: dataplane.SCTP}, Scheduler: "lblcr", Flags: dataplane.SchedFlag3,
			Persistence: time.Hour, PersistenceBits: 64, PersistenceSIP: true, Active: true,
			RealServers: []dataplane.RealServer{{Address: addr("10.0.0.1"), Port: 0, Method: dataplane.TUN, Weight: 0, Tunnel: dataplane.Tunnel{Type: dataplane.GUE, Port: 99, Checksum: dataplane.Checksum}}}},
		{Key: dataplane.Key{FWMark: 5, Family: 6}, Scheduler: "twos", Active: true, RealServers: []dataplane.RealServer{{Address: addr("2001:db8::2"), Port: 1, Method: dataplane.Local, Weight: 1}}},
	}
	apply(t, e, want...)
	got, err := e.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestForeignServicesStay(t *testing.T) {
	k := newKernel()
	k.services = []entry{toEntry(web("198.51.100.1", "10.9.9.9"))}
	e := start(t, k, Options{})
	apply(t, e, web("192.0.2.1"))
	if err := e.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "add 192.0.2.1:80/tcp", "del 192.0.2.1:80/tcp")
	if len(k.services) != 1 || k.services[0].key.Address.String() != "198.51.100.1" {
		t.Errorf("the kernel holds %+v, want the foreign service alone", k.services)
	}
}

func TestEqualServicesAreAdopted(t *testing.T) {
	k := newKernel()
	k.services = []entry{toEntry(web("192.0.2.1", "10.0.0.1", "10.0.0.9"))}
	e := start(t, k, Options{})
	apply(t, e, web("192.0.2.1", "10.0.0.1", "10.0.0.2"))
	expect(t, k, "add 192.0.2.1:80/tcp>10.0.0.2:80", "del 192.0.2.1:80/tcp>10.0.0.9:80")
	if err := e.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "del 192.0.2.1:80/tcp")
}

func TestWhatACrashLeftIsKnown(t *testing.T) {
	k := newKernel()
	file := filepath.Join(t.TempDir(), "ipvs")
	mark := dataplane.VirtualService{Key: dataplane.Key{FWMark: 3, Family: 6}, Scheduler: "rr"}
	apply(t, start(t, k, Options{StateFile: file}), web("192.0.2.1"), web("2001:db8::1"), mark)
	k.took()
	// No Withdraw: the first daemon is gone, its services are not.
	e := start(t, k, Options{StateFile: file})
	apply(t, e, web("192.0.2.1"))
	expect(t, k, "del [2001:db8::1]:80/tcp", "del fwmark:3/inet6")
	if err := e.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file stays after a clean stop: %v", err)
	}
}

func TestOthersChangesAreRepaired(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	svc := web("192.0.2.1", "10.0.0.1")
	apply(t, e, svc)
	k.took()
	k.services[0].sched = "rr"
	k.services[0].dests[0].weight = 0
	apply(t, e, svc)
	expect(t, k, "set 192.0.2.1:80/tcp", "set 192.0.2.1:80/tcp>10.0.0.1:80")
	k.services = nil // ipvsadm -C
	apply(t, e, svc)
	expect(t, k, "add 192.0.2.1:80/tcp", "add 192.0.2.1:80/tcp>10.0.0.1:80")
}

// A change soon after another one does not read ten thousand services first;
// what others did in between shows when the kernel refuses, or half a minute later.
func TestAChangeIsMadeWithoutALook(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	now := time.Now()
	e.now = func() time.Time { return now }
	apply(t, e, web("192.0.2.1", "10.0.0.1", "10.0.0.2"), web("192.0.2.2"))
	k.took()
	k.dumps = 0
	apply(t, e, web("192.0.2.1", "10.0.0.1", "10.0.0.3"))
	expect(t, k, "add 192.0.2.1:80/tcp>10.0.0.3:80", "del 192.0.2.1:80/tcp>10.0.0.2:80", "del 192.0.2.2:80/tcp")
	if k.dumps != 0 {
		t.Errorf("%d dumps, want none", k.dumps)
	}

	k.services[0].dests = nil // ipvsadm -d
	two := web("192.0.2.1", "10.0.0.1", "10.0.0.3")
	two.RealServers[0].Weight = 7
	apply(t, e, two)
	expect(t, k, "add 192.0.2.1:80/tcp>10.0.0.1:80", "add 192.0.2.1:80/tcp>10.0.0.3:80")

	k.services[0].sched = "rr"
	now = now.Add(auditEvery)
	two.RealServers[0].Weight = 8
	apply(t, e, two)
	expect(t, k, "set 192.0.2.1:80/tcp", "set 192.0.2.1:80/tcp>10.0.0.1:80")

	k.services = append(k.services, toEntry(web("192.0.2.9")))
	if err := e.ApplyBeside(t.Context(), nil, []dataplane.Key{web("192.0.2.9").Key}); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "del 192.0.2.1:80/tcp", "del 192.0.2.9:80/tcp")
}

func TestServicesOfAnotherEngineAreGivenUp(t *testing.T) {
	k := newKernel()
	k.services = []entry{toEntry(web("192.0.2.1", "10.0.0.1")), toEntry(web("192.0.2.2"))}
	e := start(t, k, Options{})
	if err := e.ApplyBeside(t.Context(), nil, []dataplane.Key{web("192.0.2.1").Key}); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "del 192.0.2.1:80/tcp")
}

func TestARefusalKeepsNothingElseFromItsChange(t *testing.T) {
	k := newKernel()
	k.lacks = "twos"
	e := start(t, k, Options{})
	bad := web("192.0.2.1", "10.0.0.1")
	bad.Scheduler = "twos"
	err := e.Apply(t.Context(), []dataplane.VirtualService{bad, web("192.0.2.2")})
	if err == nil || !strings.Contains(err.Error(), "add service 192.0.2.1:80/tcp: the kernel lacks module ip_vs_twos") {
		t.Errorf("error %v", err)
	}
	expect(t, k, "add 192.0.2.2:80/tcp")
	if info := e.Info(); !strings.Contains(info.Reason, "ip_vs_twos") {
		t.Errorf("info %+v does not tell", info)
	}
	k.lacks = ""
	apply(t, e, bad, web("192.0.2.2"))
	expect(t, k, "add 192.0.2.1:80/tcp", "add 192.0.2.1:80/tcp>10.0.0.1:80")
	if info := e.Info(); info.Reason != "" || !info.Available {
		t.Errorf("info %+v after the repair", info)
	}
}

func TestASocketThatDiedIsReplaced(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	for _, dials := range []int{2, 3} {
		k.cut = errSocket
		if err := e.Apply(t.Context(), []dataplane.VirtualService{web("192.0.2.1")}); !errors.Is(err, errSocket) {
			t.Errorf("error %v", err)
		}
		apply(t, e, web("192.0.2.1"))
		if k.dials != dials {
			t.Errorf("%d sockets opened, want %d", k.dials, dials)
		}
	}
	expect(t, k, "add 192.0.2.1:80/tcp")
}

func TestModuleIsLoadedOnce(t *testing.T) {
	k := newKernel()
	loaded := 0
	dial := func() (transport, error) {
		if loaded == 0 {
			return nil, errNoFamily
		}
		return k, nil
	}
	opt := Options{Log: slog.New(slog.DiscardHandler)}
	if _, err := open(t.Context(), opt, dial, func(context.Context) error { loaded++; return nil }); err != nil || loaded != 1 {
		t.Errorf("loaded %d times, %v", loaded, err)
	}
	loaded = 0
	_, err := open(t.Context(), opt, dial, func(context.Context) error { return errors.New("no such module") })
	if err == nil || !strings.Contains(err.Error(), "module ip_vs is not loaded, and cannot be loaded: no such module") {
		t.Errorf("error %v", err)
	}
	_, err = open(t.Context(), opt, func() (transport, error) { return nil, unix.EPERM }, nil)
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("error %v", err)
	}
}

func TestFlush(t *testing.T) {
	k := newKernel()
	k.services = []entry{toEntry(web("198.51.100.1"))}
	e := start(t, k, Options{Flush: true})
	apply(t, e, web("192.0.2.1"))
	expect(t, k, "flush", "add 192.0.2.1:80/tcp")
	if err := e.Flush(); err != nil || len(k.services) != 0 {
		t.Errorf("%v, %+v", err, k.services)
	}
}

func TestStatsPerRealServer(t *testing.T) {
	k := newKernel()
	k.counters = dataplane.Counters{Connections: 1 << 33, PacketsIn: 2, PacketsOut: 3, BytesIn: 1 << 40, BytesOut: 5}
	e := start(t, k, Options{})
	svc := web("192.0.2.1", "10.0.0.1")
	apply(t, e, svc)
	s, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[dataplane.Key]dataplane.ServiceStats{svc.Key: {Counters: k.counters, RealServers: map[dataplane.RealKey]dataplane.RealStats{
		svc.RealServers[0].Key(): {Counters: k.counters, Active: 3, Inactive: 4}}}}
	if diff := cmp.Diff(want, s.Services, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestSupportsNamesWhatIPVSCannot(t *testing.T) {
	e := &Engine{}
	edit := func(f func(*dataplane.VirtualService)) dataplane.VirtualService {
		s := web("192.0.2.1", "10.0.0.1")
		f(&s)
		return s
	}
	for want, f := range map[string]func(*dataplane.VirtualService){
		"":                              func(*dataplane.VirtualService) {},
		`no scheduler "random"`:         func(s *dataplane.VirtualService) { s.Scheduler = "random" },
		"all ports needs persistence":   func(s *dataplane.VirtualService) { s.Port = 0 },
		"protocol proto-0":              func(s *dataplane.VirtualService) { s.Protocol = 0 },
		"address family of the service": func(s *dataplane.VirtualService) { s.RealServers[0].Address = netip.MustParseAddr("::1") },
		"lower threshold 2 is above":    func(s *dataplane.VirtualService) { s.RealServers[0].LowerThreshold = 2 },
		"weight 4294967295 is out":      func(s *dataplane.VirtualService) { s.RealServers[0].Weight = 1<<32 - 1 },
		"GUE tunnel needs a port": func(s *dataplane.VirtualService) {
			s.RealServers[0].Method, s.RealServers[0].Tunnel.Type = dataplane.TUN, dataplane.GUE
		},
		"neither an address nor a fwmark": func(s *dataplane.VirtualService) { s.Key = dataplane.Key{} },
		"persistence of -1s":              func(s *dataplane.VirtualService) { s.Persistence = -time.Second },
	} {
		err := e.Supports(edit(f))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestRealServersOfDRHaveThePortOfTheService(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	mark := web("192.0.2.1", "10.0.0.1", "10.0.0.2")
	mark.Key = dataplane.Key{FWMark: 7, Family: 4}
	mark.RealServers[1].Method = dataplane.NAT
	apply(t, e, mark)
	apply(t, e, mark)
	expect(t, k, "add fwmark:7/inet4", "add fwmark:7/inet4>10.0.0.1:0", "add fwmark:7/inet4>10.0.0.2:80")
	s, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mark.RealServers {
		if _, ok := s.Services[mark.Key].RealServers[r.Key()]; !ok {
			t.Errorf("no counters under the name of the configuration, %s: %+v", r.Key(), s.Services)
		}
	}
}

// Real servers of many services are looked at in turns.
func TestLooksAreBounded(t *testing.T) {
	k := newKernel()
	e := start(t, k, Options{})
	var all []dataplane.VirtualService
	for i := range 600 {
		all = append(all, web(fmt.Sprintf("192.0.%d.%d", i/250, i%250+1), "10.0.0.1"))
	}
	apply(t, e, all...)
	k.services[599].dests, k.services[0].dests = nil, nil
	k.took()
	var repaired []string
	for _, want := range []int{1 + 100, 1 + 500} { // a dump of the services, one for each looked at
		k.dumps = 0
		apply(t, e, all...)
		if k.dumps != want {
			t.Errorf("%d dumps, want %d", k.dumps, want)
		}
		repaired = append(repaired, k.took()...)
	}
	if diff := cmp.Diff([]string{"add 192.0.2.100:80/tcp>10.0.0.1:80", "add 192.0.0.1:80/tcp>10.0.0.1:80"}, repaired); diff != "" {
		t.Errorf("repairs (-want +got):\n%s", diff)
	}
}

// Of many changes that go quickly, one that is refused is named and the others
// are made, once each.
func TestManyChangesAndOneRefusal(t *testing.T) {
	k := newKernel()
	k.lacks = "twos"
	e := start(t, k, Options{})
	var all []dataplane.VirtualService
	for i := range 200 {
		all = append(all, web(fmt.Sprintf("192.0.2.%d", i+1), "10.0.0.1"))
	}
	all[150].Scheduler = "twos"
	err := e.Apply(t.Context(), all)
	if err == nil || !strings.Contains(err.Error(), "add service 192.0.2.151:80/tcp: the kernel lacks module ip_vs_twos") || strings.Count(err.Error(), "192.0.2.") > 3 {
		t.Errorf("error %v", err)
	}
	if len(k.services) != 199 || len(k.services[0].dests) != 1 || len(k.services[198].dests) != 1 {
		t.Errorf("%d services, want 199 with a real server each", len(k.services))
	}
	k.lacks = ""
	apply(t, e, all...)
	if len(k.services) != 200 {
		t.Errorf("%d services after the repair, want 200", len(k.services))
	}
}
