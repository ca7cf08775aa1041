// Package genhash prints the MD5 digest of a page, for the digest keyword of
// HTTP_GET and SSL_GET. It takes the options of keepalived's genhash and sees a
// page exactly as the checkers do.
package genhash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/xvip-lb/xvip/health"
)

const usage = `Usage: genhash -s ADDRESS -p PORT -u PATH [options]

Prints the MD5 digest of the body of a page, for the keyword digest of HTTP_GET and SSL_GET.

Options:
`

// Main runs genhash with its arguments (without the program's name) and
// returns the exit code: 0 when a digest was printed or help was asked for, 1
// for bad arguments or a page that could not be had.
func Main(args []string, stdout, stderr io.Writer) int {
	o, flags := newOptions()
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(stdout, usage, flags.FlagUsages())
		return 0
	}
	var h *health.HTTP
	if err == nil {
		h, err = o.checker(flags)
	}
	if err != nil {
		fmt.Fprintf(stderr, "genhash: %v\n\n%s%s", err, usage, flags.FlagUsages())
		return 1
	}
	print := printDigest
	if o.verbose {
		print = printVerbose
	}
	if err := print(h, stdout, o.path); err != nil {
		fmt.Fprintf(stderr, "genhash: get %q from %s port %d: %v\n", o.path, o.server, o.port, err)
		return 1
	}
	return 0
}

type options struct {
	tls, sni, verbose bool
	server            string
	port              uint16
	path              string
	virtualHost       string
	protocol          string
	mark              uint32
	timeout           uint32 // seconds
}

func newOptions() (*options, *pflag.FlagSet) {
	o := &options{}
	f := pflag.NewFlagSet("genhash", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // Main writes it
	f.StringVarP(&o.server, "server", "s", "", "`address` of the server: IPv4 or IPv6")
	f.Uint16VarP(&o.port, "port", "p", 0, "`port` of the server")
	f.StringVarP(&o.path, "url", "u", "", "`path` of the page")
	f.BoolVarP(&o.tls, "use-ssl", "S", false, "use TLS")
	f.BoolVarP(&o.sni, "use-sni", "I", false, "name the virtual host in the TLS handshake")
	f.StringVarP(&o.virtualHost, "use-virtualhost", "V", "", "virtual `host` to ask for")
	f.StringVarP(&o.protocol, "protocol", "P", "1.0", "HTTP `version`: 1.0, 1.0c (with \"Connection: close\") or 1.1")
	f.Uint32VarP(&o.mark, "fwmark", "m", 0, "firewall `mark` of the packets")
	f.Uint32VarP(&o.timeout, "timeout", "t", 5, "`seconds` to wait for each answer")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "also print the header and the body")
	return o, f
}

var versions = map[string]health.HTTPVersion{"1.0": health.HTTP10, "1.0c": health.HTTP10C, "1.1": health.HTTP11}

// checker makes the check that the options describe.
func (o *options) checker(f *pflag.FlagSet) (*health.HTTP, error) {
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.server == "" || o.port == 0 || o.path == "" {
		return nil, errors.New("need a server, a port and a url")
	}
	addr, err := netip.ParseAddr(o.server)
	if err != nil {
		return nil, fmt.Errorf("server %q is not an IP address", o.server)
	}
	version, ok := versions[strings.ToLower(o.protocol)]
	if !ok {
		return nil, fmt.Errorf("HTTP protocol version %q is not 1.0, 1.0c or 1.1", o.protocol)
	}
	return health.NewHTTP(health.HTTPConfig{
		Connect: health.Connect{
			Addr: netip.AddrPortFrom(addr, o.port), Mark: o.mark, Timeout: time.Duration(o.timeout) * time.Second,
		},
		TLS: o.tls, EnableSNI: o.sni, Version: version, VirtualHost: o.virtualHost,
		URLs: []health.URL{{Path: o.path}},
	})
}

func printDigest(h *health.HTTP, out io.Writer, _ string) error {
	sum, err := h.Get(context.Background(), io.Discard, io.Discard)
	if err == nil {
		_, err = fmt.Fprintf(out, "%x\n", sum)
	}
	return err
}
