package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
)

func TestCarriagesAreNews(t *testing.T) {
	key := func(n int) dataplane.Key {
		return dataplane.Key{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), Port: 80, Protocol: dataplane.TCP}
	}
	xdp, ipvs, none := dataplane.Assignment{Engine: "xdp"}, dataplane.Assignment{Engine: "ipvs", Reason: "r"}, dataplane.Assignment{Engine: dataplane.None, Reason: "x"}
	type table = map[dataplane.Key]dataplane.Assignment
	for _, c := range []struct {
		before, now table
		want        string // level and words, and how many services
	}{
		{nil, table{key(1): xdp}, "INFO service is carried 1"},
		{table{key(1): xdp}, table{key(1): xdp}, ""},
		{nil, table{key(1): ipvs, key(2): ipvs}, "WARN service is not on the first engine 2"},
		{table{key(1): xdp}, table{key(1): ipvs}, "WARN service moves to another engine 1"},
		{table{key(1): none}, table{key(1): xdp}, "INFO service is carried 1"},
		{table{key(1): xdp}, table{key(1): none}, "ERROR no engine carries the service 1"},
		{table{key(1): xdp}, table{}, ""},
	} {
		got := ""
		for news, keys := range carriages(c.before, c.now) {
			text, _, _ := strings.Cut(news.text, ":")
			text, _, _ = strings.Cut(text, ";")
			got += fmt.Sprintf("%s %s %d", news.level, text, len(keys))
		}
		if got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.before, c.now, got, c.want)
		}
	}
}

func TestForwardingOff(t *testing.T) {
	server := func(addr, method string) *config.RealServer {
		return &config.RealServer{Address: netip.MustParseAddr(addr), LVSMethod: config.LVSMethod{Kind: method}}
	}
	for _, c := range []struct {
		servers []*config.RealServer
		values  map[string]string
		want    string
	}{
		{[]*config.RealServer{server("192.0.2.1", "DR"), server("2001:db8::1", "TUN")}, map[string]string{}, "[]"},
		{[]*config.RealServer{server("192.0.2.1", "NAT")}, map[string]string{"/proc/sys/net/ipv4/ip_forward": "0\n"}, "[net/ipv4/ip_forward]"},
		{[]*config.RealServer{server("192.0.2.1", "NAT")}, map[string]string{"/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/ipv6/conf/all/forwarding": "0\n"}, "[]"},
		{[]*config.RealServer{server("192.0.2.1", "NAT"), server("2001:db8::1", "NAT")},
			map[string]string{"/proc/sys/net/ipv4/ip_forward": "0\n", "/proc/sys/net/ipv6/conf/all/forwarding": "0\n"}, "[net/ipv4/ip_forward net/ipv6/conf/all/forwarding]"},
		{[]*config.RealServer{server("2001:db8::1", "NAT")}, nil, "[]"}, // a kernel without IPv6
	} {
		cfg := &config.Config{VirtualServers: []*config.VirtualServer{{RealServers: c.servers}}}
		got := forwardingOff(cfg, func(path string) ([]byte, error) {
			if v, ok := c.values[path]; ok {
				return []byte(v), nil
			}
			return nil, os.ErrNotExist
		})
		if fmt.Sprint(got) != c.want {
			t.Errorf("with %v: %v, want %s", c.values, got, c.want)
		}
	}
}

// Ten thousand services do not make ten thousand lines.
func TestManyCarriagesAreOneLine(t *testing.T) {
	var out bytes.Buffer
	d := &Daemon{log: slog.New(slog.NewTextHandler(&out, nil))}
	for n, want := range map[int]int{0: 0, 3: 3, 100: 1} {
		out.Reset()
		news := map[dataplane.Key]dataplane.Assignment{}
		for i := range n {
			news[dataplane.Key{FWMark: uint32(i + 1)}] = dataplane.Assignment{Engine: "ipvs"}
		}
		d.tellCarriers(carriages(nil, news))
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%d services: %d lines, want %d:\n%s", n, got, want, out.String())
		}
	}
}
