package config

import (
	"io/fs"
	"path"
	"strings"
)

// includeCheck says which missing include files are errors.
type includeCheck uint8

const (
	checkReadable includeCheck = 1 << iota
	checkMatch
	checkWildcard
	checkBrace
	checkAll = checkReadable | checkMatch | checkWildcard | checkBrace
)

var includeWords = map[string]includeCheck{
	"include":  0,
	"includer": checkReadable,
	"includem": checkReadable | checkMatch,
	"includew": checkReadable | checkWildcard,
	"includeb": checkReadable | checkBrace,
	"includea": checkAll,
}

// includeChecks are the words of include_check.
var includeChecks = map[string]includeCheck{
	"readable":       checkReadable,
	"match":          checkReadable | checkMatch,
	"wildcard_match": checkReadable | checkWildcard,
	"brace_match":    checkReadable | checkBrace,
}

// includeLine takes an include line apart.
func includeLine(s string) (word, arg string, ok bool) {
	if !strings.HasPrefix(s, "include") {
		return "", "", false
	}
	n := 0
	for n < len(s) && !isSpace(s[n]) {
		n++
	}
	if _, ok := includeWords[s[:n]]; !ok {
		return "", "", false
	}
	return s[:n], strings.TrimSpace(s[n:]), true
}

// include opens the files that an include line names; the first of them is
// read next.
func (p *preprocessor) include(l *line, word, arg string) {
	report := func(sev Severity, msg string) {
		p.sink.add(Diagnostic{Pos: l.pos, Severity: sev, Keyword: word, Message: msg, IncludedFrom: chain(l.from)})
	}
	arg = strings.ReplaceAll(arg, `"`, "")
	if arg == "" {
		report(Error, "no file is named; expected a path, which may hold wildcards and {a,b}")
		return
	}
	depth := 1
	if l.from != nil {
		depth = l.from.depth + 1
	}
	if depth > p.opt.MaxDepth {
		p.fatal(l, "includes are nested deeper than %d; does %q include itself?", p.opt.MaxDepth, arg)
		return
	}
	check := p.check | includeWords[word]
	patterns, ok := expandBraces(arg)
	if !ok {
		report(Error, "the pattern stands for more than 1000 names")
		return
	}
	var names []string
	for _, pat := range patterns {
		if !strings.HasPrefix(pat, "/") {
			pat = path.Join(p.directory(), pat)
		}
		wild := strings.ContainsAny(pat, "*?[")
		found := []string{pat}
		if wild {
			found = glob(p.fsys, pat)
		} else if _, err := fs.Stat(p.fsys, fsPath(pat)); err != nil {
			found = nil
		}
		names = append(names, found...)
		switch {
		case len(found) > 0:
		case wild && check&checkWildcard != 0, !wild && check&checkMatch != 0, len(patterns) > 1 && check&checkBrace != 0:
			report(Error, "no file matches "+printable(pat))
		default:
			report(Warning, "no file matches "+printable(pat)+"; nothing is included")
		}
	}
	p.openAll(l, names, check, &frame{pos: l.pos, depth: depth, up: l.from}, report)
}

// openAll opens included files, so that the first is read next.
func (p *preprocessor) openAll(l *line, names []string, check includeCheck, from *frame, report func(Severity, string)) {
	for i := len(names) - 1; i >= 0; i-- {
		text, err := readFile(p.fsys, names[i], max(p.budget, 0))
		if err != nil {
			sev := Warning
			if check&checkReadable != 0 {
				sev = Error
			}
			report(sev, "cannot read "+printable(names[i])+": "+err.Error())
			continue
		}
		p.pushFile(names[i], text, from)
	}
	if len(p.stack) > maxSources+maxIncluded {
		p.fatal(l, "more than %d files are open at once", maxSources+maxIncluded)
	}
}

const maxIncluded = 10000

// glob finds files as glob(3) does: a leading dot is matched only by a dot.
func glob(fsys fs.FS, pat string) []string {
	abs := strings.HasPrefix(pat, "/")
	clean := strings.ReplaceAll(fsPath(pat), "[!", "[^")
	found, err := fs.Glob(fsys, clean)
	if err != nil {
		return nil
	}
	want := strings.Split(clean, "/")
	var names []string
	for _, f := range found {
		have, hidden := strings.Split(f, "/"), false
		for i := range have {
			hidden = hidden || i < len(want) && strings.HasPrefix(have[i], ".") && !strings.HasPrefix(want[i], ".")
		}
		if hidden {
			continue
		}
		if abs {
			f = "/" + f
		}
		names = append(names, f)
	}
	return names
}

// expandBraces gives the names that csh's {a,b} stands for, in order.
func expandBraces(s string) ([]string, bool) {
	const most = 1000
	open := strings.IndexByte(s, '{')
	if open < 0 {
		return []string{s}, true
	}
	depth, start := 0, open+1
	var parts []string
	end := -1
	for i := open; i < len(s) && end < 0; i++ {
		switch s[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		case '}':
			if depth--; depth == 0 {
				parts = append(parts, s[start:i])
				end = i
			}
		}
	}
	if end < 0 {
		return []string{s}, true
	}
	var out []string
	for _, part := range parts {
		more, ok := expandBraces(s[:open] + part + s[end+1:])
		if out = append(out, more...); !ok || len(out) > most {
			return nil, false
		}
	}
	return out, true
}
