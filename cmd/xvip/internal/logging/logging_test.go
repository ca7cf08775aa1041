package logging

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLinesForSyslogCarryNeitherTimeNorLevel(t *testing.T) {
	var got []string
	h := newLineHandler(slog.LevelInfo, func(l slog.Level, line string) error {
		got = append(got, l.String()+"|"+line)
		return nil
	})
	log := slog.New(h).With("instance", "VI_1")
	log.Warn("peer is gone", "vrid", 51)
	log.Debug("not shown")
	want := "WARN|peer is gone instance=VI_1 vrid=51"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryLogGetsTheRecordAndAMissingOneIsTold(t *testing.T) {
	var console bytes.Buffer
	file := filepath.Join(t.TempDir(), "xvip.log")
	log, err := New(Options{Console: &console, File: file})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("started", "version", "test")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"console": console.String(), "file": string(b)} {
		if !strings.Contains(text, "started") || !strings.Contains(text, "version=test") {
			t.Errorf("%s lacks the record: %q", name, text)
		}
	}
	console.Reset()
	if _, err = New(Options{Console: &console, File: "/nowhere/x.log"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(console.String(), "/nowhere/x.log") {
		t.Errorf("a log file that cannot be opened is not told: %q", console.String())
	}
}

func TestFacility(t *testing.T) {
	for _, good := range []string{"", "0", "local7", "LOCAL3", "daemon", "user"} {
		if _, err := parseFacility(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"8", "local9", "mail!"} {
		if _, err := parseFacility(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
