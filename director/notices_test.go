package director

import (
	"slices"
	"testing"

	"github.com/xvip-lb/xvip/config"
)

func TestNotices(t *testing.T) {
	named := func(s string) *config.Script { return &config.Script{Argv: []string{s}} }
	vs := virtualServer(1, 1)
	vs.Omega = true
	vs.QuorumUp, vs.QuorumDown = named("quorum up"), named("quorum down")
	for i, rs := range vs.RealServers {
		n := string(rune('1' + i))
		rs.NotifyUp, rs.NotifyDown = named("up "+n), named("down "+n)
	}
	cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}}
	var d Decision
	for _, step := range []struct {
		down []string
		want []string
	}{
		{nil, nil}, // the start is no change
		{[]string{"10.0.0.1"}, []string{"down 1"}},
		{[]string{"10.0.0.1"}, nil},
		{[]string{"10.0.0.1", "10.0.0.2"}, []string{"down 2", "quorum down"}},
		{[]string{"10.0.0.2"}, []string{"up 1", "quorum up"}},
		{nil, []string{"up 2"}},
	} {
		next := Want(cfg, down(step.down...).health(), nil, d)
		if got := words(Notices(d, next)); !slices.Equal(got, step.want) {
			t.Errorf("with %v down: %q, want %q", step.down, got, step.want)
		}
		d = next
	}
	if got := words(LastNotices(d)); !slices.Equal(got, []string{"down 1", "down 2", "quorum down"}) {
		t.Errorf("at the end with omega: %q", got)
	}
	vs.Omega = false
	if got := LastNotices(d); got != nil {
		t.Errorf("at the end without omega: %q", words(got))
	}
}

func words(list []*config.Script) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Argv[0])
	}
	return out
}

func TestAServerThatAReloadBringsIsNoNotice(t *testing.T) {
	vs := virtualServer(1)
	cfg := &config.Config{VirtualServers: []*config.VirtualServer{vs}}
	d := Want(cfg, nil, nil, Decision{})
	more := virtualServer(1, 1)
	more.RealServers[1].NotifyUp = &config.Script{Argv: []string{"up"}}
	next := Want(&config.Config{VirtualServers: []*config.VirtualServer{more}}, nil, nil, d)
	if got := Notices(d, next); got != nil {
		t.Errorf("got %q", words(got))
	}
}

// A server whose first probe has failed before the first decision was up until
// then; one with alpha was not, and comes up with its first success.
func TestNoticesOfTheFirstDecision(t *testing.T) {
	named := func(s string) *config.Script { return &config.Script{Argv: []string{s}} }
	for _, c := range []struct {
		alpha bool
		down  []string
		want  []string
	}{
		{false, nil, nil}, {false, []string{"10.0.0.1"}, []string{"down", "quorum down"}},
		{true, nil, []string{"up", "quorum up"}}, {true, []string{"10.0.0.1"}, nil},
	} {
		vs := virtualServer(1)
		vs.QuorumUp, vs.QuorumDown = named("quorum up"), named("quorum down")
		rs := vs.RealServers[0]
		rs.NotifyUp, rs.NotifyDown = named("up"), named("down")
		rs.Checkers = []*config.Checker{{Type: config.TCPCheck, Alpha: c.alpha}}
		now := Want(&config.Config{VirtualServers: []*config.VirtualServer{vs}}, down(c.down...).health(), nil, Decision{})
		if got := words(Notices(Decision{}, now)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
