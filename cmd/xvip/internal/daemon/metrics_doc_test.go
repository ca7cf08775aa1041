package daemon

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/health"
)

var rewrite = flag.Bool("rewrite", false, "write docs/METRICS.md again")

const metricsDoc = "../../../../docs/METRICS.md"

// descPattern reads prometheus.Desc's own description; there is no other way
// to its parts.
var descPattern = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)",.* variableLabels: \{([^}]*)\}`)

// The document names exactly the metrics that the daemon serves, with their
// labels and their help.
func TestMetricsDocumentIsTheRegistry(t *testing.T) {
	collectors := []prometheus.Collector{
		newSelfMetrics("test"), health.NewSet(health.WithLogger(slog.New(slog.DiscardHandler))).Collector(),
		routersCollector(), sessionsCollector(), dataplane.NewCollector(dataplane.NewChooser(nil, nil)),
	}
	rows := map[string]string{}
	for _, c := range collectors {
		ch := make(chan *prometheus.Desc)
		go func() { c.Describe(ch); close(ch) }()
		for d := range ch {
			m := descPattern.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("description has another form: %s", d)
			}
			labels := strings.ReplaceAll(m[3], ",", ", ")
			rows[m[1]] = fmt.Sprintf("| `%s` | %s | %s |", m[1], labels, strings.ReplaceAll(m[2], `\"`, `"`))
		}
	}
	var names []string
	for n := range rows {
		if !strings.HasPrefix(n, "xvip_") {
			t.Errorf("metric %q does not begin with xvip_", n)
		}
		names = append(names, n)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.WriteString(metricsIntro)
	for _, n := range names {
		b.WriteString(rows[n] + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(metricsDoc, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsDoc)
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Errorf("docs/METRICS.md is not what the registry has (%v): run go test ./cmd/xvip/internal/daemon -rewrite", err)
	}
}

const metricsIntro = `# Metrics

Served on ` + "`metrics_listen`" + ` (default 127.0.0.1:9650) at /metrics, with those of the Go runtime and of the process beside them. /healthz answers
while the process lives, /readyz once everything runs. This page is written from the registry and compared with it by a test.

| metric | labels | meaning |
|---|---|---|
`
