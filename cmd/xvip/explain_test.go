package main

import (
	"testing"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

func TestExplainReadsItsArguments(t *testing.T) {
	for _, c := range []struct {
		client, service, flags string
		want                   string // client, service and flag; empty: an error
	}{
		{"192.0.2.1", "192.0.2.2:80", "syn", "192.0.2.1:40000 192.0.2.2:80 true"},
		{"192.0.2.1:7", "192.0.2.2:80", "ack", "192.0.2.1:7 192.0.2.2:80 false"},
		{"2001:db8::1", "[2001:db8::2]:80", "syn", "[2001:db8::1]:40000 [2001:db8::2]:80 true"},
		{"x", "192.0.2.2:80", "syn", ""}, {"192.0.2.1", "192.0.2.2", "syn", ""}, {"192.0.2.1", "192.0.2.2:80", "fin", ""},
	} {
		var q control.Question
		err := readQuestion(&q, []string{c.client, c.service}, c.flags)
		got := ""
		if err == nil {
			got = q.Client.String() + " " + q.Service.String() + map[bool]string{true: " true", false: " false"}[q.Opening]
		}
		if got != c.want {
			t.Errorf("%s %s %s: %q, %v; want %q", c.client, c.service, c.flags, got, err, c.want)
		}
	}
}
