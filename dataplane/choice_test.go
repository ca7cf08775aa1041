package dataplane

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func service(addr string, sched Scheduler) VirtualService {
	return VirtualService{
		Key:       Key{Address: netip.MustParseAddr(addr), Port: 80, Protocol: TCP},
		Scheduler: sched,
	}
}

func onlyRR(s VirtualService) error {
	if s.Scheduler != "rr" {
		return errors.New("scheduler " + string(s.Scheduler) + " is not carried")
	}
	return nil
}

func TestChooseGivesEachServiceTheFirstEngineThatSupportsIt(t *testing.T) {
	xdp, ipvs := &Fake{Refuse: onlyRR}, &Fake{EngineName: "ipvs"}
	c := NewChooser([]Engine{xdp, ipvs}, nil)
	rr, lblc := service("192.0.2.1", "rr"), service("192.0.2.2", "lblc")
	if err := c.Apply(context.Background(), []VirtualService{rr, lblc}); err != nil {
		t.Fatal(err)
	}
	got := c.Assignments()
	if a := got[rr.Key]; a != (Assignment{Engine: "xdp"}) {
		t.Errorf("rr: %+v", a)
	}
	if a := got[lblc.Key]; a.Engine != "ipvs" || !strings.Contains(a.Reason, "scheduler lblc is not carried") {
		t.Errorf("lblc: %+v, want ipvs with xdp's reason", a)
	}
	for _, e := range []struct {
		engine *Fake
		want   Key
	}{{xdp, rr.Key}, {ipvs, lblc.Key}} {
		held, _ := e.engine.Services(context.Background())
		if len(held) != 1 || held[0].Key != e.want {
			t.Errorf("%s holds %v, want only %v", e.engine.Name(), held, e.want)
		}
	}
}

func TestChooseNamesEveryReasonWhenNothingCarries(t *testing.T) {
	svc := service("192.0.2.1", "lblc")
	a := Choose([]VirtualService{svc}, []Engine{&Fake{Refuse: onlyRR}}, map[string]string{"ipvs": "module ip_vs is missing"})[svc.Key]
	if a.Engine != None || !strings.Contains(a.Reason, "lblc") || !strings.Contains(a.Reason, "module ip_vs is missing") {
		t.Errorf("got %+v", a)
	}
}

func TestApplyGoesOnWhenOneEngineFails(t *testing.T) {
	xdp, ipvs := &Fake{Refuse: onlyRR}, &Fake{EngineName: "ipvs"}
	xdp.FailWith(errors.New("map is full"))
	c := NewChooser([]Engine{xdp, ipvs}, nil)
	err := c.Apply(context.Background(), []VirtualService{service("192.0.2.1", "rr"), service("192.0.2.2", "lc")})
	if err == nil || !strings.Contains(err.Error(), "apply to xdp: map is full") {
		t.Errorf("error %v, want it to name the engine", err)
	}
	if ipvs.Applied() != 1 {
		t.Errorf("ipvs was not applied")
	}
}

func TestServiceMovesToTheOtherEngineWithoutStayingInBoth(t *testing.T) {
	xdp, ipvs := &Fake{Refuse: onlyRR}, &Fake{EngineName: "ipvs"}
	c := NewChooser([]Engine{xdp, ipvs}, nil)
	ctx := context.Background()
	for _, sched := range []Scheduler{"rr", "lblc", "rr"} {
		if err := c.Apply(ctx, []VirtualService{service("192.0.2.1", sched)}); err != nil {
			t.Fatal(err)
		}
		all, _ := c.Services(ctx)
		if len(all) != 1 || all[0].Scheduler != sched {
			t.Errorf("after %s: %v", sched, all)
		}
	}
}

// recorder is an engine that writes down what it was given.
type recorder struct {
	*Fake
	log       *[]string
	elsewhere []Key
}

func (r *recorder) Apply(ctx context.Context, want []VirtualService) error {
	line := r.Name()
	for _, s := range want {
		line += " " + s.Address.String()
	}
	*r.log = append(*r.log, line)
	return r.Fake.Apply(ctx, want)
}

func (r *recorder) ApplyBeside(ctx context.Context, want []VirtualService, elsewhere []Key) error {
	r.elsewhere = elsewhere
	return r.Apply(ctx, want)
}

func TestAMovingServiceIsInBothEnginesBeforeItIsInOne(t *testing.T) {
	var log []string
	xdp, ipvs := &recorder{Fake: &Fake{Refuse: onlyRR}, log: &log}, &recorder{Fake: &Fake{EngineName: "ipvs"}, log: &log}
	c := NewChooser([]Engine{xdp, ipvs}, nil)
	steps := []struct {
		barred map[string]string
		sched  Scheduler
		want   []string
	}{
		{nil, "rr", []string{"xdp 192.0.2.1", "ipvs"}},
		{nil, "lc", []string{"xdp 192.0.2.1", "ipvs 192.0.2.1", "xdp", "ipvs 192.0.2.1"}},
		{nil, "rr", []string{"xdp 192.0.2.1", "ipvs 192.0.2.1", "xdp 192.0.2.1", "ipvs"}},
		{map[string]string{"xdp": "off"}, "rr", []string{"xdp 192.0.2.1", "ipvs 192.0.2.1", "xdp", "ipvs 192.0.2.1"}},
		{map[string]string{"xdp": "off"}, "rr", []string{"xdp", "ipvs 192.0.2.1"}},
		{map[string]string{"xdp": "off", "ipvs": "off"}, "rr", []string{"xdp", "ipvs"}},
	}
	for i, s := range steps {
		log = nil
		c.SetEngines([]Engine{xdp, ipvs}, s.barred)
		if err := c.Apply(context.Background(), []VirtualService{service("192.0.2.1", s.sched)}); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(log, ", "), strings.Join(s.want, ", "); got != want {
			t.Errorf("step %d: applied %s; want %s", i, got, want)
		}
	}
}

func TestASharingEngineLearnsWhatOthersCarry(t *testing.T) {
	var log []string
	ipvs := &recorder{Fake: &Fake{EngineName: "ipvs"}, log: &log}
	c := NewChooser([]Engine{&Fake{Refuse: onlyRR}, ipvs}, nil)
	rr := service("192.0.2.1", "rr")
	if err := c.Apply(context.Background(), []VirtualService{rr, service("192.0.2.2", "lc")}); err != nil {
		t.Fatal(err)
	}
	if len(ipvs.elsewhere) != 1 || ipvs.elsewhere[0] != rr.Key {
		t.Errorf("told of %v, want the rr service", ipvs.elsewhere)
	}
}

func TestAnUnavailableEngineIsToldOnceInInfos(t *testing.T) {
	c := NewChooser([]Engine{&Fake{}}, map[string]string{"xdp": "off", "ipvs": "missing"})
	for _, i := range c.Infos() {
		if i.Available || i.Reason == "" {
			t.Errorf("info %+v", i)
		}
	}
	if n := len(c.Infos()); n != 2 {
		t.Errorf("%d infos, want 2", n)
	}
}
