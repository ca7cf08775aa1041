package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Probe sends requests at a fixed pace until it is stopped. A request that
// hangs holds up no other one.
type Probe struct {
	stop context.CancelFunc
	done chan struct{} // closed when every request has ended

	mu      sync.Mutex
	samples []Sample
}

// request is one request; it must end soon after ctx.
type request func(ctx context.Context) (server string, err error)

// Probe asks url every so often, each time over a new connection. The text of
// the answer, as a Web of the lab gives it, names the server. An answer other
// than 200 and one later than timeout are failures. url's host is a literal
// address.
func (h *Host) Probe(url string, every, timeout time.Duration) *Probe {
	p := startProbe(every, timeout, h.asker(url))
	h.atClose(p.stop)
	return p
}

// Fetch asks url once over a new connection and gives the text of the answer
// without the spaces around it. The error of an answer other than 200 tells its
// status.
func (h *Host) Fetch(ctx context.Context, url string) (string, error) { return h.asker(url)(ctx) }

// FetchN asks url n times, one after the other.
func (h *Host) FetchN(ctx context.Context, url string, n int, timeout time.Duration) Report {
	ask := h.asker(url)
	r := make(Report, 0, n)
	for range n {
		r = append(r, sample(ctx, timeout, ask))
	}
	return r
}

func (h *Host) asker(url string) request {
	client := &http.Client{
		Transport:     &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return "", fmt.Errorf("read answer: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("answer is %s", resp.Status)
		}
		return strings.TrimSpace(string(body)), nil
	}
}

func sample(ctx context.Context, timeout time.Duration, ask request) Sample {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s := Sample{Sent: time.Now()}
	s.Server, s.Err = ask(ctx)
	s.Done = time.Now()
	return s
}

func startProbe(every, timeout time.Duration, ask request) *Probe {
	ctx, stop := context.WithCancel(context.Background())
	p := &Probe{stop: stop, done: make(chan struct{})}
	go p.run(ctx, every, timeout, ask)
	return p
}

func (p *Probe) run(ctx context.Context, every, timeout time.Duration, ask request) {
	var requests sync.WaitGroup
	defer close(p.done)
	defer requests.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		// Requests under way at the stop get their full time.
		requests.Go(func() {
			s := sample(context.WithoutCancel(ctx), timeout, ask)
			p.mu.Lock()
			p.samples = append(p.samples, s)
			p.mu.Unlock()
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Report gives the requests that have ended so far.
func (p *Probe) Report() Report {
	p.mu.Lock()
	r := slices.Clone(p.samples)
	p.mu.Unlock()
	slices.SortStableFunc(r, func(a, b Sample) int { return a.Sent.Compare(b.Sent) })
	return r
}

// Stop ends the probe, waits for the requests under way and gives all of them.
func (p *Probe) Stop() Report {
	p.stop()
	<-p.done
	return p.Report()
}
