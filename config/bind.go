package config

import (
	"fmt"
	"reflect"
	"strings"
)

// call is one keyword met in a file, on its way to its field.
type call struct {
	row   *row
	st    *statement
	obj   any           // pointer to the object of the block
	field reflect.Value // invalid when the row names none
}

// open block: what it is and where it was opened, for recovery and messages.
type openBlock struct {
	sec  *section // nil for a list block
	word string
	pos  Pos
	mask int // index in binder.masks plus one; 0: in binder.given
}

// binder walks the tokens, looks every keyword up in the table and fills the
// typed result.
type binder struct {
	lex      *lexer
	sink     *sink
	opt      Options
	cfg      *Config
	sections map[string]*section
	blocks   []openBlock
	calls    []*call // by depth of blocks
	follow   []*row  // by number of a row or section: the row that came next
	// recover is set for the second look at a file whose braces do not match:
	// a keyword that belongs to an enclosing block closes the inner ones.
	recover bool
	closing int // blocks still to be closed by recovery
	// suspect are the blocks, by where they were opened, after whose end the
	// first look met a keyword of an outer block, or that never ended: one of
	// these misses its brace.
	suspect map[Pos]bool
	last    Pos // where the block that was closed last had been opened
	given   map[any]*given
	masks   []uint64 // of virtual and real servers and checkers, in the order of the file
	read    int      // masks used up by resolve
	pending []pendingTrack
	scripts []scriptUse
	places  map[placeKey]Pos
	used    map[*Script]int // where a script is in scripts, for those that may be given twice

	instances    map[string]*VRRPInstance
	defined      map[trackKey]any // what can be tracked, as it is defined
	live         map[trackKey]any // what is left of them
	groups       map[string]*VirtualServerGroup
	names        map[string]bool // of sync groups and track groups
	checkerRows  map[string]checkerRows
	slabRS       []RealServer // real servers and checkers are made many at a time
	slabChecker  []Checker
	slabList     []*Checker
	hosts        map[*Checker][]*smtpHost
	sorryMethods map[*VirtualServer]LVSMethod
	seen         bool // a keyword of the table was met
	missing      bool // a closing brace is missing
}

func (b *binder) add(pos Pos, from *frame, sev Severity, keyword, format string, args ...any) {
	if b.sink.full(sev) {
		b.sink.drop(sev)
		return
	}
	b.sink.add(Diagnostic{Pos: pos, Severity: sev, Keyword: keyword, Message: fmt.Sprintf(format, args...), IncludedFrom: chain(from)})
}

// warn reports a problem with a word of the statement; the daemon runs.
func (b *binder) warn(c *call, w word, format string, args ...any) {
	b.add(c.st.at(w), c.st.from(), Warning, c.row.word, format, args...)
}

// warnAt reports a problem with the statement as a whole.
func (b *binder) warnAt(c *call, format string, args ...any) {
	b.add(c.st.pos(), c.st.from(), Warning, c.row.word, format, args...)
}

func (b *binder) fail(c *call, format string, args ...any) {
	b.add(c.st.pos(), c.st.from(), Error, c.row.word, format, args...)
}

// section reads the inside of a block up to its closing brace, or the whole
// input for the top level.
func (b *binder) section(sec *section, obj any) {
	c := b.callAt(len(b.blocks)) // one for all statements of the block
	*c = call{st: &b.lex.st, obj: obj}
	for {
		switch b.lex.next() {
		case tokEOF:
			b.endOfInput()
			return
		case tokClose:
			if len(b.blocks) == 0 {
				if !b.recover {
					b.add(b.lex.pos, b.lex.from, Warning, "}", "this closing brace has no opening brace; it is ignored")
				}
				continue
			}
			return
		case tokOpen:
			pos, from := b.lex.pos, b.lex.from
			end := b.skip()
			b.add(pos, from, Warning, "{", "a block begins here without a keyword; it is skipped up to line %d", end.Line)
		case tokStatement:
			b.statement(sec, c)
		}
		if b.closing > 0 {
			b.closing--
			return
		}
	}
}

// callAt gives the call of a depth of blocks, which is used again for every
// block of that depth.
func (b *binder) callAt(depth int) *call {
	for len(b.calls) <= depth {
		b.calls = append(b.calls, &call{})
	}
	return b.calls[depth]
}

// rowOf finds the row of a keyword. Files repeat themselves: what followed
// the keyword before it the last time is tried first.
func (b *binder) rowOf(sec *section, before *row, word string) *row {
	at := sec.num
	if before != nil {
		at = before.num
	}
	if r := b.follow[at]; r != nil && r.word == word {
		return r
	}
	r := sec.rows[word]
	b.follow[at] = r
	return r
}

// statement handles one keyword.
func (b *binder) statement(sec *section, c *call) {
	st := &b.lex.st
	r := b.rowOf(sec, c.row, st.keyword())
	last := b.last
	b.last = Pos{}
	if r == nil {
		if b.recover && b.closeFor(st) {
			return
		}
		if _, up := b.outer(st.keyword()); up > 0 && last.Line > 0 && !b.recover {
			b.suspect[last] = true
		}
		b.unknown(sec, st)
		return
	}
	b.seen = true
	c.row, c.field = r, reflect.Value{}
	b.apply(c)
}

// apply checks the arguments and hands them to the field or the handler.
func (b *binder) apply(c *call) {
	r := c.row
	if got := len(c.st.args()); got < r.args.need {
		what := "the argument is missing"
		if got > 0 {
			what = fmt.Sprintf("%d of %d arguments are missing", r.args.need-got, r.args.need)
		}
		if r.lax {
			b.warnAt(c, "%s; expected %s; the line is ignored", what, r.usage())
		} else {
			b.fail(c, "%s; expected %s", what, r.usage())
		}
		b.skipStrayBlock(c)
		return
	}
	b.standing(c)
	if c.obj != nil && r.to != "" {
		c.field = fieldOf(reflect.ValueOf(c.obj).Elem(), r.field)
	}
	switch r.args.kind {
	case kindBlock:
		b.openBlock(c)
		return
	case kindItems:
		b.mark(c)
		b.list(c)
		return
	case kindCustom:
		b.mark(c)
		r.args.fn(b, c)
	default:
		if b.set(c) || r.sticky {
			b.mark(c)
		}
	}
	b.skipStrayBlock(c)
}

// usage is the keyword with the arguments it takes.
func (r *row) usage() string { return strings.TrimSpace(r.word + " " + r.args.syntax) }

// standing warns of keywords that are deprecated or not carried out.
func (b *binder) standing(c *call) {
	r := c.row
	if r.old == "" && r.status == works {
		return
	}
	d := Diagnostic{Pos: c.st.pos(), Keyword: r.word, IncludedFrom: chain(c.st.from()), Severity: Warning}
	if r.old != "" {
		d.Message = "the keyword is deprecated; use " + r.old
		b.sink.addOnce("old "+r.path(), d)
	}
	d.Class = Unsupported
	switch r.status {
	case planned:
		d.Message = "the setting is read, but this release does not act on it yet"
		b.sink.addOnce("planned "+r.path(), d)
	case noeffect:
		d.Message = "no effect here: " + r.reason
		b.sink.addOnce("noeffect "+r.path(), d)
	case refused:
		d.Severity, d.Class = Error, General
		d.Message = r.reason
		b.sink.add(d)
	}
}

// openBlock makes the object of a block and reads it.
func (b *binder) openBlock(c *call) {
	ob := openBlock{sec: c.row.sub, word: c.row.word, pos: c.st.pos()}
	obj := c.row.args.open(b, c)
	b.mark(c)
	if ob.sec.many && obj != nil {
		b.masks = append(b.masks, 0)
		ob.mask = len(b.masks)
	}
	surplus := c.st.pos()
	from := c.st.from()
	if k := b.lex.next(); k != tokOpen {
		b.lex.putBack(k)
		b.add(surplus, from, Warning, c.row.word, "no '{' follows; the lines up to the next '}' are taken as its block")
	}
	if obj == nil {
		b.skip()
		return
	}
	b.blocks = append(b.blocks, ob)
	b.section(ob.sec, obj)
	b.blocks = b.blocks[:len(b.blocks)-1]
	b.last = ob.pos
}

// list reads a block of items, one a line.
func (b *binder) list(c *call) {
	ob := openBlock{word: c.row.word, pos: c.st.pos()}
	from := c.st.from()
	item := &call{row: c.row, st: c.st, obj: c.obj, field: c.field}
	if c.row.args.open != nil {
		if item.obj = c.row.args.open(b, c); item.obj == nil {
			b.skipStrayBlock(c)
			return
		}
	}
	if k := b.lex.next(); k != tokOpen {
		b.lex.putBack(k)
		b.add(ob.pos, from, Warning, c.row.word, "no '{' follows; the lines up to the next '}' are taken as its block")
	}
	b.blocks = append(b.blocks, ob)
	defer func() {
		b.blocks = b.blocks[:len(b.blocks)-1]
		b.last = ob.pos
	}()
	for b.closing == 0 {
		switch b.lex.next() {
		case tokEOF:
			b.endOfInput()
			return
		case tokClose:
			return
		case tokOpen:
			pos, at := b.lex.pos, b.lex.from
			b.skip()
			b.add(pos, at, Warning, c.row.word, "a block is not expected in this list; it is skipped")
		case tokStatement:
			if b.recover && b.closeFor(&b.lex.st) {
				continue
			}
			item.st = &b.lex.st
			c.row.args.fn(b, item)
		}
	}
	b.closing--
}

// unknown reports a word that is no keyword here and skips its block.
func (b *binder) unknown(sec *section, st *statement) {
	if b.sink.full(Warning) {
		b.sink.drop(Warning)
		b.skipStray()
		return
	}
	d := Diagnostic{Pos: st.pos(), Severity: Warning, Keyword: st.keyword(), IncludedFrom: chain(st.from())}
	place := "at the top level"
	if sec.path != "" {
		place = "in " + strings.ReplaceAll(sec.path, ".", " ")
	}
	d.Message = "no such keyword " + place + b.hint(sec, st.keyword())
	if k := b.lex.next(); k == tokOpen {
		end := b.skip()
		d.Message += fmt.Sprintf("; the block is skipped up to line %d", end.Line)
	} else {
		b.lex.putBack(k)
		d.Message += "; the line is ignored"
	}
	b.sink.add(d)
}

// skipStray skips a block without a word about it.
func (b *binder) skipStray() {
	if k := b.lex.next(); k == tokOpen {
		b.skip()
	} else {
		b.lex.putBack(k)
	}
}

// skipStrayBlock skips a block after a keyword that takes none.
func (b *binder) skipStrayBlock(c *call) {
	pos, from := c.st.pos(), c.st.from()
	if k := b.lex.next(); k != tokOpen {
		b.lex.putBack(k)
		return
	}
	if c.row.args.kind == kindBlock || c.row.args.kind == kindItems {
		b.skip()
		return
	}
	end := b.skip()
	b.add(pos, from, Warning, c.row.word, "the keyword takes no block; the block is skipped up to line %d", end.Line)
}

// skip reads on to the brace that closes the block just opened.
func (b *binder) skip() Pos {
	open, from := b.lex.pos, b.lex.from
	for depth := 1; depth > 0; {
		switch b.lex.next() {
		case tokOpen:
			depth++
		case tokClose:
			depth--
		case tokEOF:
			if !b.missing || b.recover {
				b.add(open, from, Error, "{", "this block is skipped, but its '}' is missing: all that follows would be skipped with it")
			}
			b.endOfInput()
			b.missing = true
			return b.lex.pos
		}
	}
	return b.lex.pos
}

// fieldOf follows an index path, through pointers.
func fieldOf(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
