package xdp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Dropped packets are shown, a few of each reason, while somebody looks; one at a
// time.
func TestDropsAreSampled(t *testing.T) {
	b := newBed(t)
	svc := web("rr", 1, 1)
	svc.NewConnections = 10
	b.apply(svc)
	for i := range uint16(100) {
		b.flood(frame{sport: i + 1}) // nobody looks
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	drops, ended := make(chan Drop, 1000), make(chan error, 1)
	go func() {
		ended <- b.e.Drops(ctx, 5, func(d Drop) bool {
			drops <- d
			return len(drops) < 40
		})
	}()
	// It looks as soon as a second one is refused and packets are seen.
	for len(drops) == 0 && ctx.Err() == nil {
		b.flood(frame{src: "127.0.0.1", sport: 2})
	}
	if err := b.e.Drops(ctx, 5, func(Drop) bool { return true }); !errors.Is(err, ErrWatched) {
		t.Errorf("a second look: %v", err)
	}
	start := time.Now()
	for i := range uint16(3000) {
		b.flood(frame{sport: 1000 + i})
	}
	seconds := int(time.Since(start)/time.Second) + 3
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(drops)
	seen := map[string]int{}
	for d := range drops {
		seen[d.Reason]++
		if d.Meaning == "" || !strings.Contains(d.Text, "tcp ") || d.Length < 54 || d.Age < 0 || d.Age > time.Minute {
			t.Errorf("%+v", d)
		}
	}
	if n := seen["drop_limit"]; n < 1 || n > 5*seconds {
		t.Errorf("seen %v, want up to 5 a second of drop_limit", seen)
	}
	if seen["drop_martian"] == 0 {
		t.Errorf("seen %v, no drop_martian", seen)
	}
	if err := b.e.Drops(t.Context(), 0, nil); err == nil {
		t.Error("none a second is no error")
	}
}
