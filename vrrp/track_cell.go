package vrrp

import "sync"

// cell holds a value that one task sets and others read or watch.
type cell[T comparable] struct {
	mu       sync.Mutex
	value    T
	nextID   int
	watchers map[int]func(T)
}

// trackCell is the state of a tracker.
type trackCell = cell[TrackState]

func newTrackCell(s TrackState) *trackCell { return newCell(s) }

func newCell[T comparable](value T) *cell[T] {
	return &cell[T]{value: value, watchers: map[int]func(T){}}
}

func (c *cell[T]) get() T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// set tells the watchers when the value is another one.
func (c *cell[T]) set(value T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assign(value)
}

// settle is set for a value that is still from.
func (c *cell[T]) settle(from, to T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value == from {
		c.assign(to)
	}
}

// assign is called with the lock held.
func (c *cell[T]) assign(value T) {
	if c.value == value {
		return
	}
	c.value = value
	for _, fn := range c.watchers {
		fn(value)
	}
}

// watch calls fn with the value, now and after each change, under the lock.
func (c *cell[T]) watch(fn func(T)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c.value)
	id := c.nextID
	c.nextID++
	c.watchers[id] = fn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}
