package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

func TestDropsArePrinted(t *testing.T) {
	martian := control.Drop{Time: time.Unix(0, 0), Reason: "drop_martian", Interface: "eth0", Length: 60, Packet: "tcp 127.0.0.1:1 > 192.0.2.1:80"}
	var out bytes.Buffer
	w := dropsWriter{opt: dropsOptions{reason: "drop_martian", count: 2}, out: &out}
	if !w.add(control.Drop{Reason: "drop_ttl"}) || out.Len() > 0 {
		t.Errorf("another reason is printed: %q", out.String())
	}
	if !w.add(martian) || w.add(martian) {
		t.Error("it does not end after two")
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || !strings.HasSuffix(lines[0], "eth0 drop_martian, 60 octets: tcp 127.0.0.1:1 > 192.0.2.1:80") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	w = dropsWriter{opt: dropsOptions{json: true}, out: &out}
	w.add(martian)
	var back control.Drop
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Packet != martian.Packet {
		t.Errorf("%s, %v", out.String(), err)
	}
}
