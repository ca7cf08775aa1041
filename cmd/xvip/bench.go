package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/bench"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/dataplane/ipvs"
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
	cmd.AddCommand(benchConfigCommand(), benchFailoverCommand(), benchRoutersCommand(), benchPathCommand())
	return cmd
}

func benchConfigCommand() *cobra.Command {
	var opt bench.ConfigOptions
	cmd := &cobra.Command{
		Use: "config", Short: "measure how fast a large configuration is read, beside keepalived", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSelf(cmd, &opt.Self, func(ctx context.Context) error { return bench.Config(ctx, opt, cmd.OutOrStdout()) })
		},
	}
	cmd.Flags().IntVar(&opt.Services, "services", 10_000, "virtual servers")
	cmd.Flags().IntVar(&opt.Servers, "servers", 10, "real servers of each")
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 7, "rounds")
	return cmd
}

func benchFailoverCommand() *cobra.Command {
	var opt bench.FailoverOptions
	cmd := &cobra.Command{
		Use: "failover", Short: "measure what a client loses when a virtual router changes hands, beside keepalived (as root)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSelf(cmd, &opt.Self, func(ctx context.Context) error { return bench.Failover(ctx, opt, cmd.OutOrStdout()) })
		},
	}
	cmd.Flags().DurationSliceVar(&opt.Intervals, "intervals", []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond}, "advert_int `TIMES`")
	cmd.Flags().IntVar(&opt.Runs, "runs", 10, "runs")
	return cmd
}

func benchRoutersCommand() *cobra.Command {
	var opt bench.RoutersOptions
	cmd := &cobra.Command{
		Use: "routers", Short: "measure the CPU time of many virtual routers, beside keepalived (as root)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSelf(cmd, &opt.Self, func(ctx context.Context) error { return bench.Routers(ctx, opt, cmd.OutOrStdout()) })
		},
	}
	cmd.Flags().IntVar(&opt.Routers, "routers", 255, "virtual routers")
	cmd.Flags().DurationVar(&opt.Every, "interval", 100*time.Millisecond, "advert_int")
	cmd.Flags().DurationVar(&opt.Watch, "watch", 10*time.Second, "how long CPU time is counted")
	cmd.Flags().IntVar(&opt.Runs, "runs", 3, "runs")
	return cmd
}

// withSelf runs do with the path of this binary, until it ends or a signal comes.
func withSelf(cmd *cobra.Command, self *string, do func(ctx context.Context) error) error {
	ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	var err error
	if *self, err = os.Executable(); err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	return do(ctx)
}

func benchPathCommand() *cobra.Command {
	var opt xdp.PathOptions
	cmd := &cobra.Command{
		Use: "path", Short: "measure packets a second through a whole director, beside nftables and IPVS (as root)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			opt.Other = func(ctx context.Context) (dataplane.Engine, error) {
				return ipvs.New(ctx, ipvs.Options{Log: slog.New(slog.DiscardHandler)})
			}
			if e, err := opt.Other(ctx); err != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "without IPVS: %v\n", err)
				opt.Other = nil
			} else if err := e.Close(); err != nil {
				return err
			}
			return xdp.BenchPath(ctx, opt, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&opt.Flows, "flows", 1024, "flows, a power of two")
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 9, "rounds")
	cmd.Flags().IntVar(&opt.Packets, "packets", 500_000, "packets a round and way")
	return cmd
}
