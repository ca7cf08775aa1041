package health

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// bodyRegex looks for a regular expression in a body of any length, in
// bounded memory.
type bodyRegex struct {
	re       *regexp.Regexp
	min, max int
}

// regexFlags are the options of PCRE2 that Go's syntax can express; the value
// is the flag letter, or empty when the option is how Go works anyway or is
// handled apart.
var regexFlags = map[string]string{
	"caseless": "i", "multiline": "m", "dotall": "s", "ungreedy": "U",
	"anchored": "", "endanchored": "", "literal": "", "dollar_endonly": "",
	"utf": "", "no_auto_capture": "", "no_auto_possess": "", "no_start_optimize": "", "no_dotstar_anchor": "",
}

// newBodyRegex compiles a pattern of PCRE2 where Go's syntax has its meaning.
// What Go lacks (look-around, back references, possessive repeats) is an error.
func newBodyRegex(u URL) (*bodyRegex, error) {
	flags, pattern := "", u.Regex
	has := func(name string) bool {
		return slices.ContainsFunc(u.RegexOpts, func(o string) bool { return optionName(o) == name })
	}
	for _, o := range u.RegexOpts {
		f, ok := regexFlags[optionName(o)]
		if !ok {
			return nil, fmt.Errorf("regex option %q is not supported", o)
		}
		flags += f
	}
	if has("literal") {
		pattern = regexp.QuoteMeta(pattern)
	}
	if flags != "" {
		pattern = "(?" + flags + ":" + pattern + ")"
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("regex %q is not supported: %w", u.Regex, err)
	}
	adapt(tree, u.MinOffset > 0, !has("dollar_endonly"))
	pattern = tree.String()
	if has("anchored") {
		pattern = `\A(?:` + pattern + `)`
	}
	if has("endanchored") {
		pattern = `(?:` + pattern + `)\z`
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("regex %q is not supported: %w", u.Regex, err)
	}
	return &bodyRegex{re: re, min: u.MinOffset, max: u.MaxOffset}, nil
}

func optionName(o string) string {
	return strings.TrimPrefix(strings.ToLower(o), "pcre2_")
}

// adapt changes a parsed pattern to what PCRE2 means by it. Past a minimum
// offset nothing is the beginning of the text. Outside of multi-line mode "$"
// also matches before a newline at the end; in Go only at the very end.
func adapt(re *syntax.Regexp, offset, dollar bool) {
	for _, sub := range re.Sub {
		adapt(sub, offset, dollar)
	}
	switch {
	case re.Op == syntax.OpBeginText && offset:
		re.Op = syntax.OpNoMatch
	case re.Op == syntax.OpEndText && dollar && re.Flags&syntax.WasDollar != 0:
		*re = *mustParse(`(?:\n?\z)`)
	}
}

func mustParse(pattern string) *syntax.Regexp {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic("health: " + err.Error())
	}
	return re
}

// match reads body as far as it must. A match may start from offset min, and
// not after max unless that is 0.
func (b *bodyRegex) match(body io.Reader) (bool, error) {
	e := &errReader{r: body}
	if _, err := io.CopyN(io.Discard, e, int64(b.min)); err != nil {
		return false, e.err
	}
	at := b.re.FindReaderIndex(bufio.NewReader(e))
	if e.err != nil {
		return false, e.err
	}
	return at != nil && (b.max == 0 || b.min+at[0] <= b.max), nil
}

// errReader keeps the error that package regexp takes for the end.
type errReader struct {
	r   io.Reader
	err error // other than io.EOF
}

func (e *errReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}
