package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

const (
	defaultMaxInput = 256 << 20
	defaultMaxDepth = 32
	maxDiagnostics  = 10000 // warnings that are kept
	maxErrors       = 1000  // errors that are kept
)

// frame is one step of the way from the first file to a line: an include line,
// or a line that used a definition of several lines.
type frame struct {
	pos   Pos
	depth int
	up    *frame
}

// line is one line of text and where it came from. When substitution changed
// the text, cols holds the column of every byte; otherwise columns follow from
// pos.
type line struct {
	text string
	pos  Pos // of text[0]
	cols []int32
	from *frame
	has  uint8 // what the text holds, as classify gives it; 0: not looked at
}

// at gives the place of byte i of the text.
func (l *line) at(i int) Pos {
	p := l.pos
	switch {
	case l.cols == nil:
		p.Col += i
	case i < len(l.cols):
		p.Col = int(l.cols[i])
	case len(l.cols) > 0:
		p.Col = int(l.cols[len(l.cols)-1]) + 1
	}
	return p
}

// cut gives the part of the line from i to j.
func (l *line) cut(i, j int) line {
	c := line{text: l.text[i:j], pos: l.at(i), from: l.from}
	if l.cols != nil {
		c.cols = l.cols[i:j]
	}
	return c
}

// trim takes white space from both ends.
func (l *line) trim() {
	i, j := 0, len(l.text)
	for i < j && isSpace(l.text[i]) {
		i++
	}
	for j > i && isSpace(l.text[j-1]) {
		j--
	}
	l.keep(i, j)
}

// keep makes the line its own part from i to j.
func (l *line) keep(i, j int) {
	if i > 0 {
		l.pos = l.at(i)
	}
	l.text = l.text[i:j]
	if l.cols != nil {
		l.cols = l.cols[i:j]
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// source is something that lines are read from: a file, the body of a
// definition, or a line that is repeated.
type source interface {
	// next fills in the next line.
	next(*line) bool
	// directory is where relative includes start and what ${_PWD} gives;
	// empty: that of the source below.
	directory() string
}

// fileSource gives the physical lines of one file.
type fileSource struct {
	name  string // as printed
	dir   string
	rest  string
	n     int
	from  *frame
	check includeCheck // what held when the file was opened, restored at its end
}

func (f *fileSource) directory() string { return f.dir }

func (f *fileSource) next(l *line) bool {
	if f.rest == "" {
		return false
	}
	text := f.rest
	n, has := classify(text)
	if n < len(text) {
		f.rest = text[n+1:]
	} else {
		f.rest = ""
	}
	f.n++
	l.text, l.cols, l.from, l.has = strings.TrimSuffix(text[:n], "\r"), nil, f.from, has
	l.pos.File, l.pos.Line, l.pos.Col = f.name, f.n, 1
	return true
}

// bodySource gives the lines of a definition. Their places are those of the
// definition; the frame tells where it was used.
type bodySource struct {
	lines []line
	from  *frame
}

func (b *bodySource) directory() string { return "" }

func (b *bodySource) next(l *line) bool {
	if len(b.lines) == 0 {
		return false
	}
	*l = b.lines[0]
	b.lines = b.lines[1:]
	l.from, l.has = b.from, 0
	return true
}

// readFile reads a whole file, bounded, and refuses what is not text.
func readFile(fsys fs.FS, name string, limit int) (string, error) {
	f, err := fsys.Open(fsPath(name))
	if err != nil {
		return "", cause(err)
	}
	defer f.Close()
	var data strings.Builder
	if st, err := f.Stat(); err == nil {
		if st.IsDir() {
			return "", errors.New("it is a directory; expected a file")
		}
		data.Grow(int(min(max(st.Size(), 0), int64(limit))) + 1)
	}
	if _, err := io.Copy(&data, io.LimitReader(f, int64(limit)+1)); err != nil {
		return "", cause(err)
	}
	if data.Len() > limit {
		return "", fmt.Errorf("it is larger than %d bytes, the limit for all input together", limit)
	}
	if isBinary(data.String()) {
		return "", errors.New("it is a binary file; expected text in the language of keepalived.conf")
	}
	return data.String(), nil
}

// cause takes operation and path away from an error: the position has them.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// isBinary tells files that nobody wrote as text, such as a program or a
// compressed file, from a text with a stray NUL.
func isBinary(data string) bool {
	const sample = 4096
	if len(data) > sample {
		data = data[:sample]
	}
	nul, odd := 0, 0
	for i := range len(data) {
		switch c := data[i]; {
		case c == 0:
			nul++
		case c < ' ' && !isSpace(c) && c != 0x1b, c == 0x7f:
			odd++
		}
	}
	return nul > 0 && (nul+odd)*20 > len(data) || odd*10 > len(data)
}

// fsPath turns a path of the host into one of an fs.FS rooted at "/".
func fsPath(name string) string {
	p := path.Clean(strings.TrimLeft(name, "/"))
	if p == "" {
		return "."
	}
	return p
}
