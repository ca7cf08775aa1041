package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFramesCutShortAreSaidAndThoseBeforeAreGiven(t *testing.T) {
	want := []Frame{{Ready, []byte("6.1.0")}, {Output, []byte("\x00\xff\n")}, {File, []byte("/a\x00b")}, {Exit, []byte{0, 0, 0, 7}}}
	var line bytes.Buffer
	for _, f := range want {
		if err := Write(&line, f); err != nil {
			t.Fatal(err)
		}
	}
	whole := line.Bytes()
	got, err := ReadAll(bytes.NewReader(whole))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	for cut := len(whole) - headerLen - 3; cut < len(whole); cut++ {
		got, err := ReadAll(bytes.NewReader(whole[:cut]))
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != len(want)-1 {
			t.Errorf("cut at %d of %d: %d frames, %v", cut, len(whole), len(got), err)
		}
	}
}

func FuzzReadAll(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x01a"))
	f.Add([]byte("x\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := ReadAll(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, fr := range frames {
			if err := Write(&again, fr); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again.Bytes(), data) {
			t.Errorf("%q became %q", data, again.Bytes())
		}
	})
}
