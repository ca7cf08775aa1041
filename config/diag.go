package config

import "strings"

// Severity divides problems as keepalived does: with an Error the daemon does
// not start, with a Warning it does.
type Severity uint8

// Severities. Advice comes only from Advise.
const (
	Error Severity = iota + 1
	Warning
	Advice
)

// String gives the word that is printed.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Advice:
		return "advice"
	}
	return "unknown"
}

// Class tells apart what keepalived -t answers with different exit codes.
type Class uint8

// Classes of problems.
const (
	General        Class = iota
	ScriptSecurity       // scripts run as root without enable_script_security (exit 6)
	Unsupported          // read and understood, but not carried out here; keepalived is content
)

// Diagnostic is one problem at one place.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Class    Class
	Keyword  string // the word the problem is about; empty: the file as a whole
	Message  string // what is wrong; what was expected
	// IncludedFrom lists the include lines that led to Pos, innermost first.
	IncludedFrom []Pos
	// Link is the anchor in docs/CONFIG.md that says more; only with Advice.
	Link string
}

// String gives FILE:LINE:COL: severity: word: message, on one line.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.Pos.String())
	b.WriteString(": ")
	b.WriteString(d.Severity.String())
	b.WriteString(": ")
	if d.Keyword != "" {
		b.WriteString(printable(d.Keyword))
		b.WriteString(": ")
	}
	b.WriteString(d.Message)
	for _, p := range d.IncludedFrom {
		b.WriteString(" (included from ")
		b.WriteString(p.String())
		b.WriteByte(')')
	}
	return b.String()
}

// HasErrors says whether any diagnostic keeps the daemon from starting.
func HasErrors(ds []Diagnostic) bool {
	for _, d := range ds {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// printable makes a word from a file safe for a terminal and for one line.
func printable(s string) string {
	const longest = 60
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(clean); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return clean
}
