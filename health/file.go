package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// FileConfig is a FILE_CHECK.
type FileConfig struct {
	Path    string // of the track_file
	Weight  int    // multiplies the value in the file; with 0 any value but 0 is down
	Reverse bool   // turns the sign (with Weight 0: the meaning) round
}

// FilePoll is the DelayLoop to give a FILE_CHECK: keepalived hears of changes
// at once, and a small file is cheap to read.
const FilePoll = 250 * time.Millisecond

// File is FILE_CHECK: the number in a file, which some other program writes, is
// an offset to the weight of the real server or takes it down.
type File struct{ config FileConfig }

// NewFile returns a FILE_CHECK.
func NewFile(c FileConfig) *File { return &File{c} }

// Check reads the file. A file that is missing, or holds no number, counts as 0.
func (f *File) Check(context.Context) Result {
	value, note, err := f.read()
	if err != nil {
		r := failure(err)
		if r.Inconclusive {
			return r
		}
		note = ": " + err.Error()
	}
	r := f.judge(value)
	r.Reason += note
	return r
}

// read returns the value, and a note when the content stands for 0.
func (f *File) read() (value int64, note string, err error) {
	// Without O_NONBLOCK opening a pipe would wait for its writer.
	file, err := os.OpenFile(f.config.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, "", errors.Join(err, &fs.PathError{Op: "read", Path: f.config.Path, Err: errors.New("not a regular file")})
	}
	content, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return 0, "", err
	}
	text := strings.TrimSpace(string(content))
	value, err = strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return value, "", nil // the nearest number there is
	}
	if err != nil {
		return 0, fmt.Sprintf(": %s holds no number: %.20q", f.config.Path, text), nil
	}
	return value, "", nil
}

// judge turns a value into a verdict and an offset.
func (f *File) judge(value int64) Result {
	r := Result{OK: true, Reason: fmt.Sprintf("value %d", value)}
	if f.config.Weight == 0 {
		r.OK = (value == 0) != f.config.Reverse
		return r
	}
	// Both are cut to 32 bits, as keepalived's range is, so that the product
	// cannot overflow.
	product := clamp32(value) * clamp32(int64(f.config.Weight))
	if f.config.Reverse {
		product = -product
	}
	r.HasWeight, r.Weight = true, int(clamp32(product))
	r.OK = product > math.MinInt32
	return r
}

func clamp32(v int64) int64 { return max(math.MinInt32, min(math.MaxInt32, v)) }

func (f *File) String() string { return "FILE_CHECK " + f.config.Path }
