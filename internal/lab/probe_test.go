package lab_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

func TestProbesMeasureAnOutage(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "probe")
	client := labtest.Host(t, l, "client", "192.0.2.1/24", "2001:db8::1/64")
	server := labtest.Host(t, l, "server", "192.0.2.2/24", "2001:db8::2/64")
	web, err := server.Serve(":80")
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, client, "http://192.0.2.2/", "server")
	probes := map[string]interface {
		Report() lab.Report
		Stop() lab.Report
	}{"http": client.Probe("http://192.0.2.2/", 10*time.Millisecond, 200*time.Millisecond)}
	for name, dst := range map[string]string{"ping": "192.0.2.2", "ping6": "2001:db8::2"} {
		if probes[name], err = client.Ping(netip.MustParseAddr(dst), 10*time.Millisecond, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	every := func(what string, holds func(lab.Report) bool) {
		t.Helper()
		labtest.Eventually(t, 10*second, what, func() error {
			for name, p := range probes {
				if !holds(p.Report()) {
					return fmt.Errorf("not on %s", name)
				}
			}
			return nil
		})
	}
	every("first answers", func(r lab.Report) bool { return len(r)-r.Failures() >= 5 })
	cut := time.Now()
	if err := server.Isolate(); err != nil {
		t.Fatal(err)
	}
	isolated := time.Now()
	every("failures", func(r lab.Report) bool { return r.Since(cut).Failures() >= 5 })
	healed := time.Now()
	if err := server.Join(); err != nil {
		t.Fatal(err)
	}
	every("answers again", func(r lab.Report) bool {
		late := r.Since(healed)
		return len(late)-late.Failures() >= 5
	})
	web.Down()
	for name, p := range probes {
		gap := p.Stop().LongestGap()
		if least, most := healed.Sub(isolated), time.Since(cut); gap < least || gap > most {
			t.Errorf("%s: longest gap %v, want between %v and %v", name, gap, least, most)
		}
	}
	r := client.FetchN(t.Context(), "http://192.0.2.2/", 3, second)
	if len(r) != 3 || r.Failures() != 3 {
		t.Errorf("a server that is down: %+v", r)
	}
}
