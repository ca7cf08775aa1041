package main

import (
	"encoding/json"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/cmd/xvip/internal/demo"
)

func statusCommand() *cobra.Command {
	var socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "show routers, services, real servers and engines of the running daemon", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			var st control.Status
			if err := control.NewClient(socket).Get(ctx, "status", &st); err != nil {
				return err
			}
			if !asJSON {
				return st.WriteText(cmd.OutOrStdout())
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(st)
		},
	}
	cmd.Flags().StringVar(&socket, "control-socket", defaultSocket, "`PATH` of the daemon's control socket")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func demoCommand() *cobra.Command {
	var opt demo.Options
	cmd := &cobra.Command{
		Use: "demo", Short: "run a pair of directors on real packets in network namespaces (as root)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			opt.Out = cmd.OutOrStdout()
			return demo.Run(ctx, opt)
		},
	}
	cmd.Flags().BoolVar(&opt.Keep, "keep", false, "leave the lab up at the end and print how to play with it")
	return cmd
}
