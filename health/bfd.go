package health

import "context"

// Sessions tells of BFD sessions by name.
type Sessions interface {
	// Known tells whether a session is up, and whether that says something
	// about the neighbor yet.
	Known(name string) (up, known bool)
	// Watch calls fn with whether a session is up, now and after each change,
	// until stop is called.
	Watch(name string, fn func(up bool)) (stop func())
}

// BFD is BFD_CHECK: a real server is up while a BFD session is.
type BFD struct {
	name     string
	sessions Sessions
}

var _ Notifier = (*BFD)(nil)

// NewBFD returns a BFD_CHECK of a session.
func NewBFD(name string, sessions Sessions) *BFD { return &BFD{name, sessions} }

// Check reads the state of the session.
func (b *BFD) Check(context.Context) Result {
	up, known := b.sessions.Known(b.name)
	switch {
	case up:
		return Result{OK: true, Reason: "BFD session is up"}
	case !known:
		return Result{Inconclusive: true, Reason: "BFD session has just begun"}
	}
	return Result{Reason: "BFD session is down"}
}

// Notify implements Notifier.
func (b *BFD) Notify(fn func()) (stop func()) { return b.sessions.Watch(b.name, func(bool) { fn() }) }

func (b *BFD) String() string { return "BFD_CHECK " + b.name }
