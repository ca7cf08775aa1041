package director

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/health"
)

// Checks gives the checkers that the configuration wants, each with a
// fingerprint by which a reload knows an unchanged one. A checker that cannot
// be made is in the errors, and its server counts as down with that reason.
func Checks(cfg *config.Config) ([]health.Spec, []error) {
	var specs []health.Spec
	var errs []error
	for _, vs := range cfg.VirtualServers {
		for _, rs := range vs.RealServers {
			server := health.ServerID{Service: Name(vs), Server: serverName(rs)}
			for i, c := range rs.Checkers {
				checker, err := newChecker(c)
				if err != nil {
					err = fmt.Errorf("%s: make %s of real server %s: %w", c.Pos, c.Type, server.Server, err)
					errs = append(errs, err)
					checker = broken{err}
				}
				specs = append(specs, health.Spec{
					ID:          health.ID{ServerID: server, Index: i},
					Fingerprint: fingerprint(c),
					Checker:     checker,
					Timing:      timing(c),
					LogFailures: c.LogAllFailures,
				})
			}
		}
	}
	return specs, errs
}

// makers turn a checker block into a probe, by keyword.
var makers = map[string]func(*config.Checker) (health.Checker, error){
	config.HTTPGet:  newHTTP,
	config.SSLGet:   newHTTP,
	config.TCPCheck: newTCP,
}

func newChecker(c *config.Checker) (health.Checker, error) {
	mk, ok := makers[c.Type]
	if !ok {
		return nil, fmt.Errorf("no checker of that type runs here")
	}
	return mk(c)
}

func newTCP(c *config.Checker) (health.Checker, error) { return health.NewTCP(connect(c)), nil }

func newHTTP(c *config.Checker) (health.Checker, error) {
	h := c.HTTP
	if h == nil {
		h = &config.HTTPGetOptions{}
	}
	cfg := health.HTTPConfig{
		Connect: connect(c), TLS: c.Type == config.SSLGet, EnableSNI: h.EnableSNI, SNIName: h.SNIName, VirtualHost: h.VirtualHost,
		Version: map[string]health.HTTPVersion{"1.0C": health.HTTP10C, "1.1": health.HTTP11}[h.HTTPProtocol],
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

func connect(c *config.Checker) health.Connect {
	return health.Connect{
		Addr: netip.AddrPortFrom(c.ConnectIP, c.ConnectPort), BindAddr: c.BindTo, BindPort: c.BindPort,
		BindIf: c.BindIf, Mark: c.FWMark, Timeout: c.ConnectTimeout,
	}
}

func timing(c *config.Checker) health.Timing {
	return health.Timing{
		DelayLoop: c.DelayLoop, Retry: c.Retry, DelayBeforeRetry: c.DelayBeforeRetry, Warmup: c.Warmup, Alpha: c.Alpha,
		FastRecovery: c.HTTP != nil && c.HTTP.FastRecovery,
		FromStart:    c.Type == config.MiscCheck,
	}
}

// fingerprint renders the block without its positions, so that a checker that
// only moved in its file is unchanged.
func fingerprint(c *config.Checker) string {
	b, err := json.Marshal(c)
	var tree any
	if err == nil {
		err = json.Unmarshal(b, &tree)
	}
	if err == nil {
		dropPositions(tree)
		b, err = json.Marshal(tree)
	}
	if err != nil {
		panic("director: checker block has no JSON form: " + err.Error())
	}
	return string(b)
}

func dropPositions(tree any) {
	switch t := tree.(type) {
	case map[string]any:
		delete(t, "Pos")
		for _, v := range t {
			dropPositions(v)
		}
	case []any:
		for _, v := range t {
			dropPositions(v)
		}
	}
}

// broken stands in for a checker that could not be made: its server is down
// with the reason, instead of up without a check.
type broken struct{ err error }

func (b broken) Check(context.Context) health.Result { return health.Result{Reason: b.err.Error()} }

func (b broken) String() string { return "checker that cannot run" }
