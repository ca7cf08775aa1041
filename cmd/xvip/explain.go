package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

func explainCommand() *cobra.Command {
	var socket, flags string
	var asJSON bool
	q := control.Question{}
	cmd := &cobra.Command{
		Use: "explain CLIENT[:PORT] SERVICE:PORT", Short: "tell what the XDP program would do with a packet, and why",
		Long: "explain runs the XDP program of the daemon on a made packet and tells step by step what\n" +
			"becomes of it. Nothing is sent, remembered or counted.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			if err := readQuestion(&q, args, flags); err != nil {
				return err
			}
			var a control.Explanation
			if err := control.NewClient(socket).Post(ctx, "explain", q, &a); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
			}
			for i, step := range a.Steps {
				fmt.Fprintf(cmd.OutOrStdout(), "%d. %s\n", i+1, step)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&socket, "control-socket", defaultSocket, "`PATH` of the daemon's control socket")
	f.StringVar(&q.Protocol, "proto", "tcp", "`PROTOCOL`: tcp, udp or sctp")
	f.StringVar(&flags, "flags", "syn", "TCP flags: `syn` opens a connection, ack is within one; SCTP likewise")
	f.StringVar(&q.Interface, "interface", "", "the packet comes in by `NAME`; default: the first with the program")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// clientPort is a client's port where none is given.
const clientPort = 40000

// readQuestion takes the arguments.
func readQuestion(q *control.Question, args []string, flags string) (err error) {
	switch flags {
	case "syn":
		q.Opening = true
	case "ack":
		q.Opening = false
	default:
		return fmt.Errorf("read --flags: %q is none of syn and ack", flags)
	}
	if addr, err := netip.ParseAddr(args[0]); err == nil {
		q.Client = netip.AddrPortFrom(addr, clientPort)
	} else if q.Client, err = netip.ParseAddrPort(args[0]); err != nil {
		return fmt.Errorf("read client: %w", err)
	}
	if q.Service, err = netip.ParseAddrPort(args[1]); err != nil {
		return fmt.Errorf("read service: %w", err)
	}
	return nil
}
