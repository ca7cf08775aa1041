package genhash

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/xvip-lb/xvip/health"
)

// printVerbose prints the reply too, in the layout of keepalived's genhash.
func printVerbose(h *health.HTTP, out io.Writer, path string) error {
	start := time.Now()
	body := &hexDump{out: out}
	sum, err := h.Get(context.Background(), headerPrinter{out}, body)
	if err != nil {
		return err
	}
	body.flush()
	title(out, "\n", "    HTML hash resulting    ")
	digest := &hexDump{out: out}
	digest.Write(sum[:])
	digest.flush()
	title(out, "", " HTML hash final resulting ")
	_, err = fmt.Fprintf(out, "%x\n\nGlobal response time for [%s] = %d usecs\n", sum, path, time.Since(start).Microseconds())
	return err
}

func title(out io.Writer, before, text string) {
	const line = "-----------------------"
	fmt.Fprintf(out, "%s%s[%s]%s\n", before, line, text, line)
}

// headerPrinter prints a header that comes in one piece.
type headerPrinter struct{ out io.Writer }

func (p headerPrinter) Write(header []byte) (int, error) {
	title(p.out, "", "    HTTP Header Buffer    ")
	dump := &hexDump{out: p.out}
	dump.Write(header)
	dump.flush()
	title(p.out, "", " HTTP Header Ascii Buffer ")
	_, err := fmt.Fprintf(p.out, "%s\n", header)
	title(p.out, "", "        HTML Buffer        ")
	return len(header), err
}

// hexDump prints what is written to it, sixteen octets a line: the offset in
// decimal, the octets in two halves, and what of them is ASCII.
type hexDump struct {
	out    io.Writer
	offset int
	line   []byte // less than a line, not yet printed
}

const perLine = 16

func (d *hexDump) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(perLine-len(d.line), len(p))
		d.line, p = append(d.line, p[:take]...), p[take:]
		if len(d.line) == perLine {
			if err := d.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush prints what is left as a line.
func (d *hexDump) flush() error {
	if len(d.line) == 0 {
		return nil
	}
	var halves [2]string
	text := make([]byte, len(d.line))
	for i, b := range d.line {
		halves[i*2/perLine] += fmt.Sprintf("%02x ", b)
		text[i] = b
		if b < ' ' || b > '~' {
			text[i] = '.'
		}
	}
	_, err := fmt.Fprintf(d.out, "%04d  %-24s- %-24s  %-16s\n", d.offset, halves[0], halves[1], text)
	d.offset += len(d.line)
	d.line = d.line[:0]
	return err
}
