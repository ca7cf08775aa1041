package daemon

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
	"github.com/xvip-lb/xvip/dataplane/xdp"
	"github.com/xvip-lb/xvip/internal/script"
)

// Load reads the configuration of this host. The Config is nil when any
// diagnostic is an error. Flags have been laid over the xvip block, and what
// -P and -C leave out is gone.
func Load(opt *options.Options) (*config.Config, []config.Diagnostic) {
	return load(opt, hostOptions(opt))
}

// LoadBefore is Load without a look at interfaces: for what comes before they
// have to be there.
func LoadBefore(opt *options.Options) (*config.Config, []config.Diagnostic) {
	host := hostOptions(opt)
	host.InterfaceExists = nil
	return load(opt, host)
}

func load(opt *options.Options, host config.Options) (*config.Config, []config.Diagnostic) {
	path, err := filepath.Abs(opt.File)
	if err != nil {
		path = opt.File
	}
	cfg, ds := config.Parse(os.DirFS("/"), path, host)
	if cfg == nil {
		return nil, ds
	}
	overlay(&cfg.XVIP, opt)
	if opt.VRRPOnly {
		cfg.VirtualServers, cfg.VirtualServerGroups = nil, nil
	}
	if opt.CheckOnly {
		cfg.VRRPInstances, cfg.VRRPSyncGroups = nil, nil
	}
	return cfg, ds
}

// overlay lets the flags win over the xvip block.
func overlay(x *config.XVIP, opt *options.Options) {
	for _, s := range []struct {
		to   *string
		from string
	}{
		{&x.Dataplane, opt.Dataplane}, {&x.XDPMode, opt.XDPMode}, {&x.MetricsListen, opt.MetricsListen},
		{&x.ControlSocket, opt.ControlSocket}, {&x.StateDir, opt.StateDir}, {&x.BPFFSDir, opt.BPFFSDir}, {&x.LogLevel, opt.LogLevel},
	} {
		if s.from != "" {
			*s.to = s.from
		}
	}
	if len(opt.XDPInterfaces) > 0 {
		x.XDPInterfaces = opt.XDPInterfaces
	}
	x.BPFFSDir = pinDir(x.BPFFSDir, x.StateDir)
	if opt.Detail && opt.LogLevel == "" {
		x.LogLevel = "debug"
	}
}

// defaultStateDir is the state directory of a host's one daemon.
const defaultStateDir = "/run/xvip"

// pinDir is where a daemon pins: daemons with different state directories, each
// in its own network namespace perhaps, must not adopt each other's tables. So
// the default directory is for the default state directory alone, and any other
// has one of its own beside it. Dots may not be in names there (kernel/bpf/inode.c).
func pinDir(dir, state string) string {
	state = filepath.Clean(state)
	if dir != xdp.DefaultPinDir || state == defaultStateDir {
		return dir
	}
	name := strings.NewReplacer("/", "-", ".", "_").Replace(strings.Trim(state, "/"))
	if len(name) > 100 {
		h := fnv.New64a()
		h.Write([]byte(state))
		name = fmt.Sprintf("%s-%x", name[:80], h.Sum64())
	}
	return dir + "-" + name
}

// hostOptions lets the parser ask this host.
func hostOptions(opt *options.Options) config.Options {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return config.Options{
		ConfigID: opt.ConfigID, HostName: host, Now: time.Now(), RandomSeed: time.Now().UnixNano(), LookupEnv: os.LookupEnv,
		InterfaceExists: func(name string) bool {
			_, err := net.InterfaceByName(name)
			return err == nil
		},
		LookupUser: lookupUser, LookupGroup: lookupGroup, CheckScript: checkScript,
	}
}

func lookupUser(name string) (config.User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return config.User{}, fmt.Errorf("there is no user %q on this host", name)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return config.User{}, fmt.Errorf("read numbers of user %q: %w", name, err)
	}
	out := config.User{UID: uint32(uid), GID: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return config.User{}, fmt.Errorf("read groups of user %q: %w", name, err)
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			out.Groups = append(out.Groups, uint32(n))
		}
	}
	return out, nil
}

func lookupGroup(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		g, err = user.LookupGroupId(name)
	}
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this host", name)
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read number of group %q: %w", name, err)
	}
	return uint32(gid), nil
}

func checkScript(path string, uid, gid uint32) config.ScriptState {
	c := script.Command{Argv: []string{path}, UID: uid, GID: gid, HasUser: true}
	if err := script.Check(c, false); err != nil {
		return config.ScriptState{Fault: err.Error()}
	}
	st := config.ScriptState{Path: path}
	if err := script.Check(c, true); err != nil {
		st.Unsafe = err.Error()
	}
	return st
}

// Counts gives how many diagnostics are errors and warnings.
func Counts(ds []config.Diagnostic) (errs, warnings int) {
	for _, d := range ds {
		switch d.Severity {
		case config.Error:
			errs++
		case config.Warning:
			warnings++
		}
	}
	return errs, warnings
}
