package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

const scrapeConfig = `global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
scrape_configs:
  - job_name: xvip
    static_configs:
      - targets: ["127.0.0.1:9650"]
`

// prometheus runs the real one beside the daemon.
func prometheus(t *testing.T, h *lab.Host) {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("Debian's prometheus is needed (make deps installs it): %v", err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(conf, []byte(scrapeConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p, err := h.Start(lab.Command{Out: log, Argv: []string{path, "--config.file=" + conf, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:9090"}})
	if err != nil {
		t.Fatal(err)
	}
	// It writes into the test's directory until it is gone.
	t.Cleanup(p.Kill)
}

// series asks Prometheus and gives the values by what is told of their labels.
func series(t *testing.T, h *lab.Host, query, label string) (map[string]float64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	text, err := h.Fetch(ctx, "http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any // time, value as text
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("read answer to %s: %w", query, err)
	}
	got := map[string]float64{}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		if got[r.Metric[label]], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("read value of %s: %w", query, err)
		}
	}
	return got, nil
}

// TestStatusAndPrometheusAgree lets a real Prometheus scrape the daemon while
// it elects, balances and loses a web server, and compares what both tell.
func TestStatusAndPrometheusAgree(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, "prom")
	bpffs, err := l.BPFFS()
	if err != nil {
		t.Fatal(err)
	}
	client := labtest.Host(t, l, "client", "192.168.166.10/24")
	webs := realServers(t, l)
	n := xvipNode(t, labtest.Host(t, l, "director1", "192.168.166.130/24"), bpffs, example(t, "lvs-dr-master.conf"))
	n.start()
	prometheus(t, n.host)
	n.wantStates(masterDown+startUp, map[string]string{"VI_1": "MASTER"})
	alternates(t, client, vip1)
	webs["web1"].Down()
	var st *status
	labtest.Eventually(t, 12*time.Second, "web1 is out", func() error {
		if st, err = n.status(); err != nil {
			return err
		}
		for _, r := range st.VirtualServers[0].RealServers {
			if r.Up == (r.Address == "192.168.166.129") && !r.Sorry {
				return fmt.Errorf("%s up: %v", r.Address, r.Up)
			}
		}
		return nil
	})
	if n := st.VirtualServers[0].Connections; n < 20 {
		t.Errorf("%d connections after 20 requests", n)
	}
	compare(t, n, st)
	text := run(t, n.host, "sh", "-c", "promtool check metrics < "+scrape(t, n))
	if strings.TrimSpace(text) != "" {
		t.Errorf("promtool does not like the metrics:\n%s", text)
	}
}

// compare waits until Prometheus has what the status tells.
func compare(t *testing.T, n *node, st *status) {
	t.Helper()
	forwarded := 0.0
	for name, packets := range st.Engine.XDP.Verdicts {
		if strings.HasPrefix(name, "forward_") {
			forwarded += float64(packets)
		}
	}
	if forwarded < 80 {
		t.Errorf("XDP forwarded %v packets of 20 requests", forwarded)
	}
	v := st.VirtualServers[0]
	for _, c := range []struct {
		query, label string
		want         map[string]float64
	}{
		{"up", "job", map[string]float64{"xvip": 1}},
		{"xvip_vrrp_state", "router", map[string]float64{"VI_1": 2}},
		{"xvip_vrrp_effective_priority", "router", map[string]float64{"VI_1": 100}},
		{"xvip_vrrp_transitions_total", "router", map[string]float64{"VI_1": float64(st.VirtualRouters[0].Transitions)}},
		{"xvip_check_up", "real_server", map[string]float64{"192.168.166.129:80": 0, "192.168.166.131:80": 1}},
		{`xvip_engine_available{engine="xdp"}`, "engine", map[string]float64{"xdp": 1}},
		{"xvip_service_connections_total", "service", map[string]float64{"192.168.166.100:80": float64(v.Connections)}},
		{"xvip_service_packets_in_total", "service", map[string]float64{"192.168.166.100:80": float64(v.PacketsIn)}},
		{`sum(xvip_xdp_verdict_packets_total{verdict=~"forward_.*"})`, "", map[string]float64{"": forwarded}},
		{"xvip_config_last_reload_successful", "job", map[string]float64{"xvip": 1}},
	} {
		labtest.Eventually(t, 10*time.Second, c.query, func() error {
			got, err := series(t, n.host, c.query, c.label)
			if err == nil && fmt.Sprint(got) != fmt.Sprint(c.want) {
				err = fmt.Errorf("Prometheus has %v, want %v", got, c.want)
			}
			return err
		})
	}
}

// scrape writes the daemon's metrics to a file.
func scrape(t *testing.T, n *node) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	text, err := n.host.Fetch(ctx, "http://127.0.0.1:9650/metrics")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "metrics")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// realServers adds the web servers of the examples, for direct routing.
func realServers(t *testing.T, l *lab.Lab) map[string]*lab.Web {
	t.Helper()
	webs := map[string]*lab.Web{}
	for name, addr := range map[string]string{"web1": "192.168.166.129/24", "web2": "192.168.166.131/24"} {
		h := labtest.Host(t, l, name, addr)
		if err := h.BeRealServer(netip.MustParseAddr(vip1), netip.MustParseAddr(vip2)); err != nil {
			t.Fatal(err)
		}
		webs[name] = serve(t, h)
	}
	return webs
}
