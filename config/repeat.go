package config

import (
	"strconv"
	"strings"
)

// loopSource gives a line again and again, with other values each time.
type loopSource struct {
	pre  *preprocessor
	body line
	// step sets the variables of the next round; false: there is none.
	step func() bool
}

func (s *loopSource) directory() string { return "" }

func (s *loopSource) next(l *line) bool {
	if !s.step() {
		return false
	}
	*l = s.body
	l.has = 0
	return true
}

// repeat takes ~SEQ(...), ~SEQx(...) and ~LST(...) before the rest of a line.
func (p *preprocessor) repeat(l *line) bool {
	var kind string
	for _, k := range []string{"~SEQx(", "~SEQ(", "~LST("} {
		if strings.HasPrefix(l.text, k) {
			kind = k
			break
		}
	}
	if kind == "" {
		return false
	}
	close := strings.IndexByte(l.text, ')')
	if close < 0 {
		p.warn(l, 0, kind[:len(kind)-1], "the list has no ')'; the line is ignored")
		return true
	}
	if len(p.stack) >= maxSources {
		p.fatal(l, "repetitions are nested deeper than %d", maxSources)
		return true
	}
	args := l.text[len(kind):close]
	body := l.cut(close+1, len(l.text))
	body.trim()
	loop := &loopSource{pre: p, body: body}
	if kind == "~LST(" {
		loop.step = p.list(args)
	} else {
		loop.step = p.sequence(args, kind == "~SEQx(")
	}
	if loop.step == nil {
		p.warn(l, 0, kind[:len(kind)-1], "bad specification %q; expected %s", printable(args), repeatSyntax[kind])
		return true
	}
	p.push(loop)
	return true
}

var repeatSyntax = map[string]string{
	"~SEQ(":  "(name, [start, [step,]] end) in whole numbers, with a step that leads to the end",
	"~SEQx(": "(name, [start, [step,]] end) in whole numbers, with a step that leads to the end",
	"~LST(":  "(name, value, ...) or ({name, name}, {value, value}, ...)",
}

// sequence reads (name, start, step, end); start and step may be left out.
func (p *preprocessor) sequence(args string, hex bool) func() bool {
	f := strings.Split(args, ",")
	if len(f) < 2 || len(f) > 4 {
		return nil
	}
	name := strings.TrimSpace(f[0])
	if id, n := identifier(name); n == 0 || id != name {
		return nil
	}
	var v []int64
	for _, a := range f[1:] {
		n, err := strconv.ParseInt(strings.TrimSpace(a), 0, 64)
		if err != nil || n > 1<<40 || n < -1<<40 {
			return nil
		}
		v = append(v, n)
	}
	end := v[len(v)-1]
	start, step := int64(1), int64(1)
	if end < 0 {
		start = -1
	}
	if len(v) > 1 {
		start = v[0]
	}
	if end < start {
		step = -1
	}
	if len(v) > 2 {
		step = v[1]
	}
	if step == 0 || step > 0 && end < start || step < 0 && end > start {
		return nil
	}
	at := start
	return func() bool {
		if step > 0 && at > end || step < 0 && at < end {
			return false
		}
		s := strconv.FormatInt(at, 10)
		if hex {
			s = strconv.FormatInt(at, 16)
		}
		p.set(name, s)
		at += step
		return true
	}
}

// list reads (name, v1, v2) or ({a, b}, {a1, b1}, {a2, b2}).
func (p *preprocessor) list(args string) func() bool {
	items, ok := splitList(args)
	if !ok || len(items) < 2 {
		return nil
	}
	names := items[0]
	for _, name := range names {
		if id, n := identifier(name); n == 0 || id != name {
			return nil
		}
	}
	values := items[1:]
	for _, v := range values {
		if len(v) != len(names) {
			return nil
		}
	}
	return func() bool {
		if len(values) == 0 {
			return false
		}
		for i, name := range names {
			p.set(name, values[0][i])
		}
		values = values[1:]
		return true
	}
}

// splitList cuts at commas; {...} makes one item of several.
func splitList(s string) (items [][]string, ok bool) {
	for {
		s = strings.TrimSpace(s)
		var item []string
		if strings.HasPrefix(s, "{") {
			close := strings.IndexByte(s, '}')
			if close < 0 {
				return nil, false
			}
			for _, v := range strings.Split(s[1:close], ",") {
				item = append(item, strings.TrimSpace(v))
			}
			s = strings.TrimSpace(s[close+1:])
			if s != "" && s[0] != ',' {
				return nil, false
			}
		} else {
			v := s
			if i := strings.IndexByte(s, ','); i >= 0 {
				v = s[:i]
			}
			s = s[len(v):]
			v = strings.TrimSpace(v)
			if strings.ContainsAny(v, " \t") {
				return nil, false
			}
			item = []string{v}
		}
		items = append(items, item)
		if s == "" {
			return items, true
		}
		s = s[1:]
	}
}

func (p *preprocessor) set(name, value string) {
	p.defs[name] = definition{lines: []line{{text: value}}}
}
