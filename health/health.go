// Package health watches real servers. A checker is one probe of one server; a
// monitor is the loop around it; state is the pure counting that decides when
// results become a transition; a set holds the monitors of one configuration.
package health

import (
	"context"
	"time"
)

// Result is the outcome of one probe.
type Result struct {
	OK     bool
	Reason string // why, in words for people; never empty when OK is false
	// Partial says that this probe passed but that the checker has further
	// parts to pass before a server that is down may come up, as HTTP_GET with
	// several urls has. Only meaningful when OK.
	Partial bool
	// Inconclusive says that the probe could not be made for a reason of this
	// host (no file descriptors, no memory): it says nothing about the server
	// and counts for nothing. OK is false then.
	Inconclusive bool
	// Weight is an offset to the configured weight that MISC_CHECK and
	// FILE_CHECK may ask for; HasWeight says that it was given.
	Weight    int
	HasWeight bool
}

// Checker is one probe; the deadline is in ctx, the reason in Result. Check is
// never called twice at once for one Checker, which may therefore keep state
// between probes (the next url, for example).
type Checker interface {
	Check(ctx context.Context) Result
	// String describes the probe, such as "HTTP_GET http://192.0.2.1:80/". Its
	// first word is the keyword of the checker.
	String() string
}

// Limiter is a Checker that knows how long its probe may take as a whole; the
// monitor gives the others DefaultConnectTimeout.
type Limiter interface {
	Limit() time.Duration
}

// Notifier is a Checker that knows when there is something new to see: the
// monitor then probes at once, between its regular probes.
type Notifier interface {
	// Notify calls fn after each change until stop is called. fn never waits.
	Notify(fn func()) (stop func())
}

// BFDPoll is the DelayLoop to give a BFD_CHECK, which hears of changes at once.
const BFDPoll = time.Second

// Timing is when a checker probes and how many failures it forgives. How long
// a probe may take is told to the constructor of its checker.
type Timing struct {
	DelayLoop        time.Duration // between probes; 0 means DefaultDelayLoop
	Retry            int           // further tries after a failure before the server goes down
	DelayBeforeRetry time.Duration // before each of these tries; taken as it is
	Warmup           time.Duration // the first probe comes at random in 0..Warmup; taken as it is
	Alpha            bool          // start down and wait for a success
	FastRecovery     bool          // while coming up, no delay between the parts of a check
	// FromStart counts delays from the start of the last probe, as MISC_CHECK
	// does, not from its end.
	FromStart bool
}

// Defaults of keepalived for what a configuration leaves out. The default of
// Warmup is DelayLoop.
const (
	DefaultDelayLoop        = 60 * time.Second
	DefaultConnectTimeout   = 5 * time.Second
	DefaultRetry            = 1
	DefaultRetryDNS         = 3
	DefaultRetryMisc        = 0
	DefaultDelayBeforeRetry = 1 * time.Second // DNS_CHECK: DelayLoop
	DefaultDelayBeforeHTTP  = 3 * time.Second
)
