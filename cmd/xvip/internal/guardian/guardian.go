// Package guardian keeps the virtual routers of a daemon that has died. It is a
// second process of the same program, which does nothing while the daemon
// lives: the daemon tells it through a pipe what it is Master of. When the pipe
// ends without a farewell, the guardian goes on as Master, with the addresses
// that are still on the host, while the pinned programs and the kernel forward.
// Within HoldFor the next daemon claims the routers; if none does, the guardian
// hands them to their Backups as a clean stop does.
package guardian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/xvip-lb/xvip/vrrp"
)

// HoldFor is how long routers wait for the next daemon. A service manager needs
// about a second to start one; nobody checks real servers meanwhile.
const HoldFor = 5 * time.Second

// mark, in the environment, has the number of the pipe from the daemon.
const mark = "XVIP_GUARDIAN_FD"

// message is what the daemon tells, in JSON one after the other.
type message struct {
	// Config is the effective configuration of the virtual routers, in the
	// language of the configuration file; empty: as before.
	Config string `json:"config,omitempty"`
	// Masters are the effective priorities of the routers that are Master.
	Masters map[string]uint8 `json:"masters"`
	// Bye is the farewell of a daemon that stops by itself.
	Bye bool `json:"bye,omitempty"`
}

// claim is what the next daemon asks for, and the answer.
type claim struct {
	Routers []string         `json:"routers,omitempty"`
	Masters map[string]uint8 `json:"masters,omitempty"`
}

// Is tells whether this process is to be a guardian.
func Is() bool { return os.Getenv(mark) != "" }

func socketPath(stateDir string) string { return filepath.Join(stateDir, "guardian.sock") }

// Wanted turns the text of a configuration into virtual routers. Nothing but
// the election itself may be in it: no scripts, no static addresses.
type Wanted func(text string) (vrrp.Wanted, error)

// guardian is the process that waits, and then holds.
type guardian struct {
	log    *slog.Logger
	wanted vrrp.Wanted

	mu      sync.Mutex
	masters map[string]uint8
	idle    chan struct{} // closed when nothing is held any more
}

// Run is the life of a guardian: it returns when the daemon has said farewell,
// or when the routers of a dead one are in other hands.
func Run(stateDir string, log *slog.Logger, wanted Wanted) error {
	// ps, pgrep and pidof tell the two processes apart.
	if err := os.WriteFile("/proc/self/comm", []byte("xvip-guardian"), 0); err != nil {
		log.Debug("own name not set", "err", err)
	}
	// The signals of a terminal or service manager are for the daemon.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	path := socketPath(stateDir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove socket of an earlier guardian: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for the next daemon: %w", err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("protect socket %q: %w", path, err)
	}
	g := &guardian{log: log, idle: make(chan struct{})}
	if bye := g.follow(os.NewFile(3, "daemon"), wanted); bye || len(g.masters) == 0 {
		return nil
	}
	return g.hold(l)
}

// follow takes what the daemon tells until it ends; bye is its farewell.
func (g *guardian) follow(r io.Reader, wanted Wanted) (bye bool) {
	dec := json.NewDecoder(r)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			return false // end of the pipe, in the middle of a message too: the last whole one counts
		}
		if m.Bye {
			return true
		}
		if m.Config != "" {
			w, err := wanted(m.Config)
			if err != nil {
				g.log.Error("the guardian cannot keep the virtual routers if the daemon dies", "err", err)
			}
			g.wanted = w
		}
		g.masters = m.Masters
	}
}

// hold goes on as Master until somebody else does.
func (g *guardian) hold(l net.Listener) error {
	g.log.Warn("the daemon has died; the guardian keeps its virtual routers", "masters", g.masters, "for", HoldFor)
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGTERM, syscall.SIGINT)
	set, err := vrrp.NewSet(g.log, g.roleChanged, nil)
	if err != nil {
		return fmt.Errorf("keep the virtual routers of the daemon: %w", err)
	}
	g.keepOnly(g.now())
	set.Update(g.wanted)
	set.Resume(g.now())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	claims := make(chan net.Conn)
	go func() {
		if conn, err := l.Accept(); err == nil {
			claims <- conn
		}
	}()
	select {
	case conn := <-claims:
		return g.handOver(set, conn)
	case <-g.idle:
		g.log.Info("another router is master now; the guardian leaves")
	case s := <-sigs:
		g.log.Info("the guardian is asked to leave", "signal", s.String())
	case <-time.After(HoldFor):
		g.log.Warn("no daemon came back; the guardian gives the virtual routers up")
	}
	set.Stop(false)
	cancel()
	return <-ended
}

// keepOnly leaves of the wanted routers those that are named, with the priority
// they had.
func (g *guardian) keepOnly(priorities map[string]uint8) {
	var kept []vrrp.RouterSpec
	for _, spec := range g.wanted.Routers {
		if p, ok := priorities[spec.Config.Name]; ok {
			spec.Config.Priority = p
			kept = append(kept, spec)
		}
	}
	g.wanted.Routers = kept
}

// handOver answers the next daemon: what it does not want is given up, the rest
// falls silent with its addresses in place. The process ends without removing
// anything.
func (g *guardian) handOver(set *vrrp.Set, conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(HoldFor)); err != nil {
		return fmt.Errorf("talk to the next daemon: %w", err)
	}
	var ask claim
	err := json.NewDecoder(conn).Decode(&ask)
	if err != nil {
		set.Stop(false)
		return fmt.Errorf("read what the next daemon claims: %w", err)
	}
	masters := g.now()
	claimed := map[string]uint8{}
	for _, name := range ask.Routers {
		if p, ok := masters[name]; ok {
			claimed[name] = p
		}
	}
	if len(claimed) < len(masters) {
		g.keepOnly(claimed)
		set.Update(g.wanted)
	}
	set.Stop(true)
	g.log.Info("the next daemon takes the virtual routers", "masters", claimed)
	if err := json.NewEncoder(conn).Encode(claim{Masters: claimed}); err != nil {
		return fmt.Errorf("answer the next daemon: %w", err)
	}
	return nil
}

// now are the routers still held.
func (g *guardian) now() map[string]uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]uint8{}
	for name, p := range g.masters {
		out[name] = p
	}
	return out
}

// roleChanged hears of every router of the set.
func (g *guardian) roleChanged(name string, role vrrp.Role) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if role == vrrp.Master || len(g.masters) == 0 {
		return
	}
	delete(g.masters, name)
	if len(g.masters) == 0 {
		close(g.idle)
	}
}

// Claim asks the guardian of a dead daemon for routers, by name, and gives the
// effective priorities of those it hands over: they are Master, their addresses
// on this host. Without a guardian it gives none.
func Claim(ctx context.Context, stateDir string, routers []string) (map[string]uint8, error) {
	ctx, cancel := context.WithTimeout(ctx, HoldFor)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socketPath(stateDir))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a guardian: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("talk to the guardian: %w", err)
	}
	var answer claim
	if err = json.NewEncoder(conn).Encode(claim{Routers: routers}); err == nil {
		err = json.NewDecoder(conn).Decode(&answer)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil, nil // it had just given up
	}
	if err != nil {
		return nil, fmt.Errorf("ask the guardian: %w", err)
	}
	return answer.Masters, nil
}
