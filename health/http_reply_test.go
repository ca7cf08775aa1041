package health

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// readerConn is a connection that only reads.
type readerConn struct {
	net.Conn
	r io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func readReply(r io.Reader) (head, []byte, error) {
	in := &replyReader{conn: readerConn{r: r}}
	h, err := in.head()
	if err != nil {
		return h, nil, err
	}
	body, err := io.ReadAll(in.body(h))
	return h, body, err
}

// A reply reads the same in whatever pieces it arrives, and never makes the
// reader panic or believe in more than was sent.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.0 200 OK\r\n\r\nbody", "HTTP/1.1 204\n\n", "HTTP/1.1 204\r\n\n\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nbody", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"\r\n\r\n", "\n\n", "HTTP/ \n\n", "HTTP/1.1  200\n\n", "HTTP/1.0 099 \r\n\n", "HTTP/1.0 200 OK\r\n", "",
		"HTTP/1.0 200 OK\r\n" + strings.Repeat("X: y\r\n", 12_000) + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, body, err := readReply(bytes.NewReader(data))
		if err == nil {
			if !bytes.HasSuffix(h.raw, emptyLine) || !bytes.HasPrefix(data, h.raw) {
				t.Errorf("header %q", h.raw)
			}
			if h.status < 0 || h.status > 999 {
				t.Errorf("status %d", h.status)
			}
			if !bytes.Contains(data, body) || h.length >= 0 && int64(len(body)) > h.length {
				t.Errorf("body %q of length %d", body, h.length)
			}
		}
		h2, body2, err2 := readReply(iotest.OneByteReader(bytes.NewReader(data)))
		if h.status != h2.status || h.length != h2.length || !bytes.Equal(body, body2) || (err == nil) != (err2 == nil) {
			t.Errorf("in one piece: %v %q %v\nbyte by byte: %v %q %v", h, body, err, h2, body2, err2)
		}
	})
}

// The empty line may be the very last thing that fits.
func TestReplyHeadAtItsLimit(t *testing.T) {
	start, end := "HTTP/1.0 200 OK\r\nX: ", "\r\n\r\n"
	fill := maxHead - len(start) - len(end)
	for extra, want := range map[int]error{0: nil, 1: errBigHead} {
		_, body, err := readReply(strings.NewReader(start + strings.Repeat("x", fill+extra) + end + "body"))
		if err != want || err == nil && string(body) != "body" {
			t.Errorf("%d bytes more than the limit: %v, body %q", extra, err, body)
		}
	}
}
