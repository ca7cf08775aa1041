package vrrp

import (
	"errors"
	"strings"
	"testing"
)

func TestPromoteSecondaries(t *testing.T) {
	nl := inNetns(t)
	addVeth(t, nl, "v0", "v1")
	before := newSysctls(nl)
	for _, d := range []string{"v0", "v1"} {
		noError(t, before.set("test", "ipv4/conf/"+d+"/promote_secondaries", "0"))
	}
	is := func(want string) {
		t.Helper()
		got := ""
		noError(t, nl.Do(func() error {
			for _, d := range []string{"v0", "v1"} {
				v, err := before.read("ipv4/conf/" + d + "/promote_secondaries")
				if err != nil {
					return err
				}
				got += v
			}
			return nil
		}))
		if got != want {
			t.Errorf("settings %s, want %s", got, want)
		}
	}
	s := NewInterfaceSettings(nl)
	noError(t, s.PromoteSecondaries([]string{"v0"}))
	is("10")
	noError(t, s.PromoteSecondaries([]string{"v0", "v1"}))
	is("11")
	addrAdd(t, nl, "v0", "192.0.2.100/24")
	addrAdd(t, nl, "v0", "192.0.2.1/24")
	addrDel(t, nl, "v0", "192.0.2.100/24")
	wantAddrs(t, nl, "v0", "192.0.2.1/24")
	err := s.PromoteSecondaries([]string{"none", "v1"})
	if err == nil || !strings.Contains(err.Error(), "ipv4/conf/none/promote_secondaries") {
		t.Errorf("got %v", err)
	}
	is("01")
	noError(t, errors.Join(s.Close(), s.Close()))
	is("00")
}

func TestNoLocalIGMP(t *testing.T) {
	nl := inNetns(t)
	sys := newSysctls(nl)
	is := func(want string) {
		t.Helper()
		var got string
		noError(t, nl.Do(func() (err error) { got, err = sys.read("ipv4/igmp_link_local_mcast_reports"); return err }))
		if got != want {
			t.Errorf("igmp_link_local_mcast_reports is %s, want %s", got, want)
		}
	}
	s := NewInterfaceSettings(nl)
	is("1")
	noError(t, s.NoLocalIGMP(true))
	is("0")
	noError(t, s.NoLocalIGMP(false))
	is("1")
	noError(t, errors.Join(s.NoLocalIGMP(true), s.Close()))
	is("1")
}
