package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

func TestDropsArePrinted(t *testing.T) {
	martian := control.Drop{Time: time.Unix(0, 0), Reason: "drop_martian", Interface: "eth0", Length: 60, Packet: "tcp 127.0.0.1:1 > 192.0.2.1:80"}
	var out bytes.Buffer
	w := dropsWriter{opt: dropsOptions{count: 2}, out: &out}
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

// A capture file is what tcpdump reads.
func TestDropsAreCaptured(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	path := filepath.Join(t.TempDir(), "drops.pcap")
	file, err := openPcap(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	head := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, 0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 10, 192, 0, 2, 100, 0x03, 0xe8, 0, 80, 0, 9, 0, 0, 1)
	w := dropsWriter{pcap: file}
	w.add(control.Drop{Time: time.Unix(1700000000, 123456000), Length: 1000, Head: head})
	if err := errors.Join(w.err, file.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(tcpdump, "-nttr", path).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "1700000000.123456 IP 192.0.2.10.1000 > 192.0.2.100.80: UDP, length 1") {
		t.Errorf("%v: %s", err, text)
	}
	if _, err := openPcap(filepath.Join(path, "no"), nil); err == nil {
		t.Error("a file that cannot be made is no error")
	}
}
