package director

import (
	"crypto/tls"
	"errors"
	"fmt"

	"net/netip"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/health"
	"github.com/xvip-lb/xvip/internal/script"
)

// block is one checker block with what it refers to.
type block struct {
	cfg *config.Config
	rs  *config.RealServer
	c   *config.Checker
	bfd health.Sessions
}

// makers turn a block into a probe, by keyword.
var makers = map[string]func(block) (health.Checker, error){
	config.HTTPGet:   block.http,
	config.SSLGet:    block.http,
	config.TCPCheck:  func(b block) (health.Checker, error) { return health.NewTCP(connect(b.c.ConnectOptions)), nil },
	config.PingCheck: func(b block) (health.Checker, error) { return health.NewPing(connect(b.c.ConnectOptions)), nil },
	config.SMTPCheck: block.smtp,
	config.DNSCheck:  block.dns,
	config.UDPCheck:  block.udp,
	config.MiscCheck: block.misc,
	config.FileCheck: block.file,
	config.BFDCheck:  func(b block) (health.Checker, error) { return health.NewBFD(b.c.BFD, b.bfd), nil },
}

func (b block) checker() (health.Checker, error) {
	mk, ok := makers[b.c.Type]
	if !ok {
		return nil, errors.New("no checker of that type runs in this release")
	}
	return mk(b)
}

func (b block) http() (health.Checker, error) {
	h := b.c.HTTP
	if h == nil {
		h = &config.HTTPGetOptions{}
	}
	cfg := health.HTTPConfig{
		Connect: connect(b.c.ConnectOptions), TLS: b.c.Type == config.SSLGet, EnableSNI: h.EnableSNI, SNIName: h.SNIName, VirtualHost: h.VirtualHost,
		Version: map[string]health.HTTPVersion{"1.0C": health.HTTP10C, "1.1": health.HTTP11}[h.HTTPProtocol],
	}
	if s := b.cfg.SSL; s != nil && cfg.TLS && s.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, fmt.Errorf("load client certificate of the SSL block: %w", err)
		}
		cfg.Certificate = &cert
	}
	for _, u := range h.URLs {
		url := health.URL{
			Path: u.Path, Digest: u.Digest, VirtualHost: u.VirtualHost, Regex: u.Regex, RegexOpts: u.RegexOptions,
			NoMatch: u.RegexNoMatch, MinOffset: u.RegexMinOffset, MaxOffset: u.RegexMaxOffset,
		}
		for _, r := range u.StatusCode {
			url.Status = append(url.Status, health.StatusRange{First: r.From, Last: r.To})
		}
		cfg.URLs = append(cfg.URLs, url)
	}
	return health.NewHTTP(cfg)
}

func (b block) smtp() (health.Checker, error) {
	c := health.SMTPConfig{}
	if b.c.SMTP != nil {
		c.Helo = b.c.SMTP.HeloName
		for _, h := range b.c.SMTP.Hosts {
			c.Hosts = append(c.Hosts, connect(h))
		}
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []health.Connect{connect(b.c.ConnectOptions)}
	}
	return health.NewSMTP(c)
}

func (b block) dns() (health.Checker, error) {
	c := health.DNSConfig{Connect: connect(b.c.ConnectOptions)}
	if b.c.DNS != nil {
		c.Type, c.Name = b.c.DNS.Type, b.c.DNS.Name
	}
	return health.NewDNS(c)
}

func (b block) udp() (health.Checker, error) {
	c := health.UDPConfig{Connect: connect(b.c.ConnectOptions)}
	if u := b.c.UDP; u != nil {
		c.Payload, c.RequireReply, c.Reply, c.ReplyMask = u.Payload, u.RequireReply, u.Reply, u.ReplyMask
		c.MinReply, c.MaxReply = u.MinReplyLength, u.MaxReplyLength
	}
	return health.NewUDP(c)
}

func (b block) misc() (health.Checker, error) {
	m := b.c.Misc
	if m == nil || len(m.Script.Argv) == 0 {
		return nil, errors.New("misc_path is missing")
	}
	s := m.Script
	return health.NewMisc(health.MiscConfig{
		Command: script.Command{Argv: s.Argv, UID: s.UID, GID: s.GID, Groups: s.Groups, HasUser: true},
		Timeout: m.Timeout, Dynamic: m.Dynamic, ServerWeight: b.rs.Weight,
	}), nil
}

func (b block) file() (health.Checker, error) {
	if b.c.File == nil {
		return nil, errors.New("track_file is missing")
	}
	for _, f := range b.cfg.TrackFiles {
		if f.Name == b.c.File.Name {
			return health.NewFile(health.FileConfig{Path: f.File, Weight: b.c.File.Weight, Reverse: b.c.File.Reverse}), nil
		}
	}
	return nil, fmt.Errorf("find track_file %q: there is none of that name", b.c.File.Name)
}

func connect(c config.ConnectOptions) health.Connect {
	return health.Connect{
		Addr: netip.AddrPortFrom(c.ConnectIP, c.ConnectPort), BindAddr: c.BindTo, BindPort: c.BindPort,
		BindIf: c.BindIf, Mark: c.FWMark, Timeout: c.ConnectTimeout,
	}
}

func (b block) timing() health.Timing {
	c := b.c
	t := health.Timing{
		DelayLoop: c.DelayLoop, Retry: c.Retry, DelayBeforeRetry: c.DelayBeforeRetry, Warmup: c.Warmup, Alpha: c.Alpha,
		FastRecovery: c.HTTP != nil && c.HTTP.FastRecovery, FromStart: c.Type == config.MiscCheck,
	}
	switch c.Type {
	case config.FileCheck:
		t.DelayLoop, t.Retry, t.Warmup = health.FilePoll, 0, 0
	case config.BFDCheck:
		t.DelayLoop, t.Retry, t.Warmup = health.BFDPoll, 0, 0
	}
	return t
}
