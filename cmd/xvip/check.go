package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/daemon"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
	"github.com/xvip-lb/xvip/config"
)

// checkOptions say what `xvip check` prints.
type checkOptions struct {
	daemon options.Options
	print  bool
	json   bool
}

// checkCommand reads a file as the daemon would, and says what it makes of it.
func checkCommand() *cobra.Command {
	var opt checkOptions
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "read a configuration, tell every problem, and give advice", Args: cobra.MaximumNArgs(1),
		Long: "check reads FILE (default " + options.DefaultFile + ") as the daemon would and tells every problem with its\n" +
			"place, then the advice that an experienced operator would give. It ends with 1 when\n" +
			"the daemon would not start.",
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.daemon.File = options.DefaultFile
			if len(args) == 1 {
				opt.daemon.File = args[0]
			}
			return check(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opt)
		},
	}
	cmd.Flags().StringVarP(&opt.daemon.ConfigID, "config-id", "i", "", "`ID` that @ID lines are compared with")
	cmd.Flags().BoolVar(&opt.print, "print", false, "print the effective configuration instead: without includes and definitions, with every default")
	cmd.Flags().BoolVar(&opt.json, "json", false, "one JSON object a line for each problem; with --print, the configuration as JSON")
	return cmd
}

// check writes problems to out, or with --print the configuration to out and
// the problems to problems.
func check(out, problems io.Writer, opt *checkOptions) error {
	cfg, ds := daemon.Load(&opt.daemon)
	if !opt.print {
		problems = out
	}
	if cfg != nil {
		ds = append(ds, config.Advise(cfg)...)
	}
	if err := writeProblems(problems, ds, opt.json); err != nil {
		return err
	}
	if opt.print && cfg != nil {
		return printConfig(out, cfg, opt.json)
	}
	if !opt.json && !opt.print {
		summarize(out, opt.daemon.File, cfg, ds)
	}
	if cfg == nil {
		return exitCode(1)
	}
	return nil
}

func printConfig(out io.Writer, cfg *config.Config, asJSON bool) error {
	text := config.Print(cfg)
	if asJSON {
		var err error
		if text, err = config.PrintJSON(cfg); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	_, err := out.Write(text)
	return err
}

func summarize(out io.Writer, file string, cfg *config.Config, ds []config.Diagnostic) {
	errs, warnings := daemon.Counts(ds)
	fmt.Fprintf(out, "%s: %s, %s", file, plural(errs, "error"), plural(warnings, "warning"))
	if cfg == nil {
		fmt.Fprintln(out, "; xvip would not start")
		return
	}
	fmt.Fprintf(out, "; xvip would run %s and %s\n", plural(len(cfg.VRRPInstances), "virtual router"), plural(len(cfg.VirtualServers), "virtual server"))
	for _, line := range daemon.Carriers(cfg) {
		fmt.Fprintln(out, "  "+line)
	}
}

// writeProblems prints one problem a line, coloured on a terminal.
func writeProblems(w io.Writer, ds []config.Diagnostic, asJSON bool) error {
	colour := isTerminal(w)
	enc := json.NewEncoder(w)
	for _, d := range ds {
		if asJSON {
			if err := enc.Encode(jsonDiagnostic(d)); err != nil {
				return fmt.Errorf("write problems: %w", err)
			}
			continue
		}
		line := d.String()
		if d.Link != "" {
			line += " (" + d.Link + ")"
		}
		if colour {
			line = colours[d.Severity] + line + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("write problems: %w", err)
		}
	}
	return nil
}

// colours are the SGR sequences of ECMA-48: red, yellow, cyan.
var colours = map[config.Severity]string{config.Error: "\x1b[31m", config.Warning: "\x1b[33m", config.Advice: "\x1b[36m"}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
