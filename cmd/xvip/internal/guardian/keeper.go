package guardian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	lookEvery    = time.Second // at effective priorities, of which nobody tells
	writeWithin  = time.Second // a guardian that does not read is replaced
	restartAfter = time.Second // a guardian that has ended; doubled each time, to restartMost
	restartMost  = time.Minute
	leaveWithin  = 2 * time.Second // after the farewell
)

// Keeper is the daemon's side: it has one guardian run and know what this
// daemon is Master of.
type Keeper struct {
	log     *slog.Logger
	args    []string
	masters func() map[string]uint8
	wake    chan struct{}

	mu     sync.Mutex
	config string
}

// NewKeeper makes a keeper. args are those of the guardian's process; masters
// gives the effective priorities of the routers that are Master now.
func NewKeeper(log *slog.Logger, args []string, masters func() map[string]uint8) *Keeper {
	return &Keeper{log: log, args: args, masters: masters, wake: make(chan struct{}, 1)}
}

// SetConfig gives the configuration that a guardian works with; there is no
// guardian before the first that is not empty.
func (k *Keeper) SetConfig(text string) {
	k.mu.Lock()
	k.config = text
	k.mu.Unlock()
	k.Wake()
}

// Wake has the keeper look at the roles again. It does not wait.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps a guardian running until ctx ends, which is the farewell.
func (k *Keeper) Run(ctx context.Context) error {
	for !k.needed() {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		}
	}
	wait := restartAfter
	for {
		start := time.Now()
		err := k.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(start) > restartMost {
			wait = restartAfter
		}
		k.log.Warn("the guardian has ended, starting another one", "err", err, "in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, restartMost)
	}
}

func (k *Keeper) needed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.config != ""
}

// child is a running guardian.
type child struct {
	pid   int
	pipe  *os.File
	ended chan error
	told  message
}

func start(args []string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "xvip-guardian"
	cmd.Env = append(os.Environ(), mark+"=3")
	cmd.ExtraFiles = []*os.File{r}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Away from the terminal and from signals to the daemon's group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the guardian: %w", err), w.Close())
	}
	c := &child{pid: cmd.Process.Pid, pipe: w, ended: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = errors.New("it left")
		}
		c.ended <- err
	}()
	return c, nil
}

// serve is the life of one guardian.
func (k *Keeper) serve(ctx context.Context) error {
	c, err := start(k.args)
	if err != nil {
		return err
	}
	defer c.pipe.Close()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for first := true; ; first = false {
		if err := k.tell(c); err != nil {
			return err
		}
		if first {
			k.log.Info("a guardian runs: it keeps the virtual routers if this daemon dies", "pid", c.pid)
		}
		select {
		case <-ctx.Done():
			return c.farewell()
		case err := <-c.ended:
			return err
		case <-k.wake:
		case <-look.C:
		}
	}
}

// tell says what the guardian does not know yet.
func (k *Keeper) tell(c *child) error {
	k.mu.Lock()
	now := message{Config: k.config, Masters: k.masters()}
	k.mu.Unlock()
	if now.Config == c.told.Config && maps.Equal(now.Masters, c.told.Masters) {
		return nil
	}
	send := now
	if now.Config == c.told.Config {
		send.Config = ""
	}
	c.told = now
	return c.write(send)
}

func (c *child) write(m message) error {
	if err := c.pipe.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return fmt.Errorf("talk to the guardian: %w", err)
	}
	if err := json.NewEncoder(c.pipe).Encode(m); err != nil {
		return fmt.Errorf("tell the guardian: %w", err)
	}
	return nil
}

// farewell lets the guardian go and waits a while for it.
func (c *child) farewell() error {
	err := c.write(message{Bye: true})
	select {
	case <-c.ended:
	case <-time.After(leaveWithin):
	}
	return err
}
