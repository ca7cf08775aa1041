package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/daemon"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
)

// checkCommand reads a file as the daemon would and says what it makes of it.
func checkCommand() *cobra.Command {
	opt := &options.Options{}
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "read a configuration and tell every problem", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.File = options.DefaultFile
			if len(args) == 1 {
				opt.File = args[0]
			}
			cfg, ds := daemon.Load(opt)
			for _, d := range ds {
				fmt.Fprintln(cmd.OutOrStdout(), d)
			}
			errs, warnings := daemon.Counts(ds)
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s\n", opt.File, plural(errs, "error"), plural(warnings, "warning"))
			if cfg == nil {
				return exitCode(1)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "xvip would run it: %s, %s\n",
				plural(len(cfg.VRRPInstances), "virtual router"), plural(len(cfg.VirtualServers), "virtual server"))
			return nil
		},
	}
	cmd.Flags().StringVarP(&opt.ConfigID, "config-id", "i", "", "`ID` that @ID lines are compared with")
	return cmd
}
