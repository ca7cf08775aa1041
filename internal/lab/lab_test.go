package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

const second = time.Second

func fetch(t *testing.T, h *lab.Host, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	return h.Fetch(ctx, url)
}

func wantAnswer(t *testing.T, h *lab.Host, url, want string) {
	t.Helper()
	labtest.Eventually(t, 5*second, "answer of "+want, func() error {
		got, err := fetch(t, h, url)
		if err == nil && got != want {
			err = fmt.Errorf("%s answered", got)
		}
		return err
	})
}

func TestWebServerIsReachedOverTheSwitch(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "web")
	client := labtest.Host(t, l, "client", "192.0.2.1/24", "2001:db8::1/64")
	server := labtest.Host(t, l, "server", "192.0.2.2/24", "2001:db8::2/64")
	web, err := server.Serve(":80")
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, client, "http://192.0.2.2/", "server")
	wantAnswer(t, client, "http://[2001:db8::2]/", "server")

	web.SetStatus(503)
	if _, err := fetch(t, client, "http://192.0.2.2/"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with status 503: %v", err)
	}
	web.SetStatus(200)
	if got := web.Requests(netip.MustParseAddr("192.0.2.1")); got < 2 {
		t.Errorf("%d requests counted for the client", got)
	}
	if got := web.Requests(netip.MustParseAddr("192.0.2.9")); got != 0 {
		t.Errorf("%d requests counted for nobody", got)
	}
	web.Down()
	// The listener closes once the accept under way has ended.
	if _, err := lab.Await(t.Context(), 5*time.Second, func() error {
		if _, err := fetch(t, client, "http://192.0.2.2/"); !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("%w, want connection refused", err)
		}
		return nil
	}); err != nil {
		t.Errorf("with the server down: %v", err)
	}
	if err := web.Up(); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, client, "http://192.0.2.2/", "server")
}

func TestCablesAndLinks(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "cables")
	client := labtest.Host(t, l, "client", "192.0.2.1/24")
	server := labtest.Host(t, l, "server", "192.0.2.2/24")
	if _, err := server.Serve(":80"); err != nil {
		t.Fatal(err)
	}
	const url = "http://192.0.2.2/"
	carrier := func() string {
		var b []byte
		err := server.Do(func() error {
			fd, err := net.InterfaceByName("eth0")
			if err == nil && fd.Flags&net.FlagRunning != 0 {
				b = []byte("1")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name      string
		cut, heal func() error
		carrier   string // while cut
	}{
		{"unplug", server.Unplug, server.Plug, ""},
		{"isolate", server.Isolate, server.Join, "1"},
		{"link down", func() error { return server.LinkDown("eth0") }, func() error { return server.LinkUp("eth0") }, ""},
	} {
		wantAnswer(t, client, url, "server")
		if err := c.cut(); err != nil {
			t.Fatal(err)
		}
		labtest.Eventually(t, second, c.name+" shows", func() error {
			if got := carrier(); got != c.carrier {
				return fmt.Errorf("carrier is %q, want %q", got, c.carrier)
			}
			return nil
		})
		if got, err := fetch(t, client, url); err == nil {
			t.Errorf("%s: %q still answers", c.name, got)
		}
		if err := c.heal(); err != nil {
			t.Fatal(err)
		}
	}
	wantAnswer(t, client, url, "server")
}

func TestRealServerAnswersNoARPForTheVirtualAddress(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "real")
	client := labtest.Host(t, l, "client", "192.0.2.1/24")
	server := labtest.Host(t, l, "server", "192.0.2.2/24")
	vip := netip.MustParseAddr("192.0.2.100")
	if err := server.BeRealServer(vip); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Serve(":80"); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, client, "http://192.0.2.2/", "server")
	if got, err := fetch(t, client, "http://192.0.2.100/"); err == nil {
		t.Errorf("%q answers on the virtual address, which nobody owns", got)
	}
	// The same address on eth0 is answered for: the cut is arp_ignore, nothing else.
	if err := client.Sysctl("net/ipv4/neigh/eth0/retrans_time_ms", "100"); err != nil {
		t.Fatal(err)
	}
	if err := server.AddAddress("eth0", netip.PrefixFrom(vip, 32)); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, client, "http://192.0.2.100/", "server")
	if err := server.DelAddress("eth0", netip.PrefixFrom(vip, 32)); err != nil {
		t.Fatal(err)
	}
	if has, err := server.HasAddress("eth0", vip); err != nil || has {
		t.Errorf("address is still there: %v, %v", has, err)
	}
	if has, err := server.HasAddress("lo", vip); err != nil || !has {
		t.Errorf("address on lo: %v, %v", has, err)
	}
}

func TestConnectionsComeFromFreshPorts(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "ports")
	client := labtest.Host(t, l, "client", "192.0.2.1/24")
	server := labtest.Host(t, l, "server", "192.0.2.2/24")
	if _, err := server.Serve(":80"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 100 {
		c, err := client.DialContext(t.Context(), "tcp", "192.0.2.2:80")
		if err != nil {
			t.Fatal(err)
		}
		if port := c.LocalAddr().String(); seen[port] {
			t.Errorf("%s was used before", port)
		} else {
			seen[port] = true
		}
		c.Close()
	}
}

func TestHostsForwardNothing(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "forward")
	h := labtest.Host(t, l, "host", "192.0.2.1/24")
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		err := h.Do(func() error {
			b, err := os.ReadFile("/proc/sys/" + name)
			if err == nil && string(b) != "0\n" {
				err = fmt.Errorf("%s is %q", name, b)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestMulticastReachesEveryHost(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "mcast")
	a := labtest.Host(t, l, "a", "192.0.2.1/24")
	b := labtest.Host(t, l, "b", "192.0.2.2/24")
	payload := []byte("xvip lab multicast")
	sniffers := map[string]*lab.Sniffer{}
	keep := func(f []byte) bool { return bytes.Contains(f, payload) }
	var err error
	if sniffers["host"], err = b.Sniff("eth0", keep); err != nil {
		t.Fatal(err)
	}
	if sniffers["wire"], err = b.SniffWire(keep); err != nil {
		t.Fatal(err)
	}
	send := func() error {
		c, err := a.DialContext(t.Context(), "udp", "224.0.0.18:9")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(payload)
		return err
	}
	if err := a.AddRoute(netip.MustParsePrefix("224.0.0.0/4"), netip.MustParseAddr("192.0.2.2")); err != nil {
		t.Fatal(err)
	}
	for where, s := range sniffers {
		var frames []lab.Frame
		labtest.Eventually(t, 5*second, "a frame on the "+where, func() error { // a port may not forward at once
			if err := send(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), second/5)
			defer cancel()
			frames, err = s.Wait(ctx, 1)
			return err
		})
		if got := net.HardwareAddr(frames[0].Data[6:12]); got.String() != a.MAC().String() {
			t.Errorf("on the %s: frame comes from %v, want %v", where, got, a.MAC())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestProcessesDieWithTheLab(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "procs")
	h := labtest.Host(t, l, "host", "192.0.2.1/24")
	// The child leaves its parent's process group, as daemons' children do.
	p, err := h.Start(lab.Command{Argv: []string{"setsid", "-f", "sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	q, err := h.Start(lab.Command{Argv: []string{"sh", "-c", "sleep 1000 & wait"}})
	if err != nil {
		t.Fatal(err)
	}
	inside := func() []int {
		pids, err := h.Pids()
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	labtest.Eventually(t, 5*second, "three processes", func() error {
		if got := inside(); len(got) != 3 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	pids := inside()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if q.Running() {
		t.Error("a process outlived the lab")
	}
	labtest.Eventually(t, 5*second, "all gone", func() error {
		for _, pid := range pids {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(b), ") Z ") {
				return fmt.Errorf("process %d lives", pid)
			}
		}
		return nil
	})
	for _, path := range []string{filepath.Join("/run/netns", h.Namespace()), l.Dir()} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestRunAndStop(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "run")
	h := labtest.Host(t, l, "host", "192.0.2.1/24")
	out, err := h.Run(t.Context(), "cat", "/proc/net/dev")
	if err != nil || !strings.Contains(out, "eth0:") {
		t.Errorf("eth0 is not seen inside: %q, %v", out, err)
	}
	if _, err := h.Run(t.Context(), "sh", "-c", "echo why; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("failure without its reason: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no end at the deadline: %v", err)
	}
	p, err := h.Start(lab.Command{Argv: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Stop(t.Context()); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("stopped by %v, want SIGTERM", err)
	}
	if _, err := h.Start(lab.Command{Argv: []string{"/does/not/exist"}}); err == nil {
		t.Error("no error for a missing command")
	}
}

func TestNamesOfLabsAndHosts(t *testing.T) {
	t.Parallel()
	a, b := labtest.New(t, "same"), labtest.New(t, "same")
	ha, hb := labtest.Host(t, a, "host"), labtest.Host(t, b, "host")
	if ha.Namespace() == hb.Namespace() {
		t.Error("two labs share a namespace")
	}
	for _, bad := range []string{"host", "switch", "", "a/b"} {
		if _, err := a.AddHost(bad); err == nil {
			t.Errorf("host name %q is taken", bad)
		}
	}
	if l, err := lab.New("a-b"); err == nil {
		t.Errorf("lab name with a dash is taken: %v", l.Close())
	}
}
