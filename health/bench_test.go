package health

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func BenchmarkTCP(b *testing.B) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	benchmark(b, NewTCP(Connect{Addr: addrOf(s.Listener)}))
}

func BenchmarkHTTP(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	h, err := NewHTTP(HTTPConfig{Connect: Connect{Addr: addrOf(s.Listener)}, URLs: []URL{{}}})
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, h)
}

func benchmark(b *testing.B, c Checker) {
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Check(b.Context()); !r.OK {
			b.Fatal(r.Reason)
		}
	}
}
