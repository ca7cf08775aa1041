package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

var someConn = control.Connection{Protocol: "tcp", Client: netip.MustParseAddrPort("203.0.113.7:40000"), Service: netip.MustParseAddrPort("192.0.2.100:80"),
	Real: netip.MustParseAddrPort("198.51.100.1:8080"), State: "established", Active: true, IdleSeconds: 1.5}

func TestConnsFilters(t *testing.T) {
	for _, c := range []struct {
		opt  connsOptions
		want bool
	}{
		{connsOptions{}, true},
		{connsOptions{service: "192.0.2.100:80"}, true}, {connsOptions{service: "192.0.2.100:81"}, false},
		{connsOptions{real: "198.51.100.1"}, true}, {connsOptions{real: "198.51.100.1:8080"}, true}, {connsOptions{real: "198.51.100.1:80"}, false},
		{connsOptions{client: "203.0.113.7"}, true}, {connsOptions{client: "203.0.113.0/24"}, true}, {connsOptions{client: "2001:db8::/32"}, false},
		{connsOptions{state: "established"}, true}, {connsOptions{state: "closing"}, false},
	} {
		match, err := c.opt.filter()
		if err != nil {
			t.Errorf("%+v: %v", c.opt, err)
		} else if got := match(someConn); got != c.want {
			t.Errorf("%+v: %v, want %v", c.opt, got, c.want)
		}
	}
	for _, opt := range []connsOptions{{service: "x"}, {real: "x"}, {client: "x"}, {state: "x"}, {limit: -1}} {
		if _, err := opt.filter(); err == nil {
			t.Errorf("%+v is taken", opt)
		}
	}
}

func TestConnsAreCountedLimitedAndPrinted(t *testing.T) {
	var b bytes.Buffer
	w := connsWriter{opt: connsOptions{limit: 2}, out: &b}
	if !w.add(someConn) || w.add(someConn) {
		t.Error("a limit of 2 is not kept")
	}
	if err := w.end(true); err != nil || strings.Count(b.String(), "203.0.113.7:40000") != 2 || !strings.Contains(b.String(), "ipvsadm -Lcn") {
		t.Errorf("%v, printed:\n%s", err, b.String())
	}
	b.Reset()
	w = connsWriter{opt: connsOptions{count: true, json: true}, out: &b}
	w.add(someConn)
	if err := w.end(false); err != nil || b.String() != "{\"count\":1}\n" {
		t.Errorf("%v, printed %q", err, b.String())
	}
}
