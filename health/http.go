package health

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// HTTPVersion is how a request is written.
type HTTPVersion uint8

// The values of http_protocol.
const (
	HTTP10  HTTPVersion = iota // HTTP/1.0, the default
	HTTP10C                    // HTTP/1.0 with "Connection: close"
	HTTP11                     // HTTP/1.1 with "Connection: close"
)

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct{ First, Last int }

// URL is one thing that HTTP_GET asks for.
type URL struct {
	Path        string        // with its query; empty means "/"
	Status      []StatusRange // accepted codes; empty means 200-299
	Digest      string        // MD5 of the body in hexadecimal; empty accepts any body
	VirtualHost string        // Host header of this url; empty means HTTPConfig.VirtualHost
	Regex       string        // the body must match; empty accepts any body
	RegexOpts   []string      // regex_options, names of PCRE2 in any case
	NoMatch     bool          // regex_no_match: the body must not match
	MinOffset   int           // where in the body a match may start at the earliest
	MaxOffset   int           // where in the body a match may start at the latest; 0 means anywhere
}

// HTTPConfig is an HTTP_GET or SSL_GET.
type HTTPConfig struct {
	Connect     Connect
	TLS         bool             // SSL_GET; the certificate is not verified
	Certificate *tls.Certificate // shown to a server that asks for one; nil shows none
	EnableSNI   bool
	SNIName     string // sni_name; empty means the virtual host
	Version     HTTPVersion
	VirtualHost string // Host header; empty means the address asked
	URLs        []URL  // one or more, asked in turn
}

// HTTP is HTTP_GET or SSL_GET. Each probe asks for one url, and the urls take
// turns: see cycle.
type HTTP struct {
	config HTTPConfig
	urls   []target
	tls    *tls.Config // nil without TLS
	cycle  cycle
}

// target is a URL made ready for probing.
type target struct {
	url     URL
	host    string // Host header
	request string
	digest  string // lower case, empty without
	regex   *bodyRegex
}

// NewHTTP returns an HTTP_GET or SSL_GET. It fails when there is no url, when
// a digest is not 32 hexadecimal digits, or when a regex needs what Go's
// regular expressions lack.
func NewHTTP(c HTTPConfig) (*HTTP, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("need at least one url")
	}
	h := &HTTP{config: c, cycle: newCycle(len(c.URLs))}
	for _, u := range c.URLs {
		t, err := newTarget(c, u)
		if err != nil {
			return nil, fmt.Errorf("url %q: %w", u.Path, err)
		}
		h.urls = append(h.urls, t)
	}
	if c.TLS {
		h.tls = tlsConfig(c.Certificate)
	}
	return h, nil
}

func newTarget(c HTTPConfig, u URL) (target, error) {
	if u.Path == "" {
		u.Path = "/"
	}
	if len(u.Status) == 0 {
		u.Status = []StatusRange{{200, 299}}
	}
	t := target{url: u, digest: strings.ToLower(u.Digest), host: u.VirtualHost}
	if sum, err := hex.DecodeString(u.Digest); err != nil || len(sum) != 0 && len(sum) != md5.Size {
		return t, fmt.Errorf("digest %q is not an MD5 of 32 hexadecimal digits", u.Digest)
	}
	if t.host == "" {
		t.host = c.VirtualHost
	}
	t.request = request(c, u.Path, t.host)
	if strings.ContainsAny(u.Path+t.host, " \r\n\x00") {
		return t, errors.New("path and virtualhost may not hold blanks or line ends")
	}
	var err error
	if u.Regex != "" {
		t.regex, err = newBodyRegex(u)
	}
	return t, err
}

// request writes a GET. The name of the client is that of keepalived: filters
// of access logs look for it.
func request(c HTTPConfig, path, host string) string {
	if host == "" {
		host = hostOf(c)
	}
	version, closing := "1.0", ""
	switch c.Version {
	case HTTP10C:
		closing = "Connection: close\r\n"
	case HTTP11:
		version, closing = "1.1", "Connection: close\r\n"
	}
	return fmt.Sprintf("GET %s HTTP/%s\r\nUser-Agent: KeepAliveClient\r\n%sHost: %s\r\n\r\n", path, version, closing, host)
}

// hostOf is the address asked, with the port unless it is that of the scheme.
func hostOf(c HTTPConfig) string {
	port := uint16(80)
	if c.TLS {
		port = 443
	}
	text := netip.AddrPortFrom(c.Connect.Addr.Addr().WithZone(""), c.Connect.Addr.Port()).String()
	if c.Connect.Addr.Port() == port {
		text = strings.TrimSuffix(text, fmt.Sprintf(":%d", port))
	}
	return text
}

// tlsConfig accepts any certificate and also the protocols and ciphers that
// have gone out of use: the question is whether the server answers, and no
// secret is sent.
func tlsConfig(certificate *tls.Certificate) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		c.CipherSuites = append(c.CipherSuites, s.ID)
	}
	if certificate != nil {
		c.Certificates = []tls.Certificate{*certificate}
	}
	return c
}

// Check asks for one url.
func (h *HTTP) Check(ctx context.Context) Result {
	r := h.get(ctx, h.urls[h.cycle.at])
	switch {
	case r.OK:
		r.Partial = h.cycle.pass()
	case !r.Inconclusive:
		h.cycle.fail()
	}
	return r
}

// Limit is the time for connecting (with the TLS handshake), for the header
// and for the body, each of which may take the connect timeout.
func (h *HTTP) Limit() time.Duration { return 3 * h.config.Connect.timeout() }

func (h *HTTP) String() string {
	kind, scheme := "HTTP_GET", "http"
	if h.config.TLS {
		kind, scheme = "SSL_GET", "https"
	}
	return kind + " " + scheme + "://" + h.config.Connect.Addr.String() + h.urls[0].url.Path
}

// get makes one request on a connection of its own.
func (h *HTTP) get(ctx context.Context, t target) Result {
	conn, err := h.open(ctx, t)
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := &replyReader{conn: conn, tls: h.tls != nil}
	head, err := h.ask(in, t)
	if err != nil {
		return t.failed(err)
	}
	if head.status == 0 {
		line, _, _ := bytes.Cut(head.raw, []byte("\r"))
		return t.failed(fmt.Errorf("%.40q is not a status line of HTTP", line))
	}
	h.stage(conn)
	return t.judge(head, in)
}

// stage gives what follows on the connection the connect timeout.
func (h *HTTP) stage(c net.Conn) { c.SetDeadline(time.Now().Add(h.config.Connect.timeout())) }

// ask sends the request and reads the header of the reply.
func (h *HTTP) ask(in *replyReader, t target) (head, error) {
	h.stage(in.conn)
	if _, err := io.WriteString(in.conn, t.request); err != nil {
		return head{}, err
	}
	return in.head()
}

// Get asks for the first url, copies the header and the body of any reply to
// two writers, and returns the MD5 of the body, as genhash does. The status is
// not judged, and a body may take as long as it keeps coming.
func (h *HTTP) Get(ctx context.Context, header, body io.Writer) (sum [md5.Size]byte, err error) {
	t := h.urls[0]
	conn, err := h.open(ctx, t)
	if err != nil {
		return sum, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := &replyReader{conn: conn, tls: h.tls != nil, before: func() { h.stage(conn) }}
	head, err := h.ask(in, t)
	if err != nil {
		return sum, err
	}
	if _, err := header.Write(head.raw); err != nil {
		return sum, err
	}
	hash := md5.New()
	if _, err := io.Copy(io.MultiWriter(hash, body), in.body(head)); err != nil {
		return sum, fmt.Errorf("read body: %w", err)
	}
	return [md5.Size]byte(hash.Sum(nil)), nil
}

// open connects, and shakes hands when TLS is asked for, within one timeout.
func (h *HTTP) open(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, h.config.Connect.timeout())
	defer cancel()
	conn, err := h.config.Connect.dial(ctx, "tcp")
	if err != nil || h.tls == nil {
		return conn, err
	}
	c := h.tls.Clone()
	if h.config.EnableSNI {
		c.ServerName = h.config.SNIName
		if c.ServerName == "" {
			c.ServerName = t.host
		}
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return secure, nil
}

func (t *target) failed(err error) Result {
	r := failure(err)
	r.Reason = "GET " + t.url.Path + ": " + r.Reason
	return r
}

// judge reads the body to its end and decides, as keepalived does, on the
// status, the digest of the body as it came over the wire, and the regex.
func (t *target) judge(h head, in *replyReader) Result {
	sum := md5.New()
	body := io.TeeReader(in.body(h), sum)
	var matched bool
	var err error
	if t.regex != nil {
		matched, err = t.regex.match(body)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		return t.failed(fmt.Errorf("read body: %w", err))
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	switch {
	case !accepts(t.url.Status, h.status):
		return t.failed(fmt.Errorf("status %d", h.status))
	case t.digest != "" && digest != t.digest:
		return t.failed(fmt.Errorf("digest of the body is %s", digest))
	case t.regex != nil && matched && t.url.NoMatch:
		return t.failed(errors.New("the body matches the regex"))
	case t.regex != nil && !matched && !t.url.NoMatch:
		return t.failed(errors.New("the body does not match the regex"))
	}
	return Result{OK: true, Reason: fmt.Sprintf("GET %s: status %d", t.url.Path, h.status)}
}

func accepts(ranges []StatusRange, status int) bool {
	for _, r := range ranges {
		if r.First <= status && status <= r.Last {
			return true
		}
	}
	return false
}
