package director

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/health"
)

// Checks gives the checkers that the configuration wants, each with a
// fingerprint by which a reload knows an unchanged one. A checker that cannot
// be made is in the errors, and its server counts as down with that reason.
// sessions are for BFD_CHECK.
func Checks(cfg *config.Config, sessions health.Sessions) ([]health.Spec, []error) {
	var specs []health.Spec
	var errs []error
	for _, vs := range cfg.VirtualServers {
		for _, rs := range vs.RealServers {
			server := health.ServerID{Service: Name(vs), Server: serverName(rs)}
			for i, c := range rs.Checkers {
				b := block{cfg, rs, c, sessions}
				checker, err := b.checker()
				if err != nil {
					err = fmt.Errorf("%s: make %s of real server %s: %w", c.Pos, c.Type, server.Server, err)
					errs = append(errs, err)
					checker = broken{err}
				}
				specs = append(specs, health.Spec{
					ID: health.ID{ServerID: server, Index: i}, Fingerprint: b.fingerprint(), Checker: checker,
					Timing: b.timing(), LogFailures: c.LogAllFailures,
				})
			}
		}
	}
	return specs, errs
}

// fingerprint renders the block, and what else its probe is made from, without
// positions: a checker that only moved in its file is unchanged.
func (b block) fingerprint() string {
	parts := map[string]any{"checker": b.c}
	switch b.c.Type {
	case config.MiscCheck:
		parts["weight"] = b.rs.Weight
	case config.FileCheck:
		parts["files"] = b.cfg.TrackFiles
	case config.SSLGet:
		parts["ssl"] = b.cfg.SSL
	}
	raw, err := json.Marshal(parts)
	var tree any
	if err == nil {
		err = json.Unmarshal(raw, &tree)
	}
	if err == nil {
		dropPositions(tree)
		raw, err = json.Marshal(tree)
	}
	if err != nil {
		panic("director: checker block has no JSON form: " + err.Error())
	}
	return string(raw)
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
