package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xvip-lb/xvip/internal/lab/labtest"
)

// TestWhatPeopleAsk: what becomes of a packet, and which connections there are,
// of a daemon that forwards.
func TestWhatPeopleAsk(t *testing.T) {
	t.Parallel()
	n, client := single(t, "observe", example(t, "lvs-dr-master.conf"))
	ask := func(args ...string) string {
		t.Helper()
		out, err := n.host.Run(t.Context(), append([]string{xvip(t)}, append(args, "--control-socket", n.socket())...)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	told := ask("explain", "192.168.166.10", vip1+":80")
	for _, want := range []string{"1. it comes in at eth0", "scheduler rr", "no such connection", "next hop", "it leaves as", "tcp 192.168.166.10:40000 > " + vip1 + ":80"} {
		if !strings.Contains(told, want) {
			t.Errorf("explain does not say %q:\n%s", want, told)
		}
	}
	if again := ask("explain", "192.168.166.10", vip1+":80"); again != told {
		t.Errorf("asked again it says\n%s\nand said\n%s", again, told)
	}
	if told := ask("explain", "192.168.166.10", vip1+":81"); !strings.Contains(told, "no service on XDP") {
		t.Errorf("of another port it says\n%s", told)
	}
	s := open(t, client)
	server, err := s.ask(slack)
	if err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, slack, "the connection is listed", func() error {
		if out := ask("conns", "--client", "192.168.166.10", "--state", "established", "--count"); strings.TrimSpace(out) == "0" {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	from := s.conn.LocalAddr().String()
	if told := ask("explain", "--flags", "ack", from, vip1+":80"); !strings.Contains(told, "the table has the connection") {
		t.Errorf("of a connection to %s it says\n%s", server, told)
	}

	n.write(example(t, "lvs-dr-master.conf") + "\nxvip {\n new_connection_limit 1\n}\n")
	n.signal(syscall.SIGHUP)
	dropped := make(chan string, 1)
	go func() {
		out, err := n.host.Run(t.Context(), xvip(t), "drops", "--reason", "drop_limit", "--count", "1", "--control-socket", n.socket())
		dropped <- fmt.Sprint(out, err)
	}()
	labtest.Eventually(t, startUp, "a dropped packet is shown", func() error {
		client.FetchN(t.Context(), "http://"+vip1+"/", 5, 50*time.Millisecond)
		select {
		case out := <-dropped:
			if !strings.Contains(out, "eth0 drop_limit") || !strings.Contains(out, " > "+vip1+":80") {
				t.Errorf("drops says %q", out)
			}
			return nil
		default:
			return fmt.Errorf("none")
		}
	})
	st, err := n.status()
	if err != nil || st.VirtualServers[0].Refused == 0 {
		t.Errorf("status counts no refused connection: %v, %+v", err, st)
	}
	if out, err := n.host.Run(t.Context(), xvip(t), "drops", "--reason", "drop_lmit", "--control-socket", n.socket()); err == nil || !strings.Contains(err.Error()+out, "drop_limit") {
		t.Errorf("an unknown reason: %q, %v", out, err)
	}
	n.stop()
}
