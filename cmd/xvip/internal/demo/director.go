package demo

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/docs/examples"
	"github.com/xvip-lb/xvip/internal/lab"
)

// director is a host that runs xvip, and a sorry server on its port 80.
type director struct {
	host   *lab.Host
	addr   netip.Addr
	file   string // name of the configuration
	dir    string // of this director: configuration, state, log
	socket string
	argv   []string
	proc   *lab.Process       // nil when it should not run
	seen   map[*webServer]int // checks that web servers saw from the daemon before this one
}

func newDirector(l *lab.Lab, binary, bpffs, name, addr, file string) (*director, error) {
	h, err := l.AddHost(name, on(addr))
	if err != nil {
		return nil, err
	}
	if _, err := h.Serve(":80"); err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(examples.FS, file)
	if err != nil {
		return nil, err
	}
	d := &director{host: h, addr: netip.MustParseAddr(addr), file: file, dir: filepath.Join(l.Dir(), name), seen: map[*webServer]int{}}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, file), text, 0o600); err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", name, err)
	}
	d.socket = filepath.Join(d.dir, "xvip.sock")
	d.argv = []string{binary, "-n", "-l", "-G", "-f", filepath.Join(d.dir, file), "--state-dir", d.dir,
		"--control-socket", d.socket, "--bpffs-dir", filepath.Join(bpffs, name), "--metrics-listen", "127.0.0.1:9650"}
	return d, nil
}

func (d *director) logFile() string { return filepath.Join(d.dir, "log") }

// start runs the daemon. webs tell how much they have seen of the last one.
func (d *director) start(webs []*webServer) error {
	for _, w := range webs {
		d.seen[w] = w.Requests(d.addr)
	}
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", d.host.Name(), err)
	}
	defer log.Close()
	d.proc, err = d.host.Start(lab.Command{Argv: d.argv, Out: log})
	return err
}

// kill is a power cut: the daemon gets no chance and the cable is dead.
func (d *director) kill() error {
	d.proc.Kill()
	d.proc = nil
	return d.host.Unplug()
}

// stop is a clean stop.
func (d *director) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	proc := d.proc
	d.proc = nil
	return proc.Stop(ctx)
}

func (d *director) status(ctx context.Context) (*control.Status, error) {
	var st control.Status
	if err := control.NewClient(d.socket).Get(ctx, "status", &st); err != nil {
		return nil, fmt.Errorf("ask %s: %w", d.host.Name(), err)
	}
	return &st, nil
}

// ready tells whether the daemon runs its virtual router and has no address
// that it should not have.
func (d *director) ready(ctx context.Context) error {
	n, err := d.state(ctx)
	if err == nil && n.hasVIP && n.state != "MASTER" {
		err = fmt.Errorf("%v", n)
	}
	return err
}

// state compares what the daemon says with what the kernel has.
func (d *director) state(ctx context.Context) (nodeState, error) {
	n := nodeState{name: d.host.Name(), running: d.proc != nil}
	var err error
	if n.hasVIP, err = d.host.HasAddress("eth0", vip); err != nil || !n.running {
		return n, err
	}
	st, err := d.status(ctx)
	if err != nil {
		return n, err
	}
	if len(st.VirtualRouters) != 1 {
		return n, fmt.Errorf("%s has %d virtual routers, want 1", n.name, len(st.VirtualRouters))
	}
	n.state = st.VirtualRouters[0].State
	return n, nil
}

// kernelForwarded is how many IPv4 packets the host's kernel has forwarded, and
// whether it may forward at all.
func (d *director) kernelForwarded() (packets string, allowed bool, err error) {
	err = d.host.Do(func() error {
		on, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		if err != nil {
			return err
		}
		allowed = strings.TrimSpace(string(on)) != "0"
		// /proc/net is that of the process; this thread has its own.
		snmp, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		packets, err = snmpValue(string(snmp), "Ip", "ForwDatagrams")
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("read counters of %s: %w", d.host.Name(), err)
	}
	return packets, allowed, nil
}

// snmpValue finds a counter in the format of /proc/net/snmp: for each protocol
// a line of names, then a line of values.
func snmpValue(text, proto, name string) (string, error) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != proto+":" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i := range names {
			if names[i] == name && i < len(f) {
				return f[i], nil
			}
		}
	}
	return "", fmt.Errorf("no counter %s of %s", name, proto)
}
