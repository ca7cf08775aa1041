package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

// dropsOptions are the flags of `xvip drops`.
type dropsOptions struct {
	socket, reason string
	rate, count    int
	json           bool
}

func dropsCommand() *cobra.Command {
	var opt dropsOptions
	cmd := &cobra.Command{
		Use: "drops", Short: "show packets that the XDP program drops, a few a second of each reason", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			out := dropsWriter{opt: opt, out: cmd.OutOrStdout()}
			err := control.NewClient(opt.socket).Drops(ctx, opt.rate, out.add)
			if errors.Is(err, context.Canceled) { // Ctrl-C is the usual end
				err = nil
			}
			return errors.Join(err, out.err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.socket, "control-socket", defaultSocket, "`PATH` of the daemon's control socket")
	f.StringVar(&opt.reason, "reason", "", "only of `REASON`, such as drop_martian")
	f.IntVar(&opt.rate, "rate", 10, "at most `N` a second of each reason")
	f.IntVar(&opt.count, "count", 0, "stop after `N`; 0: no limit")
	f.BoolVar(&opt.json, "json", false, "print JSON, a line a packet")
	return cmd
}

// dropsWriter prints packets as they come.
type dropsWriter struct {
	opt dropsOptions
	out io.Writer
	n   int
	err error
}

// add takes one; false: no more are wanted.
func (w *dropsWriter) add(d control.Drop) bool {
	if w.opt.reason != "" && d.Reason != w.opt.reason {
		return true
	}
	w.n++
	if w.opt.json {
		w.err = json.NewEncoder(w.out).Encode(d)
	} else {
		_, w.err = fmt.Fprintf(w.out, "%s %s %s, %d octets: %s\n", d.Time.Format("15:04:05.000"), d.Interface, d.Reason, d.Length, d.Packet)
	}
	return w.err == nil && w.n != w.opt.count
}
