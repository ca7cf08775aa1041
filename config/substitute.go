package config

import (
	"strconv"
	"strings"
)

// reference is one $NAME or ${NAME ...} in a line.
type reference struct {
	start, end int
	name       string
	args       string // what follows the name inside the braces
}

// nextReference finds a use of a definition from byte i on. $NAME without
// braces counts only before white space or the end of the line.
func nextReference(s string, i int) (reference, bool) {
	for ; i < len(s); i++ {
		if s[i] != '$' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '{' {
			name, n := identifier(s[i+2:])
			close := strings.IndexByte(s[i:], '}')
			if n == 0 || close < 0 {
				continue
			}
			args := s[i+2+n : i+close]
			if args != "" && !isSpace(args[0]) {
				continue
			}
			return reference{start: i, end: i + close + 1, name: name, args: strings.TrimSpace(args)}, true
		}
		name, n := identifier(s[i+1:])
		end := i + 1 + n
		if n == 0 || end < len(s) && !isSpace(s[end]) {
			continue
		}
		return reference{start: i, end: end, name: name}, true
	}
	return reference{}, false
}

// substitute replaces the uses of definitions in a line, once each. done means
// that the line became lines of a new source.
func (p *preprocessor) substitute(l *line) (changed, done bool) {
	var text strings.Builder
	var cols []int32
	last := 0
	emit := func(s string, col int, from int) {
		for i := range len(s) {
			c := col
			if from >= 0 {
				c = l.at(from + i).Col
			}
			cols = append(cols, int32(c))
		}
		text.WriteString(s)
	}
	for i := 0; ; {
		ref, ok := nextReference(l.text, i)
		if !ok {
			break
		}
		i = ref.end
		value, multi, known := p.value(l, ref)
		if !known {
			continue
		}
		changed = true
		if multi != nil {
			return true, p.useBody(l, ref, multi)
		}
		emit(l.text[last:ref.start], 0, last)
		emit(value, l.at(ref.start).Col, -1)
		last = ref.end
		if text.Len() > maxLine {
			p.fatal(l, "the line grows beyond %d bytes by substitution", maxLine)
			return true, true
		}
	}
	if !changed {
		return false, false
	}
	emit(l.text[last:], 0, last)
	if p.budget -= text.Len(); p.budget < 0 {
		p.fatal(l, "the configuration grows beyond %d bytes here; is a definition or ~SEQ larger than meant?", p.opt.MaxInput)
		return true, true
	}
	l.text, l.pos, l.cols = text.String(), l.at(0), cols
	return true, false
}

// useBody makes the lines of a definition the next source. Text before the use
// joins the first line, text after it follows the last.
func (p *preprocessor) useBody(l *line, ref reference, body []line) bool {
	depth := 1
	if l.from != nil {
		depth = l.from.depth + 1
	}
	if len(p.stack) >= maxSources || depth >= maxSources {
		p.fatal(l, "definitions are nested deeper than %d; does %q use itself?", maxSources, "$"+ref.name)
		return true
	}
	before, after := l.cut(0, ref.start), l.cut(ref.end, len(l.text))
	lines := body
	before.trim()
	after.trim()
	if before.text != "" {
		first := line{text: before.text, pos: before.pos}
		if len(body) > 0 {
			first.text += " " + body[0].text
			lines = append([]line{first}, body[1:]...)
		} else {
			lines = []line{first}
		}
	}
	if after.text != "" {
		lines = append(append([]line(nil), lines...), keepText(after))
	}
	p.push(&bodySource{lines: lines, from: &frame{pos: l.at(ref.start), depth: depth, up: l.from}})
	return true
}

// value gives what a reference stands for.
func (p *preprocessor) value(l *line, ref reference) (text string, body []line, known bool) {
	switch ref.name {
	case "_PWD":
		return p.directory(), nil, true
	case "_INSTANCE":
		return p.opt.ConfigID, nil, true
	case "_HASH":
		return `\#`, nil, true
	case "_BANG":
		return `\!`, nil, true
	case "_RANDOM":
		return p.random(l, ref), nil, true
	case "_ENV":
		if p.opt.LookupEnv == nil || ref.args == "" {
			return "", nil, ref.args != ""
		}
		v, ok := p.opt.LookupEnv(ref.args)
		if !ok {
			p.warn(l, ref.start, "${_ENV "+ref.args+"}", "the environment has no such variable; it stands for nothing")
		}
		return strings.NewReplacer("\n", " ", "\r", " ").Replace(v), nil, true
	}
	d, ok := p.defs[ref.name]
	if !ok || ref.args != "" {
		return "", nil, false
	}
	if d.multi {
		return "", d.lines, true
	}
	return d.lines[0].text, nil, true
}

// random answers ${_RANDOM [MIN [MAX]]}: 0 to 32767 when nothing is said.
func (p *preprocessor) random(l *line, ref reference) string {
	lo, hi := int64(0), int64(32767)
	args := strings.Fields(ref.args)
	bad := len(args) > 2
	for i, a := range args {
		n, err := strconv.ParseInt(a, 10, 32)
		if err != nil || n < 0 {
			bad = true
		} else if i == 0 {
			lo = n
		} else if i == 1 {
			hi = n
		}
	}
	if bad || lo > hi {
		p.warn(l, ref.start, "${_RANDOM}", "bad range %q; expected [MIN [MAX]], whole numbers with MIN not above MAX", ref.args)
		lo, hi = 0, 32767
	}
	return strconv.FormatInt(lo+p.rand.Int63n(hi-lo+1), 10)
}

// directory is that of the file being read.
func (p *preprocessor) directory() string {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if d := p.stack[i].directory(); d != "" {
			return d
		}
	}
	return "."
}
