package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/internal/lab"
)

// nodeState is what a director says and has.
type nodeState struct {
	name    string
	running bool
	state   string // MASTER, BACKUP…; empty when not running
	hasVIP  bool   // in its kernel
}

func (n nodeState) String() string {
	s := n.name + " is " + n.state
	if !n.running {
		s = n.name + " is not running"
	}
	if n.hasVIP {
		return s + " with the address"
	}
	return s
}

// ownedBy checks that one director alone is master and has the address.
func ownedBy(all []nodeState, master string) error {
	var wrong []string
	for _, n := range all {
		want := "BACKUP"
		if n.name == master {
			want = "MASTER"
		}
		if n.running && n.state != want || n.hasVIP != (n.name == master) {
			wrong = append(wrong, n.String())
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, ", "))
	}
	return nil
}

// alternate checks that the answers come from the servers in strict turn.
func alternate(sequence []string, servers ...string) error {
	for i, s := range sequence {
		if !slices.Contains(servers, s) {
			return fmt.Errorf("answer %d came from %s", i+1, orNobody(s))
		}
		if i >= len(servers) && s != sequence[i-len(servers)] || i > 0 && s == sequence[i-1] {
			return fmt.Errorf("answer %d came from %s out of turn: %s", i+1, s, strings.Join(sequence[:i+1], " "))
		}
	}
	return nil
}

// onlyFrom checks that every request was answered, and by that server.
func onlyFrom(r lab.Report, server string) error {
	if len(r) == 0 {
		return errors.New("the client sent no request")
	}
	if n := r.Failures(); n > 0 {
		return fmt.Errorf("%d of %d requests failed: %w", n, len(r), r.FirstError())
	}
	for _, s := range r {
		if s.Server != server {
			return fmt.Errorf("an answer came from %s, want %s", s.Server, server)
		}
	}
	return nil
}

// gapWithin checks the longest time without an answer.
func gapWithin(r lab.Report, limit time.Duration) error {
	if gap := r.LongestGap(); gap > limit {
		return fmt.Errorf("no answer for %d ms, want at most %d ms", gap.Milliseconds(), limit.Milliseconds())
	}
	return nil
}

// realServersUp checks that exactly these real servers are in rotation.
func realServersUp(st *control.Status, want []string) error {
	v, err := theService(st)
	if err != nil {
		return err
	}
	var up []string
	for _, r := range v.RealServers {
		if r.Up && !r.Sorry {
			up = append(up, r.Address)
		}
	}
	slices.Sort(up)
	slices.Sort(want)
	if !slices.Equal(up, want) {
		return fmt.Errorf("in rotation: %s", orNobody(strings.Join(up, ", ")))
	}
	if sorry := len(want) == 0; v.SorryServerActive != sorry {
		return fmt.Errorf("sorry server active: %v", v.SorryServerActive)
	}
	return nil
}

func theService(st *control.Status) (control.VirtualServer, error) {
	for _, v := range st.VirtualServers {
		if fmt.Sprintf("%s:%d", v.Address, v.Port) == service {
			return v, nil
		}
	}
	return control.VirtualServer{}, fmt.Errorf("the status has no virtual server %s", service)
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// forwardVerdicts begins the names of the exits of the XDP program that forward.
const forwardVerdicts = "forward_"

// sentOn is how many packets the XDP program has forwarded.
func sentOn(st *control.Status) (packets uint64) {
	for name, n := range st.Engine.XDP.Verdicts {
		if strings.HasPrefix(name, forwardVerdicts) {
			packets += n
		}
	}
	return packets
}

// forwarded checks that n requests between two looks at the status went through
// XDP, and tells how many packets the program forwarded.
func forwarded(before, after *control.Status, n int) (packets uint64, err error) {
	was, err := theService(before)
	if err != nil {
		return 0, err
	}
	is, err := theService(after)
	if err != nil {
		return 0, err
	}
	if is.Engine != "xdp" {
		return 0, fmt.Errorf("the service is on engine %q: %s", is.Engine, is.Reason)
	}
	if got := is.Connections - was.Connections; got != uint64(n) {
		return 0, fmt.Errorf("XDP counted %d connections for %d requests", got, n)
	}
	packets = sentOn(after) - sentOn(before)
	// A request is at least SYN, ACK, the question, and FIN.
	if packets < uint64(4*n) {
		return packets, fmt.Errorf("XDP forwarded %d packets for %d requests", packets, n)
	}
	return packets, nil
}
