package health

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// mailServer answers each line in turn: the first answer is the banner. It
// tells the lines it got when the client has gone.
func mailServer(t *testing.T, answers ...string) (netip.AddrPort, <-chan string) {
	heard := make(chan string, 1)
	return serve(t, func(c net.Conn) {
		in, lines := bufio.NewScanner(c), []string{}
		for _, a := range answers {
			io.WriteString(c, a)
			if !in.Scan() {
				break
			}
			lines = append(lines, in.Text())
		}
		heard <- strings.Join(lines, "|")
	}), heard
}

func newSMTP(t *testing.T, c SMTPConfig) *SMTP {
	t.Helper()
	s, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSMTPDialogue(t *testing.T) {
	addr, heard := mailServer(t, "220 mail ready\r\n", "250 hello\r\n", "221 bye\r\n")
	for helo, want := range map[string]string{
		"":             "HELO smtpchecker.keepalived.org|QUIT",
		"lb1.example.": "HELO lb1.example.|QUIT",
	} {
		wantResult(t, check(t, newSMTP(t, SMTPConfig{Hosts: []Connect{{Addr: addr}}, Helo: helo})), true, "greeted")
		if got := <-heard; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

func TestSMTPVerdicts(t *testing.T) {
	one := func(answer func(net.Conn)) []netip.AddrPort { return []netip.AddrPort{serve(t, answer)} }
	talk := func(answers ...string) []netip.AddrPort {
		addr, _ := mailServer(t, answers...)
		return []netip.AddrPort{addr}
	}
	good := func() netip.AddrPort { return talk("220 a\r\n", "250 b\r\n", "221 c\r\n")[0] }
	for _, test := range []struct {
		name  string
		hosts []netip.AddrPort
		ok    bool
		words string
	}{
		{"several lines", talk("220-a\r\n220 b\r\n", "250-c\r\n250 d\r\n", "221 e\r\n"), true, "greeted"},
		{"421 for a banner", talk("421 too busy\r\n"), false, "banner: 421 \"too busy\""},
		{"554 for a banner", talk("554 no service\r\n"), false, "banner: 554"},
		{"HELO refused", talk("220 a\r\n", "550 who?\r\n"), false, "HELO: 550 \"who?\""},
		{"a bad end does not matter", talk("220 a\r\n", "250 b\r\n", "500 what?\r\n"), true, "greeted"},
		{"no banner", one(func(net.Conn) {}), false, "banner: the connection ended"},
		{"gone after HELO", talk("220 a\r\n"), false, "HELO: "},
		{"silence", one(hang), false, "timed out: banner"},
		{"silence after HELO", one(func(c net.Conn) { says("220 a\r\n")(c); hang(c) }), false, "timed out: HELO"},
		{"silence after QUIT", one(func(c net.Conn) { says("220 a\r\n250 b\r\n")(c); hang(c) }), true, "greeted"},
		// Where the patience or the limit ends within the line, the stage differs.
		{"endless line", one(func(c net.Conn) { repeat(c, "220 a") }), false, ""},
		{"endless banner", one(func(c net.Conn) { repeat(c, "220-a\r\n") }), false, "banner: "},
		{"not SMTP", one(says("HTTP/1.0 400 Bad\r\n\r\n")), false, "banner: "},
		{"a refusal of many lines", one(says(strings.Repeat("554-no\r\n", 5000) + "554 no\r\n")), false, "banner: 554"},
		{"refused", []netip.AddrPort{closedPort(t)}, false, "connection refused"},
		{"all hosts", []netip.AddrPort{good(), good()}, true, "greeted"},
		{"one of the hosts", []netip.AddrPort{good(), closedPort(t)}, false, "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var c SMTPConfig
			for _, h := range test.hosts {
				c.Hosts = append(c.Hosts, Connect{Addr: h, Timeout: 200 * time.Millisecond})
			}
			r := check(t, newSMTP(t, c))
			wantResult(t, r, test.ok, test.words)
			if len(r.Reason) > 300 {
				t.Errorf("reason of %d octets", len(r.Reason))
			}
		})
	}
}

func TestNewSMTPRefuses(t *testing.T) {
	for _, c := range []SMTPConfig{{}, {Hosts: []Connect{{}}, Helo: "a\r\nRSET"}} {
		if _, err := NewSMTP(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
