package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/daemon"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/guardian"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/logging"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
)

func versionLine() string {
	return fmt.Sprintf("xvip %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// runDaemon is xvip without a command: what the flags ask for, the daemon if
// they ask for nothing else.
func runDaemon(ctx context.Context, opt *options.Options) error {
	if err := opt.Check(); err != nil {
		return err
	}
	switch {
	case opt.Version:
		fmt.Println(versionLine())
		return nil
	case opt.Signum != "":
		n, err := daemon.Signum(opt.Signum)
		if err == nil {
			fmt.Println(n)
		}
		return err
	case opt.Test != "":
		return testConfig(opt)
	}
	if guardian.Is() {
		log, err := openLog(opt, &config.Config{XVIP: config.XVIP{LogLevel: opt.LogLevel}})
		if err != nil {
			return err
		}
		return guardian.Run(opt.StateDir, log.With("process", "guardian"), daemon.GuardWanted(opt))
	}
	if err := daemon.Privileged(); err != nil {
		return err
	}
	if err := prepareProcess(opt); err != nil {
		return err
	}
	// Interfaces are others in a namespace, and the startup script may make them.
	cfg, ds := daemon.LoadBefore(opt)
	if cfg == nil {
		return refused(ds)
	}
	if ns := firstOf(opt.Namespace, cfg.Global.NetNamespace); ns != "" {
		if err := daemon.EnterNamespace(ns); err != nil {
			return err
		}
	}
	log, err := openLog(opt, cfg)
	if err != nil {
		return err
	}
	if !daemon.IsChild() {
		if err := daemon.RunStartupScript(ctx, cfg, log); err != nil {
			return err
		}
	}
	if cfg, ds = daemon.Load(opt); cfg == nil {
		return refused(ds)
	}
	if !opt.NoFork && !daemon.IsChild() {
		return daemon.Fork()
	}
	if opt.Umask == "" && cfg.Global.Umask >= 0 {
		syscall.Umask(cfg.Global.Umask)
	}
	daemon.LogDiagnostics(log, ds)
	if opt.DumpConf {
		log.Info("effective configuration", "config", string(config.Print(cfg)))
	}
	return daemon.Run(ctx, opt, version, cfg, ds, log, daemon.TellParent)
}

func openLog(opt *options.Options, cfg *config.Config) (*slog.Logger, error) {
	level, err := logging.ParseLevel(cfg.XVIP.LogLevel)
	if err != nil {
		return nil, err
	}
	lo := logging.Options{File: opt.LogFile, Syslog: !opt.NoSyslog, Facility: opt.Facility, Level: level}
	if opt.Console || opt.NoFork && opt.NoSyslog && opt.LogFile == "" {
		lo.Console = os.Stderr
	}
	return logging.New(lo)
}

// prepareProcess carries out the flags about the process itself.
func prepareProcess(opt *options.Options) error {
	if opt.Umask != "" {
		mask, err := strconv.ParseUint(opt.Umask, 8, 9)
		if err != nil {
			return fmt.Errorf("flag --umask %q: %w", opt.Umask, err)
		}
		syscall.Umask(int(mask))
	}
	if opt.CoreDump || opt.CorePat != "" {
		debug.SetTraceback("crash")
		inf := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &inf); err != nil {
			return fmt.Errorf("allow core dumps: %w", err)
		}
	}
	if opt.CorePat != "" {
		if err := os.WriteFile("/proc/sys/kernel/core_pattern", []byte(opt.CorePat), 0o644); err != nil {
			return fmt.Errorf("set core pattern: %w", err)
		}
	}
	return nil
}

// refused prints every problem and ends with what keepalived's users expect: a
// daemon that does not start.
func refused(ds []config.Diagnostic) error {
	if err := writeProblems(os.Stderr, ds, false); err != nil {
		return err
	}
	errs, _ := daemon.Counts(ds)
	return fmt.Errorf("the configuration has %s; nothing was started", plural(errs, "error"))
}

// readOnce has a process that reads one large file and ends collect garbage
// late: what it has at the end is mostly the configuration itself.
func readOnce(file string) {
	const large, late = 4 << 20, 512 << 20
	if st, err := os.Stat(file); err == nil && st.Size() > large {
		debug.SetGCPercent(4000)
		debug.SetMemoryLimit(late)
	}
}

// testConfig is -t: all problems, exit 0 when a daemon would run. With
// --strict, 5 tells warnings and 6 a script security notice, as keepalived.
func testConfig(opt *options.Options) error {
	readOnce(opt.File)
	cfg, ds := daemon.Load(opt)
	if opt.Test == options.TestStderr {
		if err := writeProblems(os.Stderr, ds, opt.JSONErrors); err != nil {
			return err
		}
	} else {
		var out bytes.Buffer
		if err := writeProblems(&out, ds, opt.JSONErrors); err != nil {
			return err
		}
		if err := os.WriteFile(opt.Test, out.Bytes(), 0o640); err != nil {
			return fmt.Errorf("write messages of the test: %w", err)
		}
	}
	switch {
	case cfg == nil:
		return exitCode(1)
	case opt.Strict && has(ds, config.ScriptSecurity):
		return exitCode(6)
	case opt.Strict && has(ds, config.General):
		return exitCode(5)
	}
	return nil
}

func has(ds []config.Diagnostic, class config.Class) bool {
	for _, d := range ds {
		if d.Class == class && d.Severity <= config.Warning {
			return true
		}
	}
	return false
}

// jsonProblem is one diagnostic for an editor.
type jsonProblem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Col      int      `json:"col"`
	Severity string   `json:"severity"`
	Word     string   `json:"word,omitempty"`
	Message  string   `json:"message"`
	From     []string `json:"included_from,omitempty"`
	Link     string   `json:"link,omitempty"`
}

func jsonDiagnostic(d config.Diagnostic) jsonProblem {
	p := jsonProblem{File: d.Pos.File, Line: d.Pos.Line, Col: d.Pos.Col, Severity: d.Severity.String(), Word: d.Keyword, Message: d.Message, Link: d.Link}
	for _, from := range d.IncludedFrom {
		p.From = append(p.From, from.String())
	}
	return p
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// defaultSocket is where a client looks for the daemon.
const defaultSocket = "/run/xvip/xvip.sock"
