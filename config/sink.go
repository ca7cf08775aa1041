package config

import "fmt"

// sink collects diagnostics. Their number is bounded, so that a hostile file
// costs no more memory than a sane one.
type sink struct {
	list    []Diagnostic
	dropped int
	errors  int
	once    map[string]int // index of a diagnostic that is given once, by key
	more    map[int]int    // how often it would have been given again
}

// full says that a further diagnostic would only be counted. Errors have room
// of their own: what keeps the daemon from starting is not lost among
// warnings.
func (s *sink) full(sev Severity) bool {
	if sev == Error {
		return s.errors >= maxErrors
	}
	return len(s.list)-s.errors >= maxDiagnostics
}

// drop counts a diagnostic that is not kept.
func (s *sink) drop(sev Severity) {
	s.dropped++
	if sev == Error {
		s.errors++
	}
}

func (s *sink) add(d Diagnostic) {
	if s.full(d.Severity) {
		s.drop(d.Severity)
		return
	}
	if d.Severity == Error {
		s.errors++
	}
	s.list = append(s.list, d)
}

// addOnce gives the first diagnostic of a kind and counts the others.
func (s *sink) addOnce(key string, d Diagnostic) {
	if i, ok := s.once[key]; ok {
		s.more[i]++
		return
	}
	if s.once == nil {
		s.once, s.more = map[string]int{}, map[int]int{}
	}
	if !s.full(d.Severity) {
		s.once[key] = len(s.list)
	}
	s.add(d)
}

// finish gives the list, with the counts of what was left out.
func (s *sink) finish() []Diagnostic {
	for i, n := range s.more {
		s.list[i].Message += fmt.Sprintf(" (and %d more of these)", n)
	}
	s.more = nil
	if s.dropped > 0 {
		sev := Warning
		if s.errors > 0 {
			sev = Error
		}
		s.list = append(s.list, Diagnostic{
			Pos:      s.list[len(s.list)-1].Pos,
			Severity: sev,
			Message:  fmt.Sprintf("%d more problems are not shown", s.dropped),
		})
	}
	return s.list
}

// chain lists where a line came from, innermost first, and no more than a
// reader can follow.
func chain(f *frame) []Pos {
	const most = 8
	var ps []Pos
	for ; f != nil && len(ps) < most; f = f.up {
		ps = append(ps, f.pos)
	}
	return ps
}
