package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
)

// dropsOptions are the flags of `xvip drops`.
type dropsOptions struct {
	socket, reason, pcap string
	rate, count          int
	json                 bool
}

func dropsCommand() *cobra.Command {
	var opt dropsOptions
	cmd := &cobra.Command{
		Use: "drops", Short: "show packets that the XDP program drops, a few a second of each reason", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			out := dropsWriter{opt: opt, out: cmd.OutOrStdout()}
			if opt.pcap != "" {
				file, err := openPcap(opt.pcap, cmd.OutOrStdout())
				if err != nil {
					return err
				}
				defer file.Close()
				out.pcap = file
			}
			err := control.NewClient(opt.socket).Drops(ctx, opt.rate, opt.reason, out.add)
			if errors.Is(err, context.Canceled) { // Ctrl-C is the usual end
				err = nil
			}
			return errors.Join(err, out.err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.socket, "control-socket", defaultSocket, "`PATH` of the daemon's control socket")
	f.StringVar(&opt.reason, "reason", "", "only of `REASON`, such as drop_martian")
	f.StringVar(&opt.pcap, "pcap", "", "write them to `FILE` for tcpdump and wireshark, - is the standard output; of each packet the first octets")
	f.IntVar(&opt.rate, "rate", 10, "at most `N` a second of each reason")
	f.IntVar(&opt.count, "count", 0, "stop after `N`; 0: no limit")
	f.BoolVar(&opt.json, "json", false, "print JSON, a line a packet")
	return cmd
}

// dropsWriter prints packets as they come.
type dropsWriter struct {
	opt  dropsOptions
	out  io.Writer
	pcap io.Writer // nil: none
	n    int
	err  error
}

// add takes one; false: no more are wanted.
func (w *dropsWriter) add(d control.Drop) bool {
	w.n++
	switch {
	case w.pcap != nil:
		_, w.err = w.pcap.Write(pcapRecord(d))
	case w.opt.json:
		w.err = json.NewEncoder(w.out).Encode(d)
	default:
		_, w.err = fmt.Fprintf(w.out, "%s %s %s, %d octets: %s\n", d.Time.Format("15:04:05.000"), d.Interface, d.Reason, d.Length, d.Packet)
	}
	return w.err == nil && w.n != w.opt.count
}

// openPcap begins a capture file: the classic format of libpcap, Ethernet, times
// in microseconds (pcap-savefile(5)).
func openPcap(path string, stdout io.Writer) (io.WriteCloser, error) {
	var file io.WriteCloser = keptOpen{stdout}
	if path != "-" {
		f, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("begin capture file: %w", err)
		}
		file = f
	}
	header := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	for _, version := range []uint16{2, 4} {
		header = binary.LittleEndian.AppendUint16(header, version)
	}
	for _, v := range []uint32{0, 0, 1 << 16, 1} { // zone, accuracy, longest packet, LINKTYPE_ETHERNET
		header = binary.LittleEndian.AppendUint32(header, v)
	}
	if _, err := file.Write(header); err != nil {
		return nil, errors.Join(fmt.Errorf("begin capture file: %w", err), file.Close())
	}
	return file, nil
}

// keptOpen is a writer that somebody else closes.
type keptOpen struct{ io.Writer }

// Close implements io.Closer.
func (keptOpen) Close() error { return nil }

// pcapRecord is one packet of a capture file.
func pcapRecord(d control.Drop) []byte {
	var b []byte
	for _, v := range []int64{d.Time.Unix(), int64(d.Time.Nanosecond() / 1000), int64(len(d.Head)), int64(d.Length)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return append(b, d.Head...)
}
