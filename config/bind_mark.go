package config

import "strings"

// given tells which keywords an object had in the file, by row index, and for
// the sections that need it where.
type given struct {
	mask [3]uint64
	pos  map[string]Pos
	from *frame
}

func (g *given) has(r *row) bool { return g != nil && g.mask[r.idx/64]&(1<<(r.idx%64)) != 0 }

// mark remembers that an object had a keyword.
func (b *binder) mark(c *call) {
	if _, ok := c.obj.(*smtpHost); ok && strings.HasPrefix(c.row.to, "Checker.") {
		b.markChecker(c)
		return
	}
	if n := len(b.blocks); n > 0 && b.blocks[n-1].mask > 0 {
		b.masks[b.blocks[n-1].mask-1] |= 1 << c.row.idx
		return
	}
	g := b.given[c.obj]
	if g == nil {
		g = &given{}
		b.given[c.obj] = g
	}
	g.mask[c.row.idx/64] |= 1 << (c.row.idx % 64)
	if g.pos == nil {
		g.pos = map[string]Pos{}
	}
	g.pos[c.row.word] = c.st.pos()
	if args := c.st.args(); len(args) > 0 && c.row.args.kind < kindCustom {
		b.note(c.obj, c.row.word, c.st.at(args[0]))
	}
	g.from = c.st.from()
}

// placeKey names a word of an object; an object that is copied about is known
// by its own place.
type placeKey struct {
	of   any
	name string
}

// note remembers where a word stands that only later turns out to be wrong.
func (b *binder) note(of any, name string, pos Pos) { b.places[placeKey{of, name}] = pos }

// noted is the place of such a word, or else the fallback.
func (b *binder) noted(of any, name string, or Pos) Pos {
	if p, ok := b.places[placeKey{of, name}]; ok {
		return p
	}
	return or
}

// markChecker remembers a keyword of a host block that is the checker's.
func (b *binder) markChecker(c *call) {
	around := b.blocks[len(b.blocks)-2]
	if r := around.sec.rows[c.row.word]; r != nil {
		b.masks[around.mask-1] |= 1 << r.idx
	}
}

// where is the place of a keyword of an object, or else the fallback.
func (b *binder) where(obj any, word string, or Pos) Pos {
	if g := b.given[obj]; g != nil {
		if p, ok := g.pos[word]; ok {
			return p
		}
	}
	return or
}
