package vrrp

import (
	"net/netip"
	"time"
)

// logLimit keeps the log readable while somebody floods the link: a line for
// each reason and sender a minute, and one a second in all. Counters tell the
// rest.
type logLimit struct {
	last time.Time
	seen map[logKey]time.Time
}

type logKey struct {
	reason string
	from   netip.Addr
}

const (
	logEvery   = time.Minute
	logSpacing = time.Second
	logSenders = 64 // remembered
)

func (l *logLimit) allow(now time.Time, reason string, from netip.Addr) bool {
	k := logKey{reason, from}
	if at, ok := l.seen[k]; ok && now.Sub(at) < logEvery {
		return false
	}
	if !l.last.IsZero() && now.Sub(l.last) < logSpacing {
		return false
	}
	if l.seen == nil || len(l.seen) >= logSenders {
		l.seen = map[logKey]time.Time{}
	}
	l.last, l.seen[k] = now, now
	return true
}
