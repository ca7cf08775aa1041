package lab

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Web is a web server on a host. It answers every path with the host's name
// and a newline, and can be killed, started again and made to fail.
type Web struct {
	host   *Host
	addr   string
	status atomic.Int32

	mu       sync.Mutex
	srv      *http.Server       // nil while down
	requests map[netip.Addr]int // by client
}

// Serve starts a web server on addr, as in net.Listen.
func (h *Host) Serve(addr string) (*Web, error) {
	w := &Web{host: h, addr: addr, requests: map[netip.Addr]int{}}
	w.status.Store(http.StatusOK)
	if err := w.Up(); err != nil {
		return nil, err
	}
	h.atClose(w.Down)
	return w, nil
}

// Up starts the server if it is down.
func (w *Web) Up() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.srv != nil {
		return nil
	}
	l, err := w.host.Listen("tcp", w.addr)
	if err != nil {
		return fmt.Errorf("start web server on host %q: %w", w.host.name, err)
	}
	w.srv = &http.Server{Handler: http.HandlerFunc(w.answer), ReadHeaderTimeout: 5 * time.Second}
	go w.srv.Serve(l) //nolint:errcheck // always ErrServerClosed, or what Down closed
	return nil
}

// Down kills the server: its connections are cut and its port refuses.
func (w *Web) Down() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.srv != nil {
		w.srv.Close()
		w.srv = nil
	}
}

// Host is where the server runs.
func (w *Web) Host() *Host { return w.host }

// SetStatus is the code of every answer from now on.
func (w *Web) SetStatus(code int) { w.status.Store(int32(code)) }

// Requests counts the requests of a client so far.
func (w *Web) Requests(client netip.Addr) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests[client]
}

func (w *Web) answer(rw http.ResponseWriter, req *http.Request) {
	if from, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
		w.mu.Lock()
		w.requests[from.Addr().Unmap()]++
		w.mu.Unlock()
	}
	rw.WriteHeader(int(w.status.Load()))
	_, _ = io.WriteString(rw, w.host.name+"\n")
}
