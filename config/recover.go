package config

import (
	"fmt"
)

// outer finds the innermost enclosing block that knows a keyword, and how many
// blocks would have to be closed to be in it; 0 means none.
func (b *binder) outer(word string) (sec *section, up int) {
	for up := 1; up <= len(b.blocks); up++ {
		sec := b.sections[""]
		if i := len(b.blocks) - 1 - up; i >= 0 {
			sec = b.blocks[i].sec
		}
		if sec != nil && sec.rows[word] != nil {
			return sec, up
		}
	}
	return nil, 0
}

// closeFor closes the blocks that a keyword cannot be in, when an enclosing
// one knows it. The keyword is read again there.
func (b *binder) closeFor(st *statement) bool {
	_, up := b.outer(st.keyword())
	if up == 0 || !b.suspect[b.blocks[len(b.blocks)-1].pos] {
		return false
	}
	for _, ob := range b.blocks[len(b.blocks)-up:] {
		b.add(st.pos(), st.from(), Error, st.keyword(), "a '}' is missing before this line: %q, opened at %s, is not closed", ob.word, near(ob.pos, st.pos()))
	}
	b.closing = up
	b.missing = true
	b.lex.putBack(tokStatement)
	return true
}

// near names a place the short way when it is in the same file.
func near(p, from Pos) string {
	if p.File == from.File {
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.String()
}

// endOfInput reports the blocks that are still open, once.
func (b *binder) endOfInput() {
	for i := len(b.blocks) - 1; i >= 0 && !b.missing; i-- {
		ob := b.blocks[i]
		b.add(b.lex.pos, b.lex.from, Error, ob.word, "a '}' is missing at the end: %q, opened at %s, is not closed", ob.word, near(ob.pos, b.lex.pos))
	}
	for _, ob := range b.blocks {
		b.suspect[ob.pos] = true
	}
	if len(b.blocks) > 0 {
		b.missing = true
	}
}
