package genhash

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// run returns the code and both outputs.
func run(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = Main(args, &o, &e)
	return code, o.String(), e.String()
}

// target gives a server's address as options.
func target(l net.Listener) []string {
	a := l.Addr().(*net.TCPAddr)
	return []string{"-s", a.IP.String(), "-p", fmt.Sprint(a.Port)}
}

func TestDigest(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/page" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, r.Host, " ", r.Proto, " ", r.Header.Get("Connection"))
	})
	s := httptest.NewServer(handler)
	defer s.Close()
	at := target(s.Listener)
	host := s.Listener.Addr().String()
	for _, test := range []struct {
		name string
		args []string
		body string
	}{
		{"plain", []string{"-u", "/page"}, host + " HTTP/1.0 "},
		{"long options", []string{"--url", "/page", "--protocol=1.0C"}, host + " HTTP/1.0 close"},
		{"1.1", []string{"-u", "/page", "-P", "1.1"}, host + " HTTP/1.1 close"},
		{"virtual host", []string{"-u/page", "-V", "www.example"}, "www.example HTTP/1.0 "},
		{"any status", []string{"-u", "/other", "-t", "2"}, host + " HTTP/1.0 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := run(append(test.args, at...)...)
			want := fmt.Sprintf("%x\n", md5.Sum([]byte(test.body)))
			if code != 0 || out != want || errs != "" {
				t.Errorf("code %d, %q, %q; want %q", code, out, errs, want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) }))
	defer s.Close()
	for args, body := range map[string]string{
		"-S":                                 "",
		"-S -V www.example":                  "",
		"-S -I -V www.example":               "www.example",
		"-SI --use-virtualhost=www2.example": "www2.example",
	} {
		code, out, errs := run(append(append(strings.Fields(args), "-u", "/"), target(s.Listener)...)...)
		if want := fmt.Sprintf("%x\n", md5.Sum([]byte(body))); code != 0 || out != want {
			t.Errorf("%s: code %d, %q, %q; want the digest of %q", args, code, out, errs, body)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, test := range []struct{ args, words string }{
		{"", "need a server, a port and a url"},
		{"-s 127.0.0.1 -p 80", "need a server, a port and a url"},
		{"-s localhost -p 80 -u /", `server "localhost" is not an IP address`},
		{"-s 127.0.0.1 -p 99999 -u /", "99999"},
		{"-s 127.0.0.1 -p 80 -u / -P 3", `"3" is not 1.0, 1.0c or 1.1`},
		{"-s 127.0.0.1 -p 80 -u / more", `unexpected argument "more"`},
		{"-Z", "-Z"},
	} {
		code, out, errs := run(strings.Fields(test.args)...)
		if code != 1 || out != "" || !strings.Contains(errs, test.words) || !strings.Contains(errs, "Usage: genhash") {
			t.Errorf("%q: code %d, %q, %q; want %q", test.args, code, out, errs, test.words)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		code, out, errs := run(arg)
		if code != 0 || errs != "" || !strings.Contains(out, "--use-virtualhost") {
			t.Errorf("%s: code %d, %q, %q", arg, code, out, errs)
		}
	}
}

func TestPageThatCannotBeHad(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := target(l)
	l.Close()
	code, out, errs := run(append(at, "-u", "/")...)
	if code != 1 || out != "" || !strings.Contains(errs, "connection refused") || strings.Contains(errs, "Usage") {
		t.Errorf("code %d, %q, %q", code, out, errs)
	}
}

// raw answers every request with the same bytes.
func raw(t *testing.T, reply string) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			if _, err := c.Read(buffer); err == nil {
				io.WriteString(c, reply)
			}
			c.Close()
		}
	}()
	return target(l)
}

// The real genhash and ours print the same about the same server, but for the
// time it took.
func TestLikeKeepalived(t *testing.T) {
	if _, err := exec.LookPath("keepalived"); err != nil {
		t.Skip("keepalived is not installed")
	}
	for name, reply := range map[string]string{
		"plain":               "HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello",
		"length":              "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
		"short":               "HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		"chunked":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"mixed line ends":     "HTTP/1.0 200 OK\nX: y\r\n\r\nhello",
		"204 with a body":     "HTTP/1.0 204 OK\r\n\r\nhello",
		"404":                 "HTTP/1.0 404 No\r\n\r\nhello",
		"no HTTP":             "garbage\r\n\r\nhello",
		"lines of half":       "HTTP/1.0 200 OK\r\n\r\n12345678",
		"lines of a whole":    "HTTP/1.0 200 OK\r\n\r\n1234567890abcdef",
		"two lines":           "HTTP/1.0 200 OK\r\n\r\n1234567890abcdefg\x00\x7f\x80\xff",
		"header of one line":  "HTTP/1.0 200\r\n\r\n1234567890abcdefg",
		"two empty lines":     "HTTP/1.0 200 OK\r\n\r\nhello\r\n\r\nmore",
		"empty line at start": "\r\n\r\nhello",
	} {
		for _, mode := range []string{"-P1.0", "-v"} {
			t.Run(name+mode, func(t *testing.T) {
				args := append(raw(t, reply), "-u", "/page", mode)
				want, err := exec.Command("keepalived", append([]string{"--genhash"}, args...)...).Output()
				if err != nil {
					t.Fatalf("keepalived: %v", err)
				}
				_, got, errs := run(args...)
				w, _, _ := strings.Cut(string(want), "Global response time")
				g, _, _ := strings.Cut(got, "Global response time")
				if w != g {
					t.Errorf("keepalived:\n%s\nours:\n%s%s", w, g, errs)
				}
			})
		}
	}
}

func TestNoData(t *testing.T) {
	for _, reply := range []string{"", "HTTP/1.0 200 OK\r\nX: y\r\n", "HTTP/1.0 200 OK\n\nhello"} {
		code, out, errs := run(append(raw(t, reply), "-u", "/")...)
		if code != 1 || out != "" || !strings.Contains(errs, "no data") {
			t.Errorf("%q: code %d, %q, %q", reply, code, out, errs)
		}
	}
}
