// Command xvip is a load balancer and failover daemon: it takes a
// keepalived.conf, elects the owner of each virtual address by VRRP, forwards
// the traffic of owned addresses with XDP, checks the real servers behind them,
// and tells Prometheus and people what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/genhash"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/options"
)

// version is set by the linker.
var version = "unknown"

// exitCode ends the process with a code of its own; what is to be said has
// been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	os.Exit(run(os.Args))
}

func run(args []string) int {
	if filepath.Base(args[0]) == "genhash" {
		return genhash.Main(args[1:], os.Stdout, os.Stderr)
	}
	if len(args) > 1 && (args[1] == "--genhash" || args[1] == "genhash") {
		return genhash.Main(args[2:], os.Stdout, os.Stderr)
	}
	root := rootCommand()
	root.SetArgs(args[1:])
	err := root.ExecuteContext(context.Background())
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "xvip: %v\n", err)
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "xvip [flags]",
		Short: "load balancer and failover daemon for keepalived.conf files",
		Long: "xvip without a command runs the daemon: VRRP for the virtual addresses, XDP or\n" +
			"IPVS for the virtual servers, health checks for what is behind them.",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	opt := options.Register(root.Flags())
	root.RunE = func(cmd *cobra.Command, _ []string) error { return runDaemon(cmd.Context(), opt) }
	root.AddCommand(statusCommand(), connsCommand(), explainCommand(), dropsCommand(), checkCommand(), demoCommand(), benchCommand(), versionCommand(), genhashCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), versionLine()) },
	}
}

// genhashCommand is only for help and completion: run hands genhash its
// arguments before flags are read, because they are not ours.
func genhashCommand() *cobra.Command {
	return &cobra.Command{Use: "genhash", Short: "print the MD5 digest of a web page, for HTTP_GET's digest"}
}
