package vrrp

import "time"

// LinkDelays is how long an interface has to be down, or up, before that is
// told (keepalived's interface_up_down_delays); 0 is at once.
type LinkDelays struct{ Down, Up time.Duration }

// linkHold is what is told of an interface with delays, and the timer of a
// change that is not told yet.
type linkHold struct {
	delays LinkDelays
	up     bool
	round  int // tells a timer that was stopped too late from the present one
	timer  *time.Timer
}

// settle takes the state of the moment and gives what is to be told. When a
// change has lasted its delay, expired is called with the round given to it. An
// interface that is deleted is down at once.
func (h *linkHold) settle(exists, up bool, expired func(round int)) (told bool) {
	delay := h.delays.Down
	if up {
		delay = h.delays.Up
	}
	switch {
	case up == h.up:
		h.stop()
	case !exists || delay <= 0:
		h.stop()
		h.up = up
	case h.timer == nil:
		h.round++
		round := h.round
		h.timer = time.AfterFunc(delay, func() { expired(round) })
	}
	return h.up
}

// expire lets the change through that has waited in that round.
func (h *linkHold) expire(round int) {
	if h.timer != nil && h.round == round {
		h.timer = nil
		h.up = !h.up
	}
}

func (h *linkHold) stop() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// SetDelays sets which interfaces have to be down or up for some time before
// that is told, and replaces what was set before.
func (m *LinkMonitor) SetDelays(delays map[string]LinkDelays) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.holds
	m.holds = make(map[string]*linkHold, len(delays))
	for name, d := range delays {
		h := old[name]
		if h == nil {
			h = &linkHold{up: m.table.state(name).Up}
		}
		delete(old, name)
		h.delays = d
		m.holds[name] = h
	}
	for _, h := range old {
		h.stop()
	}
	m.publish(m.table.names())
}

// state is the state that is told. The lock is held.
func (m *LinkMonitor) state(name string) LinkState {
	s := m.table.state(name)
	s.Up = s.Up && m.beats(name)
	if h := m.holds[name]; h != nil {
		s.Up = h.settle(s.Exists, s.Up, func(round int) {
			m.mu.Lock()
			defer m.mu.Unlock()
			h.expire(round)
			m.publish([]string{name})
		})
	}
	return s
}
