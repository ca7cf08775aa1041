package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// DNSConfig is a DNS_CHECK.
type DNSConfig struct {
	Connect Connect
	Type    string // A, NS, CNAME, SOA, MX, TXT or AAAA; empty means SOA
	Name    string // empty means the root
}

// DNS is DNS_CHECK: a query over UDP that gets an answer without an error. What
// the answer says, or that it was cut short, does not matter.
type DNS struct {
	config DNSConfig
	kind   uint16
}

// NewDNS returns a DNS_CHECK.
func NewDNS(c DNSConfig) (*DNS, error) {
	if c.Type == "" {
		c.Type = "SOA"
	}
	kind, ok := dns.StringToType[c.Type]
	if !ok {
		return nil, fmt.Errorf("type %q is not known", c.Type)
	}
	c.Name = dns.Fqdn(c.Name)
	if _, ok := dns.IsDomainName(c.Name); !ok {
		return nil, fmt.Errorf("name %q is not a domain name", c.Name)
	}
	return &DNS{c, kind}, nil
}

// Check asks once. Replies to other queries are passed over.
func (d *DNS) Check(ctx context.Context) Result {
	conn, err := d.config.Connect.dial(ctx, "udp")
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(d.config.Connect.timeout()))
	query := new(dns.Msg).SetQuestion(d.config.Name, d.kind)
	c := &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	if err := c.WriteMsg(query); err != nil {
		return failure(fmt.Errorf("send query: %w", err))
	}
	for {
		var h dns.Header
		_, err := c.ReadMsgHeader(&h)
		if errors.Is(err, dns.ErrShortRead) {
			continue // not even a header
		}
		if err != nil {
			return failure(fmt.Errorf("await answer: %w", err))
		}
		if h.Id == query.Id {
			return judgeDNS(h)
		}
	}
}

// judgeDNS decides on the header of an answer: RFC 1035 section 4.1.1.
func judgeDNS(h dns.Header) Result {
	const qr, rcode = 1 << 15, 0xf
	if h.Bits&qr == 0 {
		return Result{Reason: "a query came back, not an answer"}
	}
	if code := int(h.Bits & rcode); code != dns.RcodeSuccess {
		return Result{Reason: fmt.Sprintf("answer has the error %s", dns.RcodeToString[code])}
	}
	return Result{OK: true, Reason: "answered"}
}

// Limit is the connect timeout.
func (d *DNS) Limit() time.Duration { return d.config.Connect.timeout() }

func (d *DNS) String() string {
	return fmt.Sprintf("DNS_CHECK %s %s %s", d.config.Connect.Addr, d.config.Name, d.config.Type)
}
