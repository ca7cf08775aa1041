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
