package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

// connsOptions are the flags of `xvip conns`.
type connsOptions struct {
	socket, service, real, client, state string
	count, json                          bool
	limit                                int
}

func connsCommand() *cobra.Command {
	var opt connsOptions
	cmd := &cobra.Command{
		Use: "conns", Short: "list the connections of the XDP engine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			match, err := opt.filter()
			if err != nil {
				return err
			}
			out := connsWriter{opt: opt, out: cmd.OutOrStdout()}
			ipvs, err := control.NewClient(opt.socket).Connections(ctx, func(c control.Connection) bool { return !match(c) || out.add(c) })
			if err != nil {
				return err
			}
			return out.end(ipvs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.socket, "control-socket", defaultSocket, "`PATH` of the daemon's control socket")
	f.StringVar(&opt.service, "service", "", "only of the virtual service `ADDR:PORT`")
	f.StringVar(&opt.real, "real", "", "only of the real server `ADDR[:PORT]`")
	f.StringVar(&opt.client, "client", "", "only of clients in `ADDR|PREFIX`")
	f.StringVar(&opt.state, "state", "", "only in `STATE`: new, established, closing or closed")
	f.BoolVar(&opt.count, "count", false, "print how many there are")
	f.IntVar(&opt.limit, "limit", 0, "stop after `N`; 0: no limit")
	f.BoolVar(&opt.json, "json", false, "print JSON, a line a connection")
	return cmd
}

// filter gives the question that the flags ask of a connection.
func (o connsOptions) filter() (func(control.Connection) bool, error) {
	var service netip.AddrPort
	var err error
	if o.service != "" {
		if service, err = netip.ParseAddrPort(o.service); err != nil {
			return nil, fmt.Errorf("read --service: %w", err)
		}
	}
	var real netip.AddrPort // port 0: every port
	if o.real != "" {
		if addr, e := netip.ParseAddr(o.real); e == nil {
			real = netip.AddrPortFrom(addr, 0)
		} else if real, err = netip.ParseAddrPort(o.real); err != nil {
			return nil, fmt.Errorf("read --real: %w", err)
		}
	}
	var client netip.Prefix
	if o.client != "" {
		if addr, e := netip.ParseAddr(o.client); e == nil {
			client = netip.PrefixFrom(addr, addr.BitLen())
		} else if client, err = netip.ParsePrefix(o.client); err != nil {
			return nil, fmt.Errorf("read --client: %w", err)
		}
	}
	if names := []string{"new", "established", "closing", "closed"}; o.state != "" && !slices.Contains(names, o.state) {
		return nil, fmt.Errorf("read --state: %q is none of %s", o.state, strings.Join(names, ", "))
	}
	if o.limit < 0 {
		return nil, fmt.Errorf("read --limit: %d is below 0", o.limit)
	}
	return func(c control.Connection) bool {
		return (o.service == "" || c.Service == service) &&
			(o.real == "" || c.Real.Addr() == real.Addr() && (real.Port() == 0 || c.Real.Port() == real.Port())) &&
			(o.client == "" || client.Contains(c.Client.Addr())) && (o.state == "" || c.State == o.state)
	}, nil
}

// connsWriter prints connections as they come: there may be millions.
type connsWriter struct {
	opt connsOptions
	out io.Writer
	n   int
	err error
}

const connsRow = "%-5s %-28s %-28s %-28s %-12s %s\n"

// add takes one; false: no more are wanted.
func (w *connsWriter) add(c control.Connection) bool {
	w.n++
	switch {
	case w.opt.count:
	case w.opt.json:
		w.err = json.NewEncoder(w.out).Encode(c)
	default:
		if w.n == 1 {
			fmt.Fprintf(w.out, connsRow, "PROTO", "CLIENT", "SERVICE", "REAL", "STATE", "IDLE")
		}
		_, w.err = fmt.Fprintf(w.out, connsRow, c.Protocol, c.Client, c.Service, c.Real, c.State, fmt.Sprintf("%.1fs", c.IdleSeconds))
	}
	return w.err == nil && w.n != w.opt.limit
}

func (w *connsWriter) end(ipvs bool) error {
	if w.err != nil {
		return fmt.Errorf("print connections: %w", w.err)
	}
	switch {
	case w.opt.count && w.opt.json:
		_, w.err = fmt.Fprintf(w.out, "{\"count\":%d}\n", w.n)
	case w.opt.count:
		_, w.err = fmt.Fprintln(w.out, w.n)
	}
	if ipvs && !w.opt.json && !w.opt.count {
		_, w.err = fmt.Fprintln(w.out, "IPVS carries services too: ipvsadm -Lcn lists their connections")
	}
	return w.err
}
