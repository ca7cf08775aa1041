package director

import (
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/config"
)

func httpCheck() *config.Checker {
	return &config.Checker{
		Pos: config.Pos{File: "a.conf", Line: 3, Col: 5}, Type: config.HTTPGet, DelayLoop: 6 * time.Second, Retry: 3,
		HTTP: &config.HTTPGetOptions{URLs: []config.URL{{Pos: config.Pos{Line: 4}, Path: "/", StatusCode: []config.StatusRange{{From: 200, To: 200}}}}},
	}
}

func fingerprintOf(c *config.Checker) string {
	return block{&config.Config{}, &config.RealServer{}, c, nil}.fingerprint()
}

func TestACheckerThatOnlyMovedInItsFileIsUnchanged(t *testing.T) {
	a, b := httpCheck(), httpCheck()
	b.Pos.Line, b.HTTP.URLs[0].Pos.Line = 30, 40
	if fingerprintOf(a) != fingerprintOf(b) {
		t.Error("a position is part of the fingerprint")
	}
	for name, change := range map[string]func(*config.Checker){
		"retry":       func(c *config.Checker) { c.Retry++ },
		"path":        func(c *config.Checker) { c.HTTP.URLs[0].Path = "/x" },
		"status_code": func(c *config.Checker) { c.HTTP.URLs[0].StatusCode[0].To++ },
		"delay_loop":  func(c *config.Checker) { c.DelayLoop++ },
		"type":        func(c *config.Checker) { c.Type = config.SSLGet },
	} {
		c := httpCheck()
		change(c)
		if fingerprintOf(a) == fingerprintOf(c) {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}

func TestACheckerThatCannotBeMadeTakesItsServerDownWithTheReason(t *testing.T) {
	vs := virtualServer(1)
	bad := httpCheck()
	bad.Type = "NO_SUCH_CHECK"
	vs.RealServers[0].Checkers = []*config.Checker{httpCheck(), bad}
	specs, errs := Checks(&config.Config{VirtualServers: []*config.VirtualServer{vs}}, nil)
	if len(specs) != 2 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "a.conf:3:5: make NO_SUCH_CHECK of real server 10.0.0.1:80") {
		t.Fatalf("got %d specs, errors %v", len(specs), errs)
	}
	if r := specs[1].Checker.Check(t.Context()); r.OK || !strings.Contains(r.Reason, "NO_SUCH_CHECK") {
		t.Errorf("result %+v", r)
	}
	if s := specs[0].Checker.String(); !strings.HasPrefix(s, "HTTP_GET") {
		t.Errorf("checker %q", s)
	}
}

func TestEveryCheckerTypeIsMade(t *testing.T) {
	vs := virtualServer(3)
	cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}, TrackFiles: []*config.TrackFile{{Name: "load", File: "/run/load"}}}
	for kind, change := range map[string]func(*config.Checker){
		config.SSLGet: func(c *config.Checker) {}, config.TCPCheck: func(c *config.Checker) {}, config.PingCheck: func(c *config.Checker) {},
		config.SMTPCheck: func(c *config.Checker) { c.SMTP = &config.SMTPOptions{HeloName: "x"} },
		config.DNSCheck:  func(c *config.Checker) { c.DNS = &config.DNSOptions{Type: "A", Name: "example.org"} },
		config.UDPCheck:  func(c *config.Checker) { c.UDP = &config.UDPOptions{} },
		config.MiscCheck: func(c *config.Checker) {
			c.Misc = &config.MiscOptions{Script: config.Script{Argv: []string{"/bin/true"}}}
		},
		config.FileCheck: func(c *config.Checker) { c.File = &config.Track{Name: "load", Weight: 1} },
	} {
		c := httpCheck()
		c.Type = kind
		change(c)
		vs.RealServers[0].Checkers = []*config.Checker{c}
		specs, errs := Checks(cfg, nil)
		if len(errs) > 0 || !strings.HasPrefix(specs[0].Checker.String(), kind) {
			t.Errorf("%s: %v, %v", kind, specs[0].Checker, errs)
		}
	}
	c := httpCheck()
	c.Type, c.File = config.FileCheck, &config.Track{Name: "none"}
	vs.RealServers[0].Checkers = []*config.Checker{c}
	if _, errs := Checks(cfg, nil); len(errs) != 1 || !strings.Contains(errs[0].Error(), `track_file "none"`) {
		t.Errorf("a track_file that does not exist: %v", errs)
	}
}
