package config

import "strings"

// word is one word of a statement, without its quotes.
type word struct {
	text   string
	off    int // where it begins in the line
	quoted bool
}

// statement is a keyword with its arguments. It is valid until the next one is
// read.
type statement struct {
	line  *line
	words []word
	end   int // where the statement ends in the line
}

func (s *statement) keyword() string  { return s.words[0].text }
func (s *statement) args() []word     { return s.words[1:] }
func (s *statement) pos() Pos         { return s.line.at(s.words[0].off) }
func (s *statement) at(w word) Pos    { return s.line.at(w.off) }
func (s *statement) from() *frame     { return s.line.from }
func (s *statement) arg(i int) string { return s.words[1+i].text }

// raw is the text after the keyword, as it was written.
func (s *statement) raw() (string, int) {
	i := s.words[0].off
	i += rawLen(s.line.text[i:])
	return s.line.text[i:s.end], i
}

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokStatement
	tokOpen
	tokClose
)

// lexer cuts logical lines into statements and braces.
type lexer struct {
	pre  *preprocessor
	cur  line
	i    int
	st   statement // filled by next for tokStatement
	pos  Pos       // of the last brace or of the end
	from *frame
	back tokenKind // a token that was put back
	held bool
}

// next gives the next token. A line with an unmatched quote is reported and
// left out, as keepalived does.
func (x *lexer) next() tokenKind {
	if x.held {
		x.held = false
		return x.back
	}
	for {
		for x.i < len(x.cur.text) && isSpace(x.cur.text[x.i]) {
			x.i++
		}
		if x.i < len(x.cur.text) {
			return x.token()
		}
		if !x.pre.next(&x.cur) {
			x.cur.text, x.i = "", 0
			return tokEOF
		}
		x.i = 0
		x.pos, x.from = x.cur.pos, x.cur.from
		if x.cur.has&(hasQuote|hasExpansion) == 0 { // an expansion may bring a quote
			continue
		}
		if q := unmatchedQuote(x.cur.text); q >= 0 {
			x.pre.warn(&x.cur, q, "", `the quote (") is not closed on this line; the line is ignored`)
			x.i = len(x.cur.text)
		}
	}
}

// putBack makes the next call of next give the same token again.
func (x *lexer) putBack(k tokenKind) { x.back, x.held = k, true }

func (x *lexer) token() tokenKind {
	switch x.cur.text[x.i] {
	case '{', '}':
		x.pos, x.from = x.cur.at(x.i), x.cur.from
		x.i++
		if x.cur.text[x.i-1] == '{' {
			return tokOpen
		}
		return tokClose
	}
	x.st.line, x.st.words = &x.cur, x.st.words[:0]
	s := x.cur.text
	for x.i < len(s) && s[x.i] != '{' && s[x.i] != '}' {
		if isSpace(s[x.i]) {
			x.i++
			continue
		}
		n, plain := scanWord(s[x.i:])
		w := word{text: s[x.i : x.i+n], off: x.i}
		if !plain {
			w = makeWord(w.text, x.i)
		}
		x.st.words = append(x.st.words, w)
		x.i += n
	}
	x.st.end = x.i
	for x.st.end > 0 && isSpace(s[x.st.end-1]) {
		x.st.end--
	}
	return tokStatement
}

func rawLen(s string) int {
	n, _ := scanWord(s)
	return n
}

// scanWord finds the end of the word at the start of s, and whether the word
// is free of quotes and backslashes. White space and braces end a word, except
// inside double quotes and except the braces of ${NAME}.
func scanWord(s string) (n int, plain bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c > '"' && c != '\\' && c != '{' && c != '}' && c != '$':
		case c == '$' || c == '"' || c == '\\':
			n = scanQuoted(s)
			return n, strings.IndexByte(s[:n], '"') < 0 && strings.IndexByte(s[:n], '\\') < 0
		case isSpace(c) || c == '{' || c == '}':
			return i, true
		}
	}
	return len(s), true
}

func scanQuoted(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (quoted || !isSpace(s[i+1])):
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' && i > 0 && s[i-1] == '$':
			_, n := identifier(s[i+1:])
			if n == 0 || i+1+n >= len(s) || s[i+1+n] != '}' {
				return i
			}
			i += n + 1
		case isSpace(c) || c == '{' || c == '}':
			return i
		}
	}
	return len(s)
}

// makeWord takes double quotes away and the backslash of \# and \!.
func makeWord(s string, off int) word {
	w := word{off: off}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			w.quoted = true
		case s[i] == '\\' && i+1 < len(s):
			if i++; s[i] != '#' && s[i] != '!' && s[i] != '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	w.text = b.String()
	return w
}

func unmatchedQuote(s string) int {
	if strings.IndexByte(s, '"') < 0 {
		return -1
	}
	open := -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if open < 0 {
				open = i
			} else {
				open = -1
			}
		}
	}
	return open
}
