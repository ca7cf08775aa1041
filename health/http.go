package health

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
	TLS         bool // SSL_GET; the certificate is not verified
	EnableSNI   bool
	SNIName     string // sni_name; empty means the virtual host
	Version     HTTPVersion
	VirtualHost string // Host header; empty means the address asked
	URLs        []URL  // one or more, asked in turn
}

// HTTP is HTTP_GET or SSL_GET: one url a probe, in turn.
type HTTP struct{ config HTTPConfig }
