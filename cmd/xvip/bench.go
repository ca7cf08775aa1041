package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/bench"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

func benchCommand() *cobra.Command {
	var opt xdp.BenchOptions
	cmd := &cobra.Command{
		Use: "bench", Short: "measure what a packet costs, beside a ladder of small programs (as root)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			return xdp.Bench(ctx, opt, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntSliceVar(&opt.Flows, "flows", []int{1, 10_000, 1_000_000}, "`NUMBERS` of flows")
	cmd.Flags().IntSliceVar(&opt.Services, "services", []int{1, 10_000}, "`NUMBERS` of virtual services in the tables")
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 9, "rounds")
	cmd.Flags().IntVar(&opt.Packets, "packets", 200_000, "packets a round and program")
	cmd.AddCommand(benchConfigCommand())
	return cmd
}

func benchConfigCommand() *cobra.Command {
	var opt bench.ConfigOptions
	cmd := &cobra.Command{
		Use: "config", Short: "measure how fast a large configuration is read, beside keepalived", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			var err error
			if opt.Self, err = os.Executable(); err != nil {
				return fmt.Errorf("find own binary: %w", err)
			}
			return bench.Config(ctx, opt, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&opt.Services, "services", 10_000, "virtual servers")
	cmd.Flags().IntVar(&opt.Servers, "servers", 10, "real servers of each")
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 7, "rounds")
	return cmd
}
