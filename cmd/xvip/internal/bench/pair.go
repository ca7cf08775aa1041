package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// vip is the first address of the first router.
var vip = netip.MustParseAddr("192.0.2.100")

// pair is two hosts with a daemon of one kind, and a client.
type pair struct {
	every         time.Duration
	client        *lab.Host
	first, second *member
}

// member is one host of a pair.
type member struct {
	host *lab.Host
	argv []string
	log  string
	proc *lab.Process
	dead bool // lost with its address
}

// withPair runs do with a pair that has elected: the first is Master of all
// routers.
func withPair(ctx context.Context, program, path string, every time.Duration, routers int, do func(*pair) error) (err error) {
	l, err := lab.New("bench" + program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	p := &pair{every: every}
	if p.client, err = l.AddHost("client", netip.MustParsePrefix("192.0.2.10/24")); err != nil {
		return err
	}
	for i, m := range []**member{&p.first, &p.second} {
		if *m, err = newMember(l, i+1, program, path, every, routers); err != nil {
			return err
		}
	}
	if err := errors.Join(p.second.start(), p.first.start()); err != nil {
		return err
	}
	if err = p.await(ctx, p.first); err == nil {
		err = do(p)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; the first daemon's last words:\n%s", err, p.first.lastWords())
	}
	return err
}

// lastWords is the end of the daemon's log.
func (m *member) lastWords() []byte {
	const most = 3000
	b, err := os.ReadFile(m.log)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-most):]
}

func newMember(l *lab.Lab, n int, program, path string, every time.Duration, routers int) (*member, error) {
	h, err := l.AddHost(fmt.Sprintf("node%d", n), netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)}), 24))
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir(), h.Name())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	conf := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(conf, []byte(pairConfig(every, 250-50*n, routers)), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	m := &member{host: h, log: filepath.Join(dir, "log"), argv: []string{path, "-n", "-l", "-P", "-f", conf}}
	if program == "xvip" {
		m.argv = append(m.argv, "-G", "--state-dir", dir, "--control-socket", filepath.Join(dir, "sock"))
	} else {
		m.argv = append(m.argv, "-p", filepath.Join(dir, "k.pid"), "-r", filepath.Join(dir, "vrrp.pid"), "-c", filepath.Join(dir, "checkers.pid"))
	}
	return m, nil
}

// pairConfig is the same for both programs, which skip what is not theirs.
func pairConfig(every time.Duration, priority, routers int) string {
	var b strings.Builder
	b.WriteString("global_defs {\n    vrrp_version 3\n}\nxvip {\n    metrics_listen off\n    dataplane none\n}\n")
	for i := range routers {
		a := vip
		if i > 0 {
			a = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		}
		fmt.Fprintf(&b, "vrrp_instance VI_%d {\n    interface eth0\n    virtual_router_id %d\n    priority %d\n    advert_int %g\n    virtual_ipaddress {\n        %s/24\n    }\n}\n",
			i+1, i+1, priority, every.Seconds(), a)
	}
	return b.String()
}

// start starts the daemon. keepalived's child outlives a parent that was killed
// by a moment, in which another keepalived does not start.
func (m *member) start() error {
	m.awaitChild()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	m.dead = false
	m.proc, err = m.host.Start(lab.Command{Argv: m.argv, Out: log})
	return err
}

// awaitChild waits a little for the end of the process in keepalived's second pid
// file, if there is one.
func (m *member) awaitChild() {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(m.log), "vrrp.pid"))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && syscall.Kill(pid, 0) == nil; {
		time.Sleep(10 * time.Millisecond)
	}
}

func (m *member) reload() error { return m.proc.Signal(syscall.SIGHUP) }

func (m *member) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return m.proc.Stop(ctx)
}

// killDaemon kills the process that a service manager knows.
func (m *member) killDaemon() error { return m.proc.Signal(syscall.SIGKILL) }

// powerOff cuts the cable and kills whatever runs.
func (m *member) powerOff() error {
	err := m.host.Unplug()
	pids, pidsErr := m.host.Pids()
	for _, pid := range pids {
		if killErr := syscall.Kill(pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill process %d: %w", pid, killErr))
		}
	}
	m.dead = true
	for _, name := range []string{"k.pid", "vrrp.pid", "checkers.pid"} { // /run is empty after a power cut
		if removeErr := os.Remove(filepath.Join(filepath.Dir(m.log), name)); !errors.Is(removeErr, os.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return errors.Join(err, pidsErr)
}
