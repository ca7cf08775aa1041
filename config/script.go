package config

import (
	"reflect"
	"slices"
	"strings"
)

// scriptUse is a script met in the file, to be checked when all is read: the
// default user may be named after its first use.
type scriptUse struct {
	script *Script
	word   string
	from   *frame
	drop   func() // takes the script out of the configuration
}

// tokens cuts text as keepalived does for commands: white space separates,
// single and double quotes group and are taken away, a backslash escapes as in
// the shell's $'...'. Pieces that touch are one token.
func tokens(s string) []string {
	var out []string
	var cur strings.Builder
	var quote byte
	open := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'':
			cur.WriteByte(c)
		case c == '\\' && i+1 < len(s):
			open = true
			i += escape(&cur, s[i+1:])
		case c == quote && quote != 0:
			quote = 0
		case quote != 0:
			cur.WriteByte(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case isSpace(c):
			if open {
				out = append(out, cur.String())
				cur.Reset()
				open = false
			}
		default:
			open = true
			cur.WriteByte(c)
		}
	}
	if open {
		out = append(out, cur.String())
	}
	return out
}

// escape writes what a backslash and s stand for and gives how many bytes of s
// it used. A NUL cannot be passed to a program and is left out.
func escape(b *strings.Builder, s string) int {
	const from, to = "abEfnrtv", "\a\b\x1b\f\n\r\t\v"
	put := func(n int) {
		if n &= 0xff; n != 0 {
			b.WriteByte(byte(n))
		}
	}
	if i := strings.IndexByte(from, s[0]); i >= 0 {
		b.WriteByte(to[i])
		return 1
	}
	switch c := s[0]; {
	case c >= '0' && c <= '7':
		n, i := 0, 0
		for ; i < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; i++ {
			n = n*8 + int(s[i]-'0')
		}
		put(n)
		return i
	case c == 'x' && len(s) > 1 && hexDigit(s[1]) >= 0:
		n, i := 0, 1
		for ; i < 3 && i < len(s) && hexDigit(s[i]) >= 0; i++ {
			n = n*16 + hexDigit(s[i])
		}
		put(n)
		return i
	case c == 'c' && len(s) > 1:
		put(int(s[1]) & 0x1f)
		return 2
	default:
		b.WriteByte(c)
		return 1
	}
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// command reads CMD [USER [GROUP]] from the raw text of a statement. The first
// token is cut once more: quotes around the whole command are the usual form.
func (b *binder) command(c *call) (*Script, bool) {
	raw, off := c.st.raw()
	parts := tokens(raw)
	if len(parts) == 0 {
		b.fail(c, "the command is missing; expected %s", c.row.usage())
		return nil, false
	}
	argv := tokens(parts[0])
	if len(argv) == 0 || argv[0] == "" {
		b.warnAt(c, "the command is empty; the keyword is ignored")
		return nil, false
	}
	for off < len(c.st.line.text) && isSpace(c.st.line.text[off]) {
		off++
	}
	s := &Script{Pos: c.st.line.at(off), Argv: cloneAll(argv)}
	if hint := placeholder(argv[0]); hint != "" && strings.Contains(argv[0], ">") {
		b.add(s.Pos, c.st.from(), Warning, c.row.word, "%q is no command%s; the keyword is ignored", printable(argv[0]), hint)
		return nil, false
	}
	if slices.ContainsFunc(argv, andOr) {
		s.Argv = []string{"/bin/sh", "-c", strings.Clone(parts[0])}
		b.warnAt(c, "the command has && or ||, so /bin/sh runs it; keepalived gives these words to %q as arguments", printable(argv[0]))
	}
	plain := c.row.args.syntax == "CMD"
	if len(parts) > 1 && !plain {
		s.User, s.Group = userGroup(parts[1:])
	}
	if plain && len(parts) > 1 || len(parts) > 3 {
		b.warnAt(c, "only %q is run, what follows is not part of the command; put quotes around the whole of it", printable(parts[0]))
	}
	return s, true
}

// andOr tells a word that is an operator of the shell. No program means it as
// an argument, and whoever writes it means the shell.
func andOr(word string) bool { return word == "&&" || word == "||" }

func cloneAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.Clone(s)
	}
	return out
}

// userGroup reads USER [[:]GROUP]; a colon asks for supplementary groups.
func userGroup(args []string) (user, group string) {
	user = strings.Clone(args[0])
	if len(args) > 1 {
		group = strings.Clone(args[1])
	}
	return user, group
}

func (b *binder) setScript(c *call) bool {
	s, ok := b.command(c)
	if !ok {
		return false
	}
	field := c.field
	drop := func() {}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.ValueOf(s))
		drop = func() { field.SetZero() }
	} else {
		keep := field.Addr().Interface().(*Script)
		if keep.User != "" && s.User == "" {
			s.User, s.Group = keep.User, keep.Group
		}
		*keep = *s
		s = keep
	}
	b.useScript(s, c.row.word, c.st.from(), drop)
	return true
}

func (b *binder) useScript(s *Script, word string, from *frame, drop func()) {
	if i, ok := b.used[s]; ok {
		b.scripts[i] = scriptUse{s, word, from, drop}
		return
	}
	b.used[s] = len(b.scripts)
	b.scripts = append(b.scripts, scriptUse{s, word, from, drop})
}

// user reads the user line of a vrrp_script or MISC_CHECK.
func (b *binder) user(c *call) {
	s := c.field.Addr().Interface().(*Script)
	var names []string
	for _, a := range c.st.args() {
		names = append(names, a.text)
	}
	s.User, s.Group = userGroup(names)
	b.note(s, "user", c.st.at(c.st.args()[0]))
	b.surplus(c, 2)
}

// resolveScripts finds the identity of every script, and takes those away that
// could never run.
func (b *binder) resolveScripts() {
	g := &b.cfg.Global
	b.defaultUser(g)
	noticed := false
	for _, u := range b.scripts {
		if len(u.script.Argv) == 0 {
			continue
		}
		if !b.identity(u, g) {
			u.drop()
			continue
		}
		if b.opt.CheckScript != nil && !b.checkScript(u, g) {
			u.drop()
			continue
		}
		if u.script.UID == 0 && !g.EnableScriptSecurity && !noticed {
			noticed = true
			b.sink.add(Diagnostic{Pos: u.script.Pos, Severity: Warning, Class: ScriptSecurity, Keyword: u.word, IncludedFrom: chain(u.from),
				Message: "scripts run as root without enable_script_security; name a script_user or set enable_script_security in global_defs"})
		}
	}
}

// defaultUser is script_user, or else the user keepalived_script, or else root.
func (b *binder) defaultUser(g *Global) {
	if b.opt.LookupUser == nil || g.ScriptUser != "" {
		return
	}
	if u, err := b.opt.LookupUser("keepalived_script"); err == nil {
		g.ScriptUID, g.ScriptGID = u.UID, u.GID
	}
}

func (b *binder) identity(u scriptUse, g *Global) bool {
	s := u.script
	user, group := s.User, s.Group
	if user == "" {
		s.UID, s.GID = g.ScriptUID, g.ScriptGID
		if user, group = g.ScriptUser, g.ScriptGroup; user == "" {
			return true
		}
	}
	word, pos := u.word, s.Pos
	if p, ok := b.places[placeKey{s, "user"}]; ok {
		word, pos = "user", p
	}
	uid, gid, groups, ok := b.lookup(word, pos, u.from, user, group)
	if !ok {
		return false
	}
	s.UID, s.GID = uid, gid
	if g.SetSupplementaryGroups || strings.HasPrefix(group, ":") {
		s.Groups = groups
	}
	return true
}

// lookup finds a user and a group; without a way to ask, it takes them on
// trust.
func (b *binder) lookup(word string, pos Pos, from *frame, user, group string) (uid, gid uint32, groups []uint32, ok bool) {
	if b.opt.LookupUser == nil {
		return 0, 0, nil, true
	}
	u, err := b.opt.LookupUser(user)
	if err != nil {
		b.add(pos, from, Warning, word, "user %q does not exist; the setting is ignored", printable(user))
		return 0, 0, nil, false
	}
	uid, gid, groups = u.UID, u.GID, u.Groups
	if name := strings.TrimPrefix(group, ":"); name != "" && b.opt.LookupGroup != nil {
		if gid, err = b.opt.LookupGroup(name); err != nil {
			b.add(pos, from, Warning, word, "group %q does not exist; the setting is ignored", printable(name))
			return 0, 0, nil, false
		}
	}
	return uid, gid, groups, true
}

// checkScript asks the host whether the program can run.
func (b *binder) checkScript(u scriptUse, g *Global) bool {
	s := u.script
	st := b.opt.CheckScript(s.Argv[0], s.UID, s.GID)
	if st.Fault != "" {
		b.add(s.Pos, u.from, Warning, u.word, "script %q cannot run: %s; it is disabled", printable(s.Argv[0]), st.Fault)
		return false
	}
	if st.Unsafe != "" && g.EnableScriptSecurity && s.UID == 0 {
		b.add(s.Pos, u.from, Warning, u.word, "script %q is not run as root, because %s can be changed by others than root; it is disabled", printable(s.Argv[0]), st.Unsafe)
		return false
	}
	if !strings.Contains(s.Argv[0], "/") && st.Path != "" {
		b.add(s.Pos, u.from, Warning, u.word, "script %q was found by the search path as %s; write the full path", printable(s.Argv[0]), st.Path)
	}
	return true
}
