package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// selfMetrics are the daemon's own: build, configuration, reloads.
type selfMetrics struct {
	build        *prometheus.GaugeVec
	reloads      *prometheus.CounterVec
	reloadOK     prometheus.Gauge
	reloadTime   prometheus.Gauge
	problems     *prometheus.GaugeVec
	applies      *prometheus.CounterVec
	applySeconds prometheus.Histogram
}

func newSelfMetrics(version string) *selfMetrics {
	m := &selfMetrics{
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "xvip_build_info",
			Help: "Always 1; the labels tell the version of xvip and of Go."}, []string{"version", "goversion"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "xvip_config_reloads_total",
			Help: "Readings of the configuration since the start, the first one not counted, by result."}, []string{"result"}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{Name: "xvip_config_last_reload_successful",
			Help: "1 when the last reading of the configuration was taken, 0 when the daemon runs on the one before."}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{Name: "xvip_config_last_success_timestamp_seconds",
			Help: "When a configuration was last taken, in seconds since the Unix epoch."}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "xvip_config_problems",
			Help: "Problems found by the last reading of the configuration, by severity."}, []string{"severity"}),
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "xvip_dataplane_applies_total",
			Help: "Times the wanted services were handed to the forwarding engines, by result."}, []string{"result"}),
		applySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "xvip_dataplane_apply_seconds",
			Help: "How long the forwarding engines took to hold what is wanted, in seconds.", Buckets: prometheus.ExponentialBuckets(1e-4, 4, 9)}),
	}
	m.build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, r := range []string{"ok", "error"} {
		m.reloads.WithLabelValues(r)
		m.applies.WithLabelValues(r)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *selfMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *selfMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *selfMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.build, m.reloads, m.reloadOK, m.reloadTime, m.problems, m.applies, m.applySeconds}
}

func (m *selfMetrics) configTaken(errors, warnings int) {
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
	m.counted(errors, warnings)
}

func (m *selfMetrics) configRefused(errors, warnings int) {
	m.reloadOK.Set(0)
	m.counted(errors, warnings)
}

func (m *selfMetrics) counted(errors, warnings int) {
	m.problems.WithLabelValues("error").Set(float64(errors))
	m.problems.WithLabelValues("warning").Set(float64(warnings))
}

// registry gathers every room's collector with those of the Go runtime.
func registry(all ...prometheus.Collector) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return reg, nil
}

// serveMetrics answers /metrics, /healthz and /readyz on addr until ctx ends.
// An address that is taken is logged and tried again: metrics are not worth a
// failover.
func serveMetrics(ctx context.Context, addr string, reg *prometheus.Registry, ready *atomic.Bool, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	l, err := listenAgain(ctx, addr, log)
	if err != nil {
		return nil // ctx ended first
	}
	log.Info("metrics are served", "address", l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func listenAgain(ctx context.Context, addr string, log *slog.Logger) (net.Listener, error) {
	return again(ctx, func() (net.Listener, error) { return (&net.ListenConfig{}).Listen(ctx, "tcp", addr) },
		log.With("address", addr), "metrics cannot be served; trying again")
}

// again opens a listener until that works or ctx ends, with growing pauses.
func again(ctx context.Context, open func() (net.Listener, error), log *slog.Logger, msg string) (net.Listener, error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		l, err := open()
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		log.Error(msg, "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
