package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/xvip-lb/xvip/internal/lab"
)

// What the files of the pair say.
const (
	vipURL      = "http://192.168.166.100/"
	service     = "192.168.166.100:80"
	delayLoop   = 6 * time.Second
	retries     = 3
	retryDelay  = 1 * time.Second
	advertInt   = 1 * time.Second
	skewOfSlave = (256 - 90) * time.Second / 256 // of the backup's priority
)

// Times in which the pair must react, from its files.
const (
	// masterDown is how long a backup listens before it takes over.
	masterDown = 3*advertInt + skewOfSlave
	// takeOut is the longest a dead server that refuses connections stays in:
	// the time to the next check, then every retry.
	takeOut = delayLoop + retries*retryDelay
	// slack is for the machine that plays all the machines at once.
	slack = time.Second
)

// The client asks this often, and gives up on an answer after a second.
const (
	pace    = 20 * time.Millisecond
	timeout = time.Second
)

var vip = netip.MustParseAddr("192.168.166.100")

// site is the cast: a client, two directors, two web servers.
type site struct {
	lab    *lab.Lab
	show   *show
	client *lab.Host
	first  *director // of lvs-dr-master.conf
	second *director // of lvs-dr-backup.conf
	webs   []*webServer
}

type webServer struct {
	*lab.Web
	host *lab.Host
	addr netip.Addr
}

func newSite(l *lab.Lab, binary string, sh *show) (*site, error) {
	s := &site{lab: l, show: sh}
	bpffs, err := l.BPFFS()
	if err != nil {
		return nil, err
	}
	if s.client, err = l.AddHost("client", on("192.168.166.10")); err != nil {
		return nil, err
	}
	s.first, err = newDirector(l, binary, bpffs, "director1", "192.168.166.130", "lvs-dr-master.conf")
	if err != nil {
		return nil, err
	}
	s.second, err = newDirector(l, binary, bpffs, "director2", "192.168.166.132", "lvs-dr-backup.conf")
	if err != nil {
		return nil, err
	}
	for name, addr := range map[string]string{"web1": "192.168.166.129", "web2": "192.168.166.131"} {
		if err := s.addWeb(name, addr); err != nil {
			return nil, err
		}
	}
	if s.webs[0].host.Name() == "web2" {
		s.webs[0], s.webs[1] = s.webs[1], s.webs[0]
	}
	return s, nil
}

func on(addr string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(addr), 24) }

func (s *site) addWeb(name, addr string) error {
	h, err := s.lab.AddHost(name, on(addr))
	if err != nil {
		return err
	}
	if err := h.BeRealServer(vip); err != nil {
		return err
	}
	w, err := h.Serve(":80")
	if err != nil {
		return err
	}
	s.webs = append(s.webs, &webServer{Web: w, host: h, addr: netip.MustParseAddr(addr)})
	return nil
}

func (s *site) directors() []*director { return []*director{s.first, s.second} }

// watch lets the client ask for the page until its Stop.
func (s *site) watch() *lab.Probe { return s.client.Probe(vipURL, pace, timeout) }

// await waits for check while the progress line tells what it waits for.
func (s *site) await(ctx context.Context, limit time.Duration, what string, check func() error) (time.Duration, error) {
	start := time.Now()
	took, err := lab.Await(ctx, limit, func() error {
		err := s.dead()
		if err == nil {
			err = check()
		}
		s.show.progress(time.Since(start), limit, what, err)
		return err
	})
	if err != nil {
		return took, fmt.Errorf("%s: not within %v: %w", what, limit.Round(10*time.Millisecond), err)
	}
	return took, nil
}

// rest lets the client go on asking for a while.
func (s *site) rest(ctx context.Context, d time.Duration, what string) error {
	end := time.Now().Add(d)
	_, err := s.await(ctx, d+slack, what, func() error {
		if time.Now().Before(end) {
			return errors.New("looking")
		}
		return nil
	})
	return err
}

// dead tells of a daemon that ended without being told to.
func (s *site) dead() error {
	for _, d := range s.directors() {
		if d.proc != nil && !d.proc.Running() {
			return fmt.Errorf("the daemon of %s has ended: %v", d.host.Name(), d.proc.Err())
		}
	}
	return nil
}

// owner checks that exactly the wanted director has the address and says so.
func (s *site) owner(ctx context.Context, want *director) error {
	var all []nodeState
	for _, d := range s.directors() {
		st, err := d.state(ctx)
		if err != nil {
			return err
		}
		all = append(all, st)
	}
	return ownedBy(all, want.host.Name())
}

// inRotation checks which web servers the director has in rotation.
func (s *site) inRotation(ctx context.Context, d *director, want ...*webServer) error {
	st, err := d.status(ctx)
	if err != nil {
		return err
	}
	var addrs []string
	for _, w := range want {
		addrs = append(addrs, w.addr.String())
	}
	return realServersUp(st, addrs)
}

// checked tells whether every running director has looked at every web server:
// before its first look a server counts as up without proof, and one failure is
// enough to take it out.
func (s *site) checked() error {
	for _, d := range s.directors() {
		for _, w := range s.webs {
			if d.proc != nil && w.Requests(d.addr) == d.seen[w] {
				return fmt.Errorf("%s has not checked %s yet", d.host.Name(), w.host.Name())
			}
		}
	}
	return nil
}
