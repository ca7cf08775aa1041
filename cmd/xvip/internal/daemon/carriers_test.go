package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

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
