package lab

import (
	"slices"
	"time"
)

// Sample is one request of a probe.
type Sample struct {
	Sent   time.Time
	Done   time.Time
	Server string // who answered; empty after a failure
	Err    error
}

// Report is what a probe saw, in the order of sending.
type Report []Sample

// Failures counts the requests without a good answer.
func (r Report) Failures() int {
	n := 0
	for _, s := range r {
		if s.Err != nil {
			n++
		}
	}
	return n
}

// FirstError is the error of the first failure, or nil.
func (r Report) FirstError() error {
	for _, s := range r {
		if s.Err != nil {
			return s.Err
		}
	}
	return nil
}

// LongestGap is the longest time without a good answer, from the sending of the
// first request to that of the last one: what the last ones waited for in vain
// is not known to be a gap. The pace of the probe is part of it: a faultless run
// has gaps of about that length.
func (r Report) LongestGap() time.Duration {
	if len(r) == 0 {
		return 0
	}
	last, end := r[0].Sent, r[len(r)-1].Sent
	good := make([]time.Time, 0, len(r))
	for _, s := range r {
		if s.Err == nil {
			good = append(good, s.Done)
		}
	}
	slices.SortFunc(good, time.Time.Compare)
	var gap time.Duration
	for _, t := range good {
		gap = max(gap, t.Sub(last))
		last = t
	}
	return max(gap, end.Sub(last))
}

// Since gives the requests sent at t or later.
func (r Report) Since(t time.Time) Report {
	i, _ := slices.BinarySearchFunc(r, t, func(s Sample, t time.Time) int { return s.Sent.Compare(t) })
	return r[i:]
}

// Servers counts the good answers of each server.
func (r Report) Servers() map[string]int {
	m := map[string]int{}
	for _, s := range r {
		if s.Err == nil {
			m[s.Server]++
		}
	}
	return m
}

// Sequence is the servers that answered, in the order of sending; a failure is
// an empty string.
func (r Report) Sequence() []string {
	out := make([]string, len(r))
	for i, s := range r {
		out[i] = s.Server
	}
	return out
}

// LastFailure is when the last request that failed was sent, and false when
// none did.
func (r Report) LastFailure() (time.Time, bool) {
	for _, s := range slices.Backward(r) {
		if s.Err != nil {
			return s.Sent, true
		}
	}
	return time.Time{}, false
}
