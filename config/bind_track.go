package config

import (
	"strings"
)

// trackKey names something that can be tracked.
type trackKey struct{ kind, name string }

// pendingTrack is a reference that waits until everything is read.
type pendingTrack struct {
	list    *[]Track
	kind    string
	track   Track
	weight  bool // the reference has a weight of its own
	forward bool // the thing was not defined yet
	word    string
	owner   string
	from    *frame
}

// trackItem reads NAME [weight N [reverse|noreverse]].
func (b *binder) trackItem(c *call) {
	w := c.st.words
	kind := strings.TrimPrefix(c.row.word, "track_")
	t := pendingTrack{
		list: c.field.Addr().Interface().(*[]Track), kind: kind, word: c.row.word, from: c.st.from(),
		track: Track{Pos: c.st.pos(), Name: strings.Clone(w[0].text)},
	}
	t.owner = nameOfOwner(c.obj)
	limit := 253.0
	if kind == "file" || kind == "process" {
		limit = 254
	}
	rest := w[1:]
	for len(rest) > 0 {
		switch {
		case rest[0].text == "weight" && len(rest) > 1:
			n, reverse, used, ok := b.weight(c, rest[1:], -limit, limit)
			if ok {
				t.track.Weight, t.track.Reverse, t.weight = n, reverse, true
			}
			rest = rest[1+used:]
		case rest[0].text == "weight":
			b.warn(c, rest[0], "the weight of %q is missing; expected %s", printable(w[0].text), c.row.args.syntax)
			rest = nil
		default:
			b.warn(c, rest[0], "%q is not understood; expected %s", printable(rest[0].text), c.row.args.syntax)
			rest = nil
		}
	}
	if kind != "interface" {
		t.forward = b.defined[trackKey{kind, t.track.Name}] == nil
	}
	b.pending = append(b.pending, t)
}

func nameOfOwner(obj any) string {
	switch o := obj.(type) {
	case *VRRPInstance:
		return o.Name
	case *VRRPSyncGroup:
		return o.Name
	}
	return ""
}
