package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/guardian"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/vrrp"
)

// guardText is the part of a configuration that a guardian works with: virtual
// routers and their links, no trackers, scripts or services. It is empty without
// virtual routers.
func guardText(cfg *config.Config) string {
	if len(cfg.VRRPInstances) == 0 {
		return ""
	}
	c := config.Config{Global: cfg.Global, InterfaceUpDownDelays: cfg.InterfaceUpDownDelays, GARPGroups: cfg.GARPGroups}
	c.Global.NotifyFIFO, c.Global.VRRPNotifyFIFO, c.Global.LVSNotifyFIFO = nil, nil, nil
	for _, in := range cfg.VRRPInstances {
		kept := *in
		kept.TrackScript, kept.TrackFile, kept.TrackProcess, kept.TrackBFD = nil, nil, nil, nil
		kept.Notify, kept.NotifyMasterRXLowerPri, kept.NotifyDeleted = config.VRRPNotify{}, nil, nil
		c.VRRPInstances = append(c.VRRPInstances, &kept)
	}
	for _, g := range cfg.VRRPSyncGroups {
		kept := config.VRRPSyncGroup{Name: g.Name, Group: g.Group, TrackInterface: g.TrackInterface, GlobalTracking: g.GlobalTracking}
		c.VRRPSyncGroups = append(c.VRRPSyncGroups, &kept)
	}
	return string(config.Print(&c))
}

// GuardWanted reads what guardText wrote.
func GuardWanted(opt *options.Options) guardian.Wanted {
	return func(text string) (vrrp.Wanted, error) {
		const name = "guardian.conf"
		cfg, ds := config.Parse(oneFile{name, text}, name, hostOptions(opt))
		if cfg == nil {
			return vrrp.Wanted{}, errors.New(firstError(ds))
		}
		return wantedRouters(cfg)
	}
}

// oneFile is a file system with one file of text.
type oneFile struct{ name, text string }

// Open implements fs.FS.
func (f oneFile) Open(name string) (fs.File, error) {
	if name != f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openText{f, strings.NewReader(f.text)}, nil
}

// openText is the open file, and what is known of it.
type openText struct {
	oneFile
	*strings.Reader
}

func (t *openText) Close() error               { return nil }
func (t *openText) Stat() (fs.FileInfo, error) { return t, nil }
func (t *openText) Name() string               { return t.name }
func (t *openText) Mode() fs.FileMode          { return 0o400 }
func (t *openText) ModTime() time.Time         { return time.Time{} }
func (t *openText) IsDir() bool                { return false }
func (t *openText) Sys() any                   { return nil }

// claim takes over what a guardian holds for this daemon, if anything. It comes
// last before the election: until then the guardian speaks.
func (d *Daemon) claim(ctx context.Context, cfg *config.Config) bool {
	var names []string
	for _, in := range cfg.VRRPInstances {
		names = append(names, in.Name)
	}
	masters, err := guardian.Claim(ctx, cfg.XVIP.StateDir, names)
	if err != nil {
		d.log.Error("virtual routers of the daemon before are not taken over", "err", err)
	}
	if len(masters) > 0 {
		d.log.Info("taking virtual routers over from the guardian", "masters", fmt.Sprint(masters))
		d.routers.set.Resume(masters)
	}
	return len(masters) > 0
}

// inherit opens the gate of services whose virtual router finds its addresses on
// this host: until it is known who is Master, their packets come here.
func (d *Daemon) inherit() {
	names, err := d.routers.set.Leftovers()
	if err != nil {
		d.log.Warn("addresses of an earlier life not looked for", "err", err)
	}
	for _, name := range names {
		d.director.SetMaster(name, true)
	}
}

// masters are the effective priorities of the routers that are Master.
func (r *routers) masters() map[string]uint8 {
	out := map[string]uint8{}
	for _, s := range r.set.Status() {
		if s.Role == vrrp.Master {
			out[s.Name] = s.EffectivePriority
		}
	}
	return out
}
