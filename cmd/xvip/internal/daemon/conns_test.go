package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

// answers serves h on a control socket and gives a client of it.
func answers(t *testing.T, h http.Handler) *control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "xvip.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return control.NewClient(path)
}

func TestConnectionsNeedTheXDPEngine(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	d := &Daemon{log: log, engines: newEngines(log)}
	none := func(c control.Connection) bool { t.Errorf("got %+v", c); return true }
	if _, err := answers(t, d.handler()).Connections(context.Background(), none); err == nil || !strings.Contains(err.Error(), "ipvsadm -Lcn") {
		t.Errorf("without the engine: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	eng, err := xdp.New(context.Background(), xdp.Options{PinDir: fmt.Sprintf("/sys/fs/bpf/xvip-conns-%d", os.Getpid()), ConnTableSize: 4096, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	d.engines.xdp = eng
	if ipvs, err := answers(t, d.handler()).Connections(context.Background(), none); err != nil || ipvs {
		t.Errorf("an empty table: %v, %v", ipvs, err)
	}
	if err := eng.Withdraw(context.Background()); err != nil {
		t.Error(err)
	}
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
	if _, err := answers(t, d.handler()).Connections(context.Background(), none); err == nil {
		t.Error("a closed engine gives an empty table")
	}
}

func TestALineOfAConnectionComesAsItWasSent(t *testing.T) {
	c := xdp.Connection{Client: netip.MustParseAddrPort("[2001:db8::7]:40000"), Port: 443, State: "new", Active: true, Idle: 1500 * time.Millisecond,
		Service: dataplane.Key{Address: netip.MustParseAddr("2001:db8::100"), Protocol: dataplane.TCP},
		Real:    dataplane.RealKey{Address: netip.MustParseAddr("2001:db8::1"), Port: 8443}}
	want := connectionLine(c)
	if want.Service.String() != "[2001:db8::100]:443" || want.IdleSeconds != 1.5 || !strings.EqualFold(want.Protocol, "tcp") {
		t.Errorf("the line is %+v", want)
	}
}
