package health

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
)

// What a pattern finds by the rules of PCRE2 (pcre2pattern, pcre2api), which
// are not always those of Go.
func TestBodyRegex(t *testing.T) {
	for _, test := range []struct {
		pattern string
		options string
		body    string
		min     int
		max     int
		want    bool
	}{
		{pattern: "well", body: "all is well", want: true},
		{pattern: "Well", body: "all is well", want: false},
		{pattern: "Well", options: "caseless", body: "all is well", want: true},
		{pattern: "Well", options: "PCRE2_CASELESS", body: "all is well", want: true},
		{pattern: "^is", body: "all\nis", want: false},
		{pattern: "^is", options: "multiline", body: "all\nis", want: true},
		{pattern: "all$", body: "all\nis", want: false},
		{pattern: "is$", body: "all\nis\n", want: true},
		{pattern: "is$", body: "all\nis\n\n", want: false},
		{pattern: "is$", options: "dollar_endonly", body: "all\nis\n", want: false},
		{pattern: `is\z`, body: "all\nis\n", want: false},
		{pattern: "(?:a|is$|b)", body: "is\n", want: true},
		{pattern: "all$", options: "multiline", body: "all\nis", want: true},
		{pattern: "a.b", body: "a\nb", want: false},
		{pattern: "a.b", options: "dotall", body: "a\nb", want: true},
		{pattern: "a.b", options: "dotall caseless", body: "A\nB", want: true},
		{pattern: "a.b", options: "literal", body: "axb", want: false},
		{pattern: "a.b", options: "literal", body: "a.b", want: true},
		{pattern: "b", options: "anchored", body: "ab", want: false},
		{pattern: "a", options: "endanchored", body: "ab", want: false},
		{pattern: "ö", body: "schön", want: true},
		{pattern: "aa", body: "aaxx", min: 1, want: false},
		{pattern: "aa", body: "xaax", min: 1, want: true},
		{pattern: "^aa", body: "xaax", min: 1, want: false},
		{pattern: "aa", body: "aa", min: 3, want: false},
		{pattern: "aa", body: "xxaa", max: 1, want: false},
		{pattern: "aa", body: "xxaa", max: 2, want: true},
		{pattern: "aa", body: "aaxxaa", min: 1, max: 3, want: false},
		{pattern: "aa", body: "aaxxaa", min: 1, max: 4, want: true},
	} {
		name := fmt.Sprintf("%s %s in %q", test.pattern, test.options, test.body)
		t.Run(name, func(t *testing.T) {
			b, err := newBodyRegex(URL{Regex: test.pattern, RegexOpts: strings.Fields(test.options), MinOffset: test.min, MaxOffset: test.max})
			if err != nil {
				t.Fatal(err)
			}
			got, err := b.match(iotest.HalfReader(strings.NewReader(test.body)))
			if err != nil || got != test.want {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			if like, ok := perl(t, test.pattern, test.options, test.body); ok && test.min+test.max == 0 && like != test.want {
				t.Errorf("perl says %v", like)
			}
		})
	}
}

func TestBodyRegexRefuses(t *testing.T) {
	for _, test := range []struct{ pattern, option, words string }{
		{"(?<=a)b", "", "is not supported"},
		{`(a)\1`, "", "is not supported"},
		{"a++", "", "is not supported"},
		{"(", "", "missing closing )"},
		{"a b", "extended", `regex option "extended" is not supported`},
	} {
		var options []string
		if test.option != "" {
			options = []string{test.option}
		}
		if _, err := newBodyRegex(URL{Regex: test.pattern, RegexOpts: options}); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%q %q: %v, want %q", test.pattern, test.option, err, test.words)
		}
	}
}

// perl asks Perl, after which PCRE is made, whether a pattern matches; ok is
// false when Perl is missing or has no such option.
func perl(t *testing.T, pattern, options, body string) (matches, ok bool) {
	letters := ""
	for o := range strings.FieldsSeq(options) {
		letter := map[string]string{"caseless": "i", "multiline": "m", "dotall": "s"}[optionName(o)]
		if letter == "" {
			return false, false
		}
		letters += letter
	}
	path, err := exec.LookPath("perl")
	if err != nil {
		return false, false
	}
	c := exec.CommandContext(t.Context(), path, "-0777", "-e", `$_ = <STDIN>; exit(m/(?`+letters+`)$ARGV[0]/ ? 0 : 9)`, pattern)
	c.Stdin = strings.NewReader(body)
	var exit *exec.ExitError
	if err := c.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 9) {
		t.Fatalf("perl: %v", err)
	}
	return c.ProcessState.ExitCode() == 0, true
}
