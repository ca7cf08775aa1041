package health

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// replies runs a server that reads a request and answers with raw bytes; then
// it closes, unless the answer is to hang.
func replies(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	return serve(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			answer(c)
		}
	})
}

func says(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// hang waits until the client has gone.
func hang(c net.Conn) { io.Copy(io.Discard, c) }

// repeat sends text until the client has gone.
func repeat(c net.Conn, text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

func getter(t *testing.T, addr netip.AddrPort, u URL) *HTTP {
	t.Helper()
	return newHTTP(t, HTTPConfig{Connect: Connect{Addr: addr, Timeout: 300 * time.Millisecond}, URLs: []URL{u}})
}

func newHTTP(t *testing.T, c HTTPConfig) *HTTP {
	t.Helper()
	h, err := NewHTTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func digest(body string) string { return fmt.Sprintf("%x", md5.Sum([]byte(body))) }

func TestHTTPVerdicts(t *testing.T) {
	ok := "HTTP/1.0 200 OK\r\n\r\n"
	var squeezed bytes.Buffer
	z := gzip.NewWriter(&squeezed)
	z.Write(make([]byte, 1<<20))
	z.Close()
	for _, test := range []struct {
		name   string
		answer func(net.Conn)
		url    URL
		ok     bool
		words  string
	}{
		{"200", says(ok + "hello"), URL{}, true, "status 200"},
		{"299 is in the default range", says("HTTP/1.1 299 Odd\r\n\r\n"), URL{}, true, "status 299"},
		{"300 is not", says("HTTP/1.1 300 Choices\r\n\r\n"), URL{}, false, "status 300"},
		{"redirects are not followed", says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), URL{}, false, "status 302"},
		{"a redirect may be what is wanted", says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), URL{Status: []StatusRange{{301, 302}}}, true, ""},
		{"several ranges", says("HTTP/1.1 503 Busy\r\n\r\n"), URL{Status: []StatusRange{{200, 200}, {500, 503}}}, true, ""},
		{"given ranges replace the default", says(ok), URL{Status: []StatusRange{{404, 404}}}, false, "status 200"},
		{"digest", says(ok + "hello"), URL{Digest: digest("hello")}, true, ""},
		{"digest in capitals", says(ok + "hello"), URL{Digest: strings.ToUpper(digest("hello"))}, true, ""},
		{"digest of another body", says(ok + "hello!"), URL{Digest: digest("hello")}, false, "digest of the body is " + digest("hello!")},
		{"right digest, wrong status", says("HTTP/1.0 500 Oops\r\n\r\nhello"), URL{Digest: digest("hello")}, false, "status 500"},
		{"digest of an empty body", says(ok), URL{Digest: digest("")}, true, ""},
		{"body ends with Content-Length", func(c net.Conn) {
			says("HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello and more")(c)
			hang(c)
		}, URL{Digest: digest("hello")}, true, ""},
		{"chunks are hashed as they came", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
			URL{Digest: digest("5\r\nhello\r\n0\r\n\r\n")}, true, ""},
		{"gzip is not unpacked", says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + squeezed.String()),
			URL{Digest: digest(squeezed.String())}, true, ""},
		{"an empty line without CR ends nothing", says("HTTP/1.0 200 OK\nX: y\n\nhello"), URL{}, false, "no data"},
		{"nor one with half of them", says("HTTP/1.0 200 OK\r\nX: y\n\r\nhello"), URL{}, false, "no data"},
		{"other lines may end with LF", says("HTTP/1.0 200 OK\nX: y\r\n\r\nhello"), URL{Digest: digest("hello")}, true, ""},
		{"odd header lines do not matter", says("HTTP/1.0 200 OK\r\nno colon\r\nContent-Length: many\r\nA b: c\r\n\r\nhello"), URL{Digest: digest("hello")}, true, ""},
		{"a body that ends early is still a reply", says("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello"), URL{}, true, ""},
		{"no data at all", func(net.Conn) {}, URL{}, false, "no data"},
		{"header without an end", says("HTTP/1.0 200 OK\r\nX: y\r\n"), URL{}, false, "no data"},
		{"not HTTP", says("220 mail.example ESMTP\r\n\r\n"), URL{}, false, "is not a status line"},
		{"a status of four digits", says("HTTP/1.0 2000 OK\r\n\r\n"), URL{}, false, "is not a status line"},
		{"a status of no digits", says("HTTP/1.0 abc\r\n\r\n"), URL{}, false, "is not a status line"},
		{"reset before the reply", reset, URL{}, false, "connection reset by peer"},
		{"silence", hang, URL{}, false, "timed out"},
		{"silence within the header", func(c net.Conn) { says("HTTP/1.0 200")(c); hang(c) }, URL{}, false, "timed out"},
		{"silence within the body", func(c net.Conn) { says(ok + "hel")(c); hang(c) }, URL{}, false, "timed out"},
		{"endless header", func(c net.Conn) { says("HTTP/1.0 200 OK\r\n")(c); repeat(c, "X: y\r\n") }, URL{}, false, "longer than"},
		{"endless line", func(c net.Conn) { repeat(c, "HTTP/1.0 200 OK") }, URL{}, false, "longer than"},
		{"endless body", func(c net.Conn) { says(ok)(c); repeat(c, "more and more ") }, URL{}, false, "timed out"},
		{"slow header", func(c net.Conn) { drip(c, "HTTP/1.0 200 OK\r\nX: "+strings.Repeat("y", 1000)) }, URL{}, false, "timed out"},
		{"slow body", func(c net.Conn) { says(ok)(c); drip(c, strings.Repeat("y", 1000)) }, URL{}, false, "timed out"},
		{"regex", says(ok + "all is well\n"), URL{Regex: "is (well|fine)$"}, true, ""},
		{"regex without a match", says(ok + "all is lost"), URL{Regex: "well|fine"}, false, "does not match"},
		{"regex that may not match", says(ok + "all is lost"), URL{Regex: "lost", NoMatch: true}, false, "the body matches"},
		{"regex that does not match and may not", says(ok + "all is well"), URL{Regex: "lost", NoMatch: true}, true, ""},
		{"regex and digest", says(ok + "well, " + strings.Repeat("x", 100_000)), URL{Regex: "^well", Digest: digest("well, " + strings.Repeat("x", 100_000))}, true, ""},
		{"regex needs the whole body", func(c net.Conn) { says(ok + "well")(c); hang(c) }, URL{Regex: "lost"}, false, "timed out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantResult(t, check(t, getter(t, replies(t, test.answer), test.url)), test.ok, test.words)
		})
	}
}

// drip sends text byte by byte, each well within a timeout.
func drip(c net.Conn, text string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range text {
		<-tick.C
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

func TestHTTPRefusedAndBlackHole(t *testing.T) {
	wantResult(t, check(t, getter(t, closedPort(t), URL{})), false, "connection refused")
	wantResult(t, check(t, getter(t, blackHole(t), URL{})), false, "timed out")
}

// The time for each stage does not add up to more than Limit, whatever the
// server does, and stopping does not wait for it.
func TestHTTPStopsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	addr := replies(t, func(c net.Conn) { close(asked); hang(c) })
	h := newHTTP(t, HTTPConfig{Connect: Connect{Addr: addr, Timeout: time.Hour}, URLs: []URL{{}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if r := h.Check(ctx); r.OK {
		t.Error("passed")
	}
}

func TestHTTPRequest(t *testing.T) {
	var got string
	seen := make(chan string, 1)
	addr := serve(t, func(c net.Conn) {
		var b []byte
		for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			p := make([]byte, 512)
			n, err := c.Read(p)
			if err != nil {
				return
			}
			b = append(b, p[:n]...)
		}
		seen <- string(b)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	})
	agent := "\r\nUser-Agent: KeepAliveClient\r\n"
	for _, test := range []struct {
		name   string
		config HTTPConfig
		want   string
	}{
		{"plain", HTTPConfig{URLs: []URL{{}}}, "GET / HTTP/1.0" + agent + "Host: " + addr.String() + "\r\n\r\n"},
		{"1.0C", HTTPConfig{Version: HTTP10C, URLs: []URL{{Path: "/x?y=1"}}},
			"GET /x?y=1 HTTP/1.0" + agent + "Connection: close\r\nHost: " + addr.String() + "\r\n\r\n"},
		{"1.1 with a virtual host", HTTPConfig{Version: HTTP11, VirtualHost: "a.example", URLs: []URL{{}}},
			"GET / HTTP/1.1" + agent + "Connection: close\r\nHost: a.example\r\n\r\n"},
		{"a virtual host of the url", HTTPConfig{VirtualHost: "a.example", URLs: []URL{{VirtualHost: "b.example:81"}}},
			"GET / HTTP/1.0" + agent + "Host: b.example:81\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.Connect.Addr = addr
			wantResult(t, check(t, newHTTP(t, test.config)), true, "")
			if got = <-seen; got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestHTTPHostOfTheUsualPort(t *testing.T) {
	for _, test := range []struct {
		addr string
		tls  bool
		want string
	}{
		{"192.0.2.1:80", false, "192.0.2.1"},
		{"192.0.2.1:443", true, "192.0.2.1"},
		{"192.0.2.1:443", false, "192.0.2.1:443"},
		{"192.0.2.1:8080", false, "192.0.2.1:8080"},
		{"[2001:db8::1]:80", false, "[2001:db8::1]"},
		{"[fe80::1%eth0]:81", false, "[fe80::1]:81"},
	} {
		c := HTTPConfig{Connect: Connect{Addr: netip.MustParseAddrPort(test.addr)}, TLS: test.tls}
		if got := hostOf(c); got != test.want {
			t.Errorf("%s tls=%v: %q, want %q", test.addr, test.tls, got, test.want)
		}
	}
}

func TestHTTPUrlsTakeTurns(t *testing.T) {
	var asked []string
	broken := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path == broken {
			w.WriteHeader(500)
		}
	}))
	defer s.Close()
	h := newHTTP(t, HTTPConfig{Connect: Connect{Addr: addrOf(s.Listener)}, URLs: []URL{{Path: "/a"}, {Path: "/b"}, {Path: "/c"}}})
	probe := func() string {
		r := check(t, h)
		return map[bool]string{true: "pass", false: "fail"}[r.OK] + map[bool]string{true: "+"}[r.Partial]
	}
	var got []string
	for i := range 9 {
		switch i {
		case 4:
			broken = "/b"
		case 6:
			broken = ""
		}
		got = append(got, probe())
	}
	if g := strings.Join(asked, " "); g != "/a /b /c /a /b /b /b /c /a" {
		t.Errorf("asked %s", g)
	}
	if g := strings.Join(got, " "); g != "pass+ pass+ pass pass fail fail pass+ pass+ pass" {
		t.Errorf("got %s", g)
	}
}

func TestSSL(t *testing.T) {
	names := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") }))
	s.TLS = &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- i.ServerName
		return nil, nil
	}}
	s.StartTLS()
	defer s.Close()
	base := HTTPConfig{Connect: Connect{Addr: addrOf(s.Listener)}, TLS: true, VirtualHost: "www.example", URLs: []URL{{Digest: digest("secret")}}}
	for _, test := range []struct {
		name   string
		change func(*HTTPConfig)
		sni    string
	}{
		{"no name unless asked for", func(*HTTPConfig) {}, ""},
		{"enable_sni", func(c *HTTPConfig) { c.EnableSNI = true }, "www.example"},
		{"enable_sni with the name of the url", func(c *HTTPConfig) { c.EnableSNI = true; c.URLs = []URL{{VirtualHost: "u.example"}} }, "u.example"},
		{"sni_name", func(c *HTTPConfig) { c.EnableSNI = true; c.SNIName = "other.example" }, "other.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := base
			test.change(&c)
			wantResult(t, check(t, newHTTP(t, c)), true, "status 200")
			if got := <-names; got != test.sni {
				t.Errorf("server name %q, want %q", got, test.sni)
			}
		})
	}
}

func TestSSLClientCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	c := HTTPConfig{Connect: Connect{Addr: addrOf(s.Listener)}, TLS: true, URLs: []URL{{Digest: digest("1")}}}
	wantResult(t, check(t, newHTTP(t, c)), false, "tls: ")
	c.Certificate = &s.TLS.Certificates[0]
	wantResult(t, check(t, newHTTP(t, c)), true, "")
}

func TestSSLFaults(t *testing.T) {
	secure := func(version uint16, answer func(*tls.Conn)) netip.AddrPort {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		certificates := s.TLS.Certificates
		s.Close()
		return serve(t, func(c net.Conn) {
			tc := tls.Server(c, &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS10, MaxVersion: version})
			if _, err := http.ReadRequest(bufio.NewReader(tc)); err == nil {
				answer(tc)
			}
		})
	}
	ok := func(c *tls.Conn) { io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nhello"); c.Close() }
	for _, test := range []struct {
		name  string
		addr  netip.AddrPort
		ok    bool
		words string
	}{
		{"the handshake stalls", serve(t, hang), false, "timed out"},
		{"closed in the handshake", serve(t, func(net.Conn) {}), false, "tls handshake: "},
		{"no TLS there", serve(t, says("HTTP/1.0 400 Bad\r\n\r\n")), false, "tls handshake"},
		{"TLS 1.0", secure(tls.VersionTLS10, ok), true, "status 200"},
		{"the end without close_notify", secure(tls.VersionTLS13, func(c *tls.Conn) { io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nhello") }), true, "status 200"},
		{"no data", secure(tls.VersionTLS13, func(c *tls.Conn) {}), false, "no data"},
		{"silence", secure(tls.VersionTLS13, func(c *tls.Conn) { hang(c) }), false, "timed out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHTTP(t, HTTPConfig{Connect: Connect{Addr: test.addr, Timeout: 500 * time.Millisecond}, TLS: true, URLs: []URL{{Digest: digest("hello")}}})
			wantResult(t, check(t, h), test.ok, test.words)
		})
	}
}

func TestHTTPMemoryIsBounded(t *testing.T) {
	const size = 256 << 20
	chunk := make([]byte, 1<<20)
	addr := replies(t, func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		for range size / len(chunk) {
			c.Write(chunk)
		}
	})
	h := newHTTP(t, HTTPConfig{Connect: Connect{Addr: addr, Timeout: time.Minute}, URLs: []URL{{Digest: "1f5039e50bd66b290c56684d8550c6c2"}}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := check(t, h)
	runtime.ReadMemStats(&after)
	wantResult(t, r, true, "")
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20+64<<10 {
		t.Errorf("allocated %d bytes for a body of %d (the server's own chunk is %d)", used, size, len(chunk))
	}
}

func TestNewHTTPRefuses(t *testing.T) {
	for _, test := range []struct {
		url   []URL
		words string
	}{
		{nil, "at least one url"},
		{[]URL{{Path: "/a b"}}, `url "/a b": path and virtualhost may not hold blanks`},
		{[]URL{{VirtualHost: "a\r\nX: y"}}, "may not hold blanks"},
		{[]URL{{Digest: "abc"}}, `digest "abc" is not an MD5`},
		{[]URL{{Digest: "zz5039e50bd66b290c56684d8550c6c2"}}, "is not an MD5"},
		{[]URL{{Regex: "(?=x)"}}, "is not supported"},
	} {
		_, err := NewHTTP(HTTPConfig{URLs: test.url})
		if err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%+v: %v, want %q", test.url, err, test.words)
		}
	}
}

func TestHTTPString(t *testing.T) {
	c := HTTPConfig{Connect: Connect{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, URLs: []URL{{Path: "/a"}, {Path: "/b"}}}
	if got := newHTTP(t, c).String(); got != "HTTP_GET http://192.0.2.1:80/a" {
		t.Error(got)
	}
	c.TLS = true
	if got := newHTTP(t, c).String(); got != "SSL_GET https://192.0.2.1:80/a" {
		t.Error(got)
	}
}
