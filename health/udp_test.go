package health

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func TestUDP(t *testing.T) {
	echo := udpServer(t, func(q []byte) [][]byte { return [][]byte{q} })
	silent := udpServer(t, func([]byte) [][]byte { return nil })
	long := udpServer(t, func([]byte) [][]byte { return [][]byte{make([]byte, 4000)} })
	empty := udpServer(t, func([]byte) [][]byte { return [][]byte{{}} })
	abc := []byte("abc")
	for _, test := range []struct {
		name   string
		addr   netip.AddrPort
		config UDPConfig
		ok     bool
		words  string
	}{
		{"silence is fine", silent, UDPConfig{}, true, "no error came back"},
		{"an answer is fine", echo, UDPConfig{}, true, "reply"},
		{"any answer, however long", long, UDPConfig{}, true, "reply"},
		{"nobody there", closedUDPPort(t), UDPConfig{}, false, "connection refused"},
		{"a reply is needed", silent, UDPConfig{RequireReply: true}, false, "no reply"},
		{"and comes", echo, UDPConfig{RequireReply: true}, true, "as wanted"},
		{"the right one", echo, UDPConfig{Payload: abc, RequireReply: true, Reply: abc}, true, ""},
		{"another one", echo, UDPConfig{Payload: abc, RequireReply: true, Reply: []byte("abd")}, false, "differs at octet 2"},
		{"another one where it does not matter", echo,
			UDPConfig{Payload: abc, RequireReply: true, Reply: []byte("abd"), ReplyMask: []byte{255, 255, 0xf0}}, true, ""},
		{"another one in half an octet", echo,
			UDPConfig{Payload: abc, RequireReply: true, Reply: []byte("aZc"), ReplyMask: []byte{255, 0x0f, 255}}, false, "differs at octet 1"},
		{"compared as far as it goes", echo, UDPConfig{Payload: abc, RequireReply: true, Reply: []byte("abcdef")}, true, ""},
		{"compared as far as is wanted", echo, UDPConfig{Payload: abc, RequireReply: true, Reply: []byte("ab")}, true, ""},
		{"too short", echo, UDPConfig{Payload: abc, RequireReply: true, MinReply: 4}, false, "reply of 3 octets"},
		{"too long", long, UDPConfig{RequireReply: true}, false, "longer than 255"},
		{"as long as allowed", long, UDPConfig{RequireReply: true, MaxReply: 4000}, true, ""},
		{"longer than allowed by one", long, UDPConfig{RequireReply: true, MaxReply: 3999}, false, "longer than 3999"},
		{"empty", empty, UDPConfig{RequireReply: true}, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.config.Connect = Connect{Addr: test.addr, Timeout: 200 * time.Millisecond}
			u, err := NewUDP(test.config)
			if err != nil {
				t.Fatal(err)
			}
			wantResult(t, check(t, u), test.ok, test.words)
		})
	}
}

func TestUDPRandomPayloads(t *testing.T) {
	seen := make(chan []byte, 2)
	u, err := NewUDP(UDPConfig{Connect: Connect{Addr: udpServer(t, func(q []byte) [][]byte {
		seen <- bytes.Clone(q)
		return [][]byte{q}
	})}})
	if err != nil {
		t.Fatal(err)
	}
	check(t, u)
	check(t, u)
	if a, b := <-seen, <-seen; len(a) != 16 || bytes.Equal(a, b) {
		t.Errorf("payloads %x and %x", a, b)
	}
}

func TestNewUDPRefuses(t *testing.T) {
	for _, c := range []UDPConfig{
		{Reply: []byte{1, 2}, ReplyMask: []byte{1}},
		{MinReply: 256},
		{MinReply: 9, MaxReply: 8},
	} {
		if _, err := NewUDP(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
