package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/vrrp/bfd"
)

// dump writes what a signal asks for: the status as text for DATA and STATS,
// as JSON for JSON, each to the file the configuration names.
func (d *Daemon) dump(s syscall.Signal) error {
	d.mu.Lock()
	g := d.cfg.Global
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st := d.Status(ctx)
	var b bytes.Buffer
	var path string
	var err error
	switch s {
	case signals["DATA"]:
		path, err = g.StateDumpFile, st.WriteText(&b)
	case signals["STATS"], signals["STATS_CLEAR"]:
		path, err = g.StatsDumpFile, st.WriteText(&b)
	case signals["JSON"]:
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		path, err = g.JSONDumpFile, enc.Encode(st)
	default:
		return fmt.Errorf("signal %v asks for nothing", s)
	}
	if err != nil {
		return err
	}
	if err := replaceFile(path, b.Bytes()); err != nil {
		return err
	}
	d.log.Info("state dumped", "file", path)
	return nil
}

// replaceFile writes path, mode 0600, by way of a new file in the same
// directory: nobody reads half of it, and a link planted in its place is
// replaced, not followed.
func replaceFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".xvip-dump")
	if err != nil {
		return fmt.Errorf("write dump %q: %w", path, err)
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write dump %q: %w", path, err)
	}
	return nil
}

func (d *Daemon) registry() (*prometheus.Registry, error) {
	return registry(d.metrics, d.checks.Collector(), d.routers.collector(), bfd.NewCollector(d.sessions.Status, d.sessions.Refused),
		dataplane.NewCollector(d.engines.chooser))
}

// pidFiles are the pid files to write: ours, and those asked for by the flags
// of keepalived's children, which are this same process.
func pidFiles(opt *options.Options, cfg *config.Config) []string {
	own := opt.PidFile
	if own == "" {
		own = filepath.Join(cfg.XVIP.StateDir, "xvip.pid")
	}
	files := []string{own}
	for _, f := range []string{opt.VRRPPidFile, opt.CheckersPidFile, opt.BFDPidFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}
