// Package logging joins the places a daemon logs to: the console, a file, and
// the journal or syslog.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
)

// Options says where to log and how much.
type Options struct {
	Console  io.Writer // nil: not there
	File     string
	Syslog   bool   // the journal where there is one, else syslog
	Facility string // syslog facility: 0-7 or a name; empty is daemon
	Level    slog.Level
}

// New opens what opt names. A log that cannot be opened is told on the others
// (a daemon does not end for want of syslog); only a wrong facility is an error.
func New(opt Options) (*slog.Logger, error) {
	facility, err := parseFacility(opt.Facility)
	if err != nil {
		return nil, err
	}
	var all fanout
	var problems []error
	level := &slog.HandlerOptions{Level: opt.Level}
	if opt.Console != nil {
		all = append(all, slog.NewTextHandler(opt.Console, level))
	}
	if opt.File != "" {
		f, err := os.OpenFile(opt.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			problems = append(problems, fmt.Errorf("open log file: %w", err))
		} else {
			all = append(all, slog.NewTextHandler(f, level))
		}
	}
	if opt.Syslog {
		h, err := systemHandler(facility, opt.Level)
		if err != nil {
			problems = append(problems, err)
		} else {
			all = append(all, h)
		}
	}
	log := slog.New(all)
	for _, p := range problems {
		log.Warn("a log is not available", "err", p)
	}
	return log, nil
}

func systemHandler(facility syslog.Priority, level slog.Level) (slog.Handler, error) {
	if journal.Enabled() {
		return newLineHandler(level, sendJournal), nil
	}
	w, err := syslog.New(facility|syslog.LOG_INFO, "xvip")
	if err != nil {
		return nil, fmt.Errorf("connect to syslog: %w", err)
	}
	return newLineHandler(level, func(l slog.Level, line string) error { return sendSyslog(w, l, line) }), nil
}

func sendJournal(l slog.Level, line string) error {
	p := journal.PriInfo
	switch {
	case l >= slog.LevelError:
		p = journal.PriErr
	case l >= slog.LevelWarn:
		p = journal.PriWarning
	case l < slog.LevelInfo:
		p = journal.PriDebug
	}
	return journal.Send(line, p, map[string]string{"SYSLOG_IDENTIFIER": "xvip"})
}

func sendSyslog(w *syslog.Writer, l slog.Level, line string) error {
	switch {
	case l >= slog.LevelError:
		return w.Err(line)
	case l >= slog.LevelWarn:
		return w.Warning(line)
	case l < slog.LevelInfo:
		return w.Debug(line)
	}
	return w.Info(line)
}

var facilities = map[string]syslog.Priority{
	"": syslog.LOG_DAEMON, "daemon": syslog.LOG_DAEMON, "user": syslog.LOG_USER,
	"0": syslog.LOG_LOCAL0, "1": syslog.LOG_LOCAL1, "2": syslog.LOG_LOCAL2, "3": syslog.LOG_LOCAL3,
	"4": syslog.LOG_LOCAL4, "5": syslog.LOG_LOCAL5, "6": syslog.LOG_LOCAL6, "7": syslog.LOG_LOCAL7,
}

func parseFacility(s string) (syslog.Priority, error) {
	p, ok := facilities[strings.TrimPrefix(strings.ToLower(s), "local")]
	if !ok {
		return 0, fmt.Errorf("log facility %q: want 0 to 7, local0 to local7, user or daemon", s)
	}
	return p, nil
}

// fanout hands every record to all its handlers.
type fanout []slog.Handler

func (f fanout) Enabled(ctx context.Context, l slog.Level) bool {
	for _, h := range f {
		if h.Enabled(ctx, l) {
			return true
		}
	}
	return false
}

func (f fanout) Handle(ctx context.Context, r slog.Record) error {
	for _, h := range f {
		if h.Enabled(ctx, r.Level) {
			// One log that fails must not silence the others, and there is nowhere better to say so.
			_ = h.Handle(ctx, r.Clone())
		}
	}
	return nil
}

func (f fanout) WithAttrs(a []slog.Attr) slog.Handler {
	out := make(fanout, len(f))
	for i, h := range f {
		out[i] = h.WithAttrs(a)
	}
	return out
}

func (f fanout) WithGroup(name string) slog.Handler {
	out := make(fanout, len(f))
	for i, h := range f {
		out[i] = h.WithGroup(name)
	}
	return out
}

// lineHandler renders a record as one line without time and level, which the
// journal and syslog add themselves.
type lineHandler struct {
	slog.Handler
	buf  *bytes.Buffer
	mu   *sync.Mutex
	send func(slog.Level, string) error
}

func newLineHandler(level slog.Level, send func(slog.Level, string) error) slog.Handler {
	buf := &bytes.Buffer{}
	text := slog.NewTextHandler(buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})
	return &lineHandler{Handler: text, buf: buf, mu: &sync.Mutex{}, send: send}
}

func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	line := strings.TrimSpace(r.Message + " " + strings.TrimSpace(h.buf.String()))
	return h.send(r.Level, line)
}

func (h *lineHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return &lineHandler{Handler: h.Handler.WithAttrs(a), buf: h.buf, mu: h.mu, send: h.send}
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{Handler: h.Handler.WithGroup(name), buf: h.buf, mu: h.mu, send: h.send}
}

// ParseLevel reads debug, info, warn or error; empty is info.
func ParseLevel(s string) (slog.Level, error) {
	if s == "" {
		return slog.LevelInfo, nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("log level %q: want debug, info, warn or error", s)
	}
	return l, nil
}
