package config

import (
	"fmt"
	"io/fs"
	"math/rand"
	"path"
	"strings"
)

const (
	maxSources     = 256     // definitions, repetitions and includes open at once
	maxSubstitutes = 1000    // substitutions in one line
	maxLine        = 1 << 20 // bytes of one line after substitution
	repeatCost     = 64      // bytes that a turn of ~SEQ or ~LST counts beside its text: short lines take time, too
)

// definition is the value of $NAME: text, or lines when it was continued.
type definition struct {
	lines []line
	multi bool
}

// preprocessor gives the logical lines of a configuration: comments and
// conditions gone, definitions and repetitions expanded, files included.
type preprocessor struct {
	fsys   fs.FS
	opt    Options
	sink   *sink
	stack  []source
	defs   map[string]definition
	check  includeCheck
	rand   *rand.Rand
	budget int  // bytes that may still be read or produced
	dead   bool // a limit was reached: nothing more is given
	// continued says that the last line read ends with a backslash, also when
	// that is in a comment.
	continued bool
}

func newPreprocessor(fsys fs.FS, opt Options, s *sink) *preprocessor {
	if opt.MaxInput <= 0 {
		opt.MaxInput = defaultMaxInput
	}
	if opt.MaxDepth <= 0 {
		opt.MaxDepth = defaultMaxDepth
	}
	if opt.ConfigID == "" {
		opt.ConfigID, _, _ = strings.Cut(opt.HostName, ".")
	}
	return &preprocessor{
		fsys: fsys, opt: opt, sink: s, defs: map[string]definition{},
		rand: rand.New(rand.NewSource(opt.RandomSeed)), budget: opt.MaxInput,
	}
}

// open starts with a file. A problem with it is an error.
func (p *preprocessor) open(name string) bool {
	text, err := readFile(p.fsys, name, p.budget)
	if err != nil {
		p.sink.add(Diagnostic{Pos: Pos{File: name}, Severity: Error, Message: "cannot read the configuration: " + err.Error()})
		return false
	}
	p.pushFile(name, text, nil)
	return true
}

func (p *preprocessor) pushFile(name, text string, from *frame) {
	if s, ok := strings.CutPrefix(text, "\ufeff"); ok {
		text = s
	}
	p.push(&fileSource{name: name, dir: path.Dir(name), rest: text, from: from, check: p.check})
}

func (p *preprocessor) push(s source) { p.stack = append(p.stack, s) }

// fatal reports that a limit was reached and ends the input.
func (p *preprocessor) fatal(l *line, format string, args ...any) {
	p.sink.add(Diagnostic{Pos: l.pos, Severity: Error, Message: fmt.Sprintf(format, args...), IncludedFrom: chain(l.from)})
	p.dead = true
	p.stack = nil
}

func (p *preprocessor) warn(l *line, at int, word, format string, args ...any) {
	p.sink.add(Diagnostic{Pos: l.at(at), Severity: Warning, Keyword: word, Message: fmt.Sprintf(format, args...), IncludedFrom: chain(l.from)})
}

// raw fills in the next line of the topmost source that has one.
func (p *preprocessor) raw(l *line) bool {
	for len(p.stack) > 0 {
		top := p.stack[len(p.stack)-1]
		if top.next(l) {
			p.budget -= len(l.text) + 1
			if _, repeats := top.(*loopSource); repeats {
				p.budget -= repeatCost
			}
			if p.budget < 0 {
				p.fatal(l, "the configuration grows beyond %d bytes here; is a definition or ~SEQ larger than meant?", p.opt.MaxInput)
				return false
			}
			return true
		}
		if f, ok := top.(*fileSource); ok {
			p.check = f.check
		}
		p.stack = p.stack[:len(p.stack)-1]
	}
	return false
}

// next fills in the next logical line; it is never empty.
func (p *preprocessor) next(l *line) bool {
	for p.raw(l) {
		has := l.has
		if has == 0 {
			_, has = classify(l.text)
		}
		l.has = has &^ hasComment
		if has&hasNUL != 0 {
			p.warn(l, strings.IndexByte(l.text, 0), "", "the line holds a NUL byte and is ignored")
			continue
		}
		p.continued = has&hasBackslash != 0 && endsWithBackslash(l.text)
		if has&hasComment != 0 {
			strip(l)
		} else {
			l.trim()
		}
		if l.text == "" || has&hasExpansion != 0 && !p.expand(l) {
			continue
		}
		if word, arg, ok := includeLine(l.text); ok {
			p.include(l, word, arg)
			continue
		}
		return true
	}
	return false
}

// What a line holds somewhere, so that the usual line is looked at only once.
const (
	hasNUL uint8 = 1 << iota
	hasBackslash
	hasComment
	hasExpansion
	hasQuote
	lineEnd
	looked // the line was looked at
)

var byteClass = [256]uint8{0: hasNUL, '\\': hasBackslash, '#': hasComment, '!': hasComment, '$': hasExpansion, '@': hasExpansion, '~': hasExpansion, '"': hasQuote, '\n': lineEnd}

// classify tells where the first line of s ends and what it holds.
func classify(s string) (end int, has uint8) {
	for i := range len(s) {
		if has |= byteClass[s[i]]; has&lineEnd != 0 {
			return i, has&^lineEnd | looked
		}
	}
	return len(s), has | looked
}

// strip takes the comment and the white space around the text away. Only
// double quotes and a backslash protect # and !.
func strip(l *line) {
	if i := commentStart(l.text); i >= 0 {
		l.keep(0, i)
	}
	l.trim()
}

func commentStart(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '#', '!':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// expand carries out what a line asks of the preprocessor until nothing is
// left to do. It gives false when the line is used up.
func (p *preprocessor) expand(l *line) bool {
	for range maxSubstitutes {
		switch c := l.text[0]; {
		case c == '@':
			if !p.condition(l) || l.text == "" {
				return false
			}
			continue
		case c == '$' && p.define(l), c == '~' && p.repeat(l):
			return false
		}
		if strings.IndexByte(l.text, '$') < 0 {
			return true
		}
		changed, done := p.substitute(l)
		if p.dead || done {
			return false
		}
		if !changed {
			return true
		}
		if strip(l); l.text == "" {
			return false
		}
	}
	p.fatal(l, "substitution does not come to an end; does a definition use itself?")
	return false
}

// condition answers an @id line: whether it is kept. What is left of it is in
// the line.
func (p *preprocessor) condition(l *line) bool {
	s := l.text[1:]
	negate := strings.HasPrefix(s, "^")
	if negate {
		s = s[1:]
	}
	var ids string
	start := len(l.text) - len(s)
	end := start
	if strings.HasPrefix(s, "(") {
		close := strings.IndexByte(s, ')')
		if close < 0 {
			p.warn(l, 0, "@", "the condition has no ')'; the line is ignored")
			return false
		}
		ids, end = s[1:close], start+close+1
	} else {
		for end < len(l.text) && !isSpace(l.text[end]) {
			end++
		}
		ids = l.text[start:end]
	}
	match := false
	for _, id := range strings.FieldsFunc(ids, func(r rune) bool { return r == '|' || r == ',' || r == ' ' || r == '\t' }) {
		match = match || id == p.opt.ConfigID
	}
	l.keep(end, len(l.text))
	l.trim()
	return match != negate
}

// define takes $NAME=VALUE, over several lines when they end with a backslash.
func (p *preprocessor) define(l *line) bool {
	name, n := identifier(l.text[1:])
	if n == 0 || 1+n >= len(l.text) || l.text[1+n] != '=' {
		return false
	}
	if n > 0 && name[0] == '_' {
		p.warn(l, 0, "$"+name, "names that begin with an underscore are reserved; the definition is taken all the same")
	}
	value := l.cut(2+n, len(l.text))
	value.trim()
	var d definition
	for p.continued {
		d.multi = true
		value.text = strings.TrimSuffix(value.text, `\`)
		if value.cols != nil {
			value.cols = value.cols[:len(value.text)]
		}
		if value.trim(); value.text != "" {
			d.lines = append(d.lines, keepText(value))
		}
		var next line
		if !p.raw(&next) {
			p.warn(l, 0, "$"+name, "the definition is continued with a backslash, but the file ends")
			value = line{}
			break
		}
		p.continued = endsWithBackslash(next.text)
		strip(&next)
		value = next
	}
	if value.text != "" || !d.multi {
		d.lines = append(d.lines, keepText(value))
	}
	p.defs[name] = d
	return true
}

func endsWithBackslash(s string) bool {
	return strings.HasSuffix(strings.TrimRight(s, " \t\r\v\f"), `\`)
}

// keepText drops the frame: a body's frame is where it is used.
func keepText(l line) line { l.from = nil; return l }

func identifier(s string) (string, int) {
	n := 0
	for n < len(s) && (s[n] == '_' || isLetter(s[n]) || n > 0 && isDigit(s[n])) {
		n++
	}
	return s[:n], n
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
