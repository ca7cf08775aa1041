package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// node is one keyword of a printed configuration.
type node struct {
	word  string
	args  []string // as written in a file, quoted where needed
	value any      // for JSON: the plain value; nil: the arguments as text
	lines []string // items of a list block
	block []node
	open  bool // has a block, also an empty one
}

// tree turns a configuration back into keywords. Every value that is in force
// is there, defaults and inherited ones too.
type tree struct{ sections map[string]*section }

// children are the keywords of one object.
func (t *tree) children(path string, obj any) []node {
	var out []node
	v := reflect.ValueOf(obj).Elem()
	defaults := reflect.ValueOf(newConfig().Global)
	for _, r := range t.sections[path].order {
		if r.alias || r.status == refused {
			continue
		}
		if fn := special[r.path()]; fn != nil {
			out = append(out, fn(r, obj)...)
			continue
		}
		if fn := specialWord[r.word]; fn != nil {
			out = append(out, fn(r, obj)...)
			continue
		}
		if r.to == "" || r.args.kind == kindBlock || path == "" && r.args.kind == kindItems {
			continue
		}
		field := fieldOf(v, r.field)
		if r.status == noeffect && path == "global_defs" && equal(field, fieldOf(defaults, r.field)) {
			continue
		}
		out = append(out, simple(r, field)...)
	}
	return out
}

// simple prints a field by the shape of its arguments.
func simple(r *row, v reflect.Value) []node {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		if _, ok := v.Interface().(*bool); ok {
			v = v.Elem()
		}
	}
	one := func(text string, value any) []node {
		return []node{{word: r.word, args: []string{text}, value: value}}
	}
	switch r.args.kind {
	case kindFlag:
		if v.Bool() {
			return []node{{word: r.word, value: true}}
		}
	case kindBool, kindOptBool:
		if v.Bool() {
			return one("on", true)
		}
		return one("off", false)
	case kindNumber, kindOptNumber:
		if n, ok := numberOf(v); ok && n >= r.args.min && n <= r.args.max {
			return one(strconv.FormatFloat(n, 'f', -1, 64), n)
		}
	case kindTime:
		d := v.Int()
		if n := float64(d) / r.args.unit; d >= 0 && n >= r.args.min && n <= r.args.max {
			return one(decimal(d, r.args.unit), n)
		}
	default:
		return typed(r, v.Interface())
	}
	return nil
}

func numberOf(v reflect.Value) (float64, bool) {
	switch {
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanInt():
		return float64(v.Int()), true
	}
	return 0, false
}

// decimal writes nanoseconds in a unit with at most six places, exactly.
func decimal(ns int64, unit float64) string {
	micro := ns * 1000000 / int64(unit)
	s := fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// seconds writes a duration as keepalived's times are written.
func seconds(d time.Duration) string { return decimal(int64(d), 1e9) }

// typed prints a field by its Go type.
func typed(r *row, v any) []node {
	line := func(args ...string) []node { return []node{{word: r.word, args: args}} }
	list := func(lines []string) []node {
		if len(lines) == 0 {
			return nil
		}
		return []node{{word: r.word, lines: lines, open: true}}
	}
	switch x := v.(type) {
	case string:
		if x != "" {
			return []node{{word: r.word, args: []string{quote(x)}, value: x}}
		}
	case []string:
		switch {
		case len(x) == 0:
		case r.args.kind == kindItems:
			return list(quoteAll(x))
		default:
			return line(quoteAll(x)...)
		}
	case []int:
		var s []string
		for _, n := range x {
			s = append(s, strconv.Itoa(n))
		}
		if len(s) > 0 {
			return line(s...)
		}
	case netip.Addr:
		if x.IsValid() {
			return line(x.String())
		}
	case *Script:
		return line(command(x)...)
	case Script: // the user is a keyword of its own
		if len(x.Argv) > 0 {
			return line(command(&x)[0])
		}
	case int: // kindWeight
		return line(strconv.Itoa(x))
	case LVSMethod:
		return line(method(x)...)
	case []Track:
		return list(trackLines(x))
	default:
		return list(itemLines(r, v))
	}
	return nil
}

// itemLines prints a list block, a line an item.
func itemLines(r *row, v any) []string {
	var s []string
	switch x := v.(type) {
	case []VirtualIPAddress:
		for i := range x {
			s = append(s, addressLine(&x[i]))
		}
	case []VirtualRoute:
		for i := range x {
			s = append(s, routeLine(&x[i]))
		}
	case []VirtualRule:
		for i := range x {
			s = append(s, ruleLine(&x[i]))
		}
	case []UnicastPeer:
		for _, p := range x {
			l := p.Address.String()
			if p.HasTTL {
				l += fmt.Sprintf(" min_ttl %d max_ttl %d", p.MinTTL, p.MaxTTL)
			}
			s = append(s, l)
		}
	default:
		panic(fmt.Sprintf("config: no way to print %s of type %T", r.path(), v))
	}
	return s
}

func trackLines(list []Track) []string {
	var out []string
	for _, t := range list {
		l := quote(t.Name) + " weight " + strconv.Itoa(t.Weight)
		if t.Reverse {
			l += " reverse"
		} else {
			l += " noreverse"
		}
		out = append(out, l)
	}
	return out
}

func method(m LVSMethod) []string {
	args := []string{m.Kind}
	if m.TunnelType != "" {
		args = append(args, "type", m.TunnelType)
	}
	if m.TunnelPort != 0 {
		args = append(args, "port", strconv.Itoa(int(m.TunnelPort)))
	}
	if m.Checksum != "" {
		args = append(args, m.Checksum)
	}
	return args
}

// quote writes a word so that the lexer reads it back.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\v\f#!{}\"") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

func quoteAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return out
}

// command writes a script so that the two layers of keepalived's tokeniser
// give the same words.
func command(s *Script) []string {
	var words []string
	for _, a := range s.Argv {
		words = append(words, quoteToken(a))
	}
	inner := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(strings.Join(words, " "))
	args := []string{`"` + inner + `"`}
	if s.User != "" {
		args = append(args, quoteToken(s.User))
		if s.Group != "" {
			args = append(args, quoteToken(s.Group))
		}
	}
	return args
}

func quoteToken(s string) string {
	if s == "" {
		return "''"
	}
	awkward := func(r rune) bool { return r < ' ' || r == '\'' || r == '\\' || r == '$' || r == 0x7f }
	if strings.ContainsAny(s, " \"") && !strings.ContainsFunc(s, awkward) {
		return "'" + s + "'"
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == '$' || c == 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		case strings.IndexByte(" '\"\\", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func addressLine(a *VirtualIPAddress) string {
	w := []string{a.Prefix.String()}
	add := func(on bool, words ...string) {
		if on {
			w = append(w, words...)
		}
	}
	add(a.BrdAuto != "", "brd", a.BrdAuto)
	add(a.Brd.IsValid(), "brd", a.Brd.String())
	add(a.Dev != "", "dev", quote(a.Dev))
	add(a.UseVMAC, "use_vmac")
	add(a.Scope != 0, "scope", scopeName(a.Scope))
	add(a.Label != "", "label", quote(a.Label))
	add(a.Peer.IsValid(), "peer", a.Peer.String())
	add(a.Home, "home")
	add(a.NoDAD, "-nodad")
	add(a.MngTmpAddr, "mngtmpaddr")
	add(a.NoPrefixRoute, "noprefixroute")
	add(a.AutoJoin, "autojoin")
	add(a.NoTrack, "no_track")
	if a.PreferredLft == Forever {
		add(a.Prefix.Addr().Is6(), "preferred_lft", "forever")
	} else {
		add(true, "preferred_lft", strconv.FormatUint(uint64(a.PreferredLft), 10))
	}
	add(a.TrackGroup != "", "track_group", quote(a.TrackGroup))
	return strings.Join(w, " ")
}

func scopeName(n uint8) string {
	for name, v := range scopes {
		if v == n {
			return name
		}
	}
	return strconv.Itoa(int(n))
}

func routeLine(r *VirtualRoute) string {
	var w []string
	add := func(on bool, words ...string) {
		if on {
			for _, s := range words {
				w = append(w, quote(s))
			}
		}
	}
	add(r.Type != "unicast", r.Type)
	dst := r.Dst.String()
	add(true, dst)
	add(r.From.IsValid(), "from", r.From.String())
	add(r.Src.IsValid(), "src", r.Src.String())
	add(r.Via.IsValid(), "via", r.Via.String())
	add(r.Or.IsValid(), "or", r.Or.String())
	add(r.Dev != "", "dev", r.Dev)
	add(r.Table != "", "table", r.Table)
	add(r.Scope != "", "scope", r.Scope)
	add(r.Protocol != "", "proto", r.Protocol)
	add(r.Metric != 0, "metric", strconv.FormatUint(uint64(r.Metric), 10))
	add(r.TOS != "", "tos", r.TOS)
	for _, o := range r.Options {
		add(true, o...)
	}
	for _, h := range r.NextHops {
		add(true, append([]string{"nexthop"}, h...)...)
	}
	add(r.NoTrack, "no_track")
	add(r.TrackGroup != "", "track_group", r.TrackGroup)
	return strings.Join(w, " ")
}

func ruleLine(r *VirtualRule) string {
	var w []string
	add := func(on bool, words ...string) {
		if on {
			for _, s := range words {
				w = append(w, quote(s))
			}
		}
	}
	add(r.Not, "not")
	add(r.Family == 4, "inet")
	add(r.Family == 6, "inet6")
	add(r.From.IsValid(), "from", r.From.String())
	add(r.To.IsValid(), "to", r.To.String())
	add(r.FWMark != "", "fwmark", r.FWMark)
	add(r.IIF != "", "iif", r.IIF)
	add(r.OIF != "", "oif", r.OIF)
	add(r.TOS != "", "tos", r.TOS)
	add(r.HasPriority, "preference", strconv.FormatUint(uint64(r.Priority), 10))
	add(r.Table != "", "table", r.Table)
	add(r.Action != "table" && r.Action != "goto", r.Action)
	for _, o := range r.Options {
		add(true, o...)
	}
	add(r.NoTrack, "no_track")
	add(r.TrackGroup != "", "track_group", r.TrackGroup)
	return strings.Join(w, " ")
}
