// Package health watches real servers. A checker is one probe of one server; a
// monitor is the loop around it; state is the pure counting that decides when
// results become a transition.
package health

import "context"

// Result is the outcome of one probe.
type Result struct {
	OK     bool
	Reason string // why, in words for people; never empty when OK is false
	// Weight is an offset to the configured weight that MISC_CHECK and
	// FILE_CHECK may ask for; HasWeight says that it was given.
	Weight    int
	HasWeight bool
}

// Checker is one probe; the deadline is in ctx, the reason in Result.
type Checker interface {
	Check(ctx context.Context) Result
	// String describes the probe, such as "HTTP_GET http://192.0.2.1:80/".
	String() string
}
