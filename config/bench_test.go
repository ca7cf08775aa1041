package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bigFile writes services virtual servers with ten real servers each.
func bigFile(services int) string {
	var b strings.Builder
	for i := range services {
		fmt.Fprintf(&b, "virtual_server 10.%d.%d.%d 80 {\n    delay_loop 6\n    lvs_sched wrr\n    lvs_method DR\n    protocol TCP\n", 1+i>>16, i>>8&255, i&255)
		for j := range 10 {
			fmt.Fprintf(&b, "    real_server 192.168.%d.%d 80 {\n        weight %d\n        TCP_CHECK {\n            connect_timeout 3\n            retry 2\n        }\n    }\n", i%250, j+1, j+1)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// BenchmarkParse reads 10,000 virtual servers with 100,000 real servers; with
// keepalived installed, it says how many times as long keepalived -t takes.
func BenchmarkParse(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "big.conf")
	if err := os.WriteFile(file, []byte(bigFile(10000)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	start := time.Now()
	for b.Loop() {
		c, ds := Parse(os.DirFS(dir), "big.conf", Options{HostName: "bench"})
		if c == nil || len(c.VirtualServers) != 10000 {
			b.Fatalf("the file does not parse: %v", ds[:min(len(ds), 3)])
		}
	}
	ours := time.Since(start) / time.Duration(b.N)
	path, err := exec.LookPath("keepalived")
	if err != nil {
		b.Log("keepalived is not installed, so there is nothing to compare with")
		return
	}
	start = time.Now()
	_ = exec.Command(path, "-t", "-f", file).Run() // its exit code is not of interest
	b.ReportMetric(float64(time.Since(start))/float64(ours), "times-keepalived")
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "keepalived-ms")
}
