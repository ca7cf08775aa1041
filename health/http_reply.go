package health

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
)

// maxHead bounds the header of a reply, in bytes.
const maxHead = 64 << 10

// head is what matters of the header of a reply.
type head struct {
	raw    []byte // all of it, with the empty line
	status int    // 0 when the first line is not that of HTTP
	length int64  // of the body; -1 when the header does not say it
}

// replyReader reads a reply of HTTP/1. It is more forgiving than net/http,
// because so is keepalived: a server that sends an odd header line is up.
// Transfer and content encodings stay as they came; digests are made so.
type replyReader struct {
	conn net.Conn
	tls  bool
	rest []byte // read with the header, but body
	// before is called before each read when it is not nil.
	before func()
}

var (
	errNoData  = errors.New("no data: the connection ended before the end of the header")
	errBigHead = fmt.Errorf("header is longer than %d bytes", maxHead)
)

// head reads up to the empty line after the header.
func (r *replyReader) head() (head, error) {
	buffer := make([]byte, 0, 4096)
	for {
		if len(buffer) >= maxHead {
			return head{}, errBigHead
		}
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, min(cap(buffer), maxHead-cap(buffer)))
		}
		n, err := r.read(buffer[len(buffer):min(cap(buffer), maxHead)])
		from := max(0, len(buffer)-len(emptyLine)+1) // what came before has none
		buffer = buffer[:len(buffer)+n]
		if at := bytes.Index(buffer[from:], emptyLine); at >= 0 {
			end := from + at + len(emptyLine)
			r.rest = buffer[end:]
			return parseHead(buffer[:end]), nil
		}
		if err == io.EOF {
			return head{}, errNoData
		}
		if err != nil {
			return head{}, fmt.Errorf("read header: %w", err)
		}
	}
}

// read reads from the connection. A server that ends TLS without saying so
// has ended its reply all the same.
func (r *replyReader) read(p []byte) (int, error) {
	if r.before != nil {
		r.before()
	}
	n, err := r.conn.Read(p)
	if r.tls && errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// body returns what follows the header: the number of bytes that the header
// promises, or else everything up to the end of the connection.
func (r *replyReader) body(h head) io.Reader {
	all := io.MultiReader(bytes.NewReader(r.rest), readFunc(r.read))
	if h.length >= 0 {
		return io.LimitReader(all, h.length)
	}
	return all
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// emptyLine ends a header. keepalived knows no other line ends than CR LF: a
// server without them sends no data at all in its eyes.
var emptyLine = []byte("\r\n\r\n")

// parseHead reads the status line and Content-Length; other lines may be
// anything.
func parseHead(b []byte) head {
	lines := bytes.Split(b, []byte("\n"))
	h := head{raw: b, length: -1, status: parseStatus(lines[0])}
	for _, line := range lines[1:] {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !bytes.EqualFold(name, []byte("content-length")) {
			continue
		}
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err == nil && n >= 0 {
			h.length = n
		}
	}
	return h
}

// parseStatus returns the code of a status line, or 0.
func parseStatus(line []byte) int {
	version, after, _ := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(" "))
	after = bytes.TrimLeft(after, " ")
	if !bytes.HasPrefix(version, []byte("HTTP/")) || len(after) < 3 || len(after) > 3 && after[3] != ' ' {
		return 0
	}
	status, err := strconv.ParseUint(string(after[:3]), 10, 16)
	if err != nil {
		return 0
	}
	return int(status)
}
