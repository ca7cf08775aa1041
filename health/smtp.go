package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// SMTPConfig is an SMTP_CHECK.
type SMTPConfig struct {
	Hosts []Connect // one, or those of the old host blocks, which all have to pass
	Helo  string    // helo_name; empty means DefaultHelo
}

// DefaultHelo is the name that SMTP_CHECK says in HELO.
const DefaultHelo = "smtpchecker.keepalived.org"

// maxDialogue bounds what a mail server may say in one check, in bytes.
const maxDialogue = 64 << 10

// SMTP is SMTP_CHECK: banner, HELO, QUIT.
type SMTP struct{ config SMTPConfig }

// NewSMTP returns an SMTP_CHECK.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	if len(c.Hosts) == 0 {
		return nil, errors.New("need at least one host")
	}
	if c.Helo == "" {
		c.Helo = DefaultHelo
	}
	if strings.ContainsAny(c.Helo, " \r\n") {
		return nil, fmt.Errorf("helo_name %q holds blanks or line ends", c.Helo)
	}
	return &SMTP{c}, nil
}

// Check talks to one host after the other; the first failure is the verdict.
func (s *SMTP) Check(ctx context.Context) Result {
	for _, h := range s.config.Hosts {
		if err := s.talk(ctx, h); err != nil {
			r := failure(err)
			if len(s.config.Hosts) > 1 {
				r.Reason = h.Addr.String() + ": " + r.Reason
			}
			return r
		}
	}
	return Result{OK: true, Reason: "greeted"}
}

// smtpStages are connecting, banner, HELO and QUIT, each within the timeout.
const smtpStages = 4

// talk has one dialogue (RFC 5321 sections 4.2.5 and 4.3.2).
func (s *SMTP) talk(ctx context.Context, h Connect) error {
	conn, err := h.dial(ctx, "tcp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := textproto.NewReader(bufio.NewReader(io.LimitReader(conn, maxDialogue)))
	expect := func(code int, after string) error {
		if _, _, err := in.ReadResponse(code); err != nil {
			return fmt.Errorf("%s: %w", after, ended(err))
		}
		return nil
	}
	if err := step(conn, h, ""); err != nil {
		return err
	}
	if err := expect(220, "banner"); err != nil {
		return err
	}
	if err := step(conn, h, "HELO "+s.config.Helo+"\r\n"); err != nil {
		return err
	}
	if err := expect(250, "HELO"); err != nil {
		return err
	}
	// The server has proven itself. QUIT is good manners, and waiting for its
	// answer keeps "lost connection" out of the server's log.
	if step(conn, h, "QUIT\r\n") == nil {
		_ = expect(221, "QUIT")
	}
	return nil
}

// step starts the time of a stage and sends its command.
func step(conn net.Conn, h Connect, command string) error {
	conn.SetDeadline(time.Now().Add(h.timeout()))
	_, err := io.WriteString(conn, command)
	return err
}

// ended puts words to an end of the connection or of our patience.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection ended")
	}
	return err
}

// Limit is the sum of what the stages of all hosts may take.
func (s *SMTP) Limit() time.Duration {
	var sum time.Duration
	for _, h := range s.config.Hosts {
		sum += smtpStages * h.timeout()
	}
	return sum
}

func (s *SMTP) String() string {
	var hosts []string
	for _, h := range s.config.Hosts {
		hosts = append(hosts, h.Addr.String())
	}
	return "SMTP_CHECK " + strings.Join(hosts, ",")
}
