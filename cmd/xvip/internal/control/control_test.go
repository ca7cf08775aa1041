package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func serve(t *testing.T, path string) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Status{Version: "v1"})
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var m map[string]string
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, "request is no JSON object: "+err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(m)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, mux, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestSocketIsPrivateAndAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "xvip.sock")
	serve(t, path)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, err %v, want 0600", st.Mode(), err)
	}
	var got Status
	if err := NewClient(path).Get(context.Background(), "status", &got); err != nil || got.Version != "v1" {
		t.Fatalf("got %+v, %v", got, err)
	}
	var echo map[string]string
	if err := NewClient(path).Post(context.Background(), "echo", map[string]string{"a": "b"}, &echo); err != nil || echo["a"] != "b" {
		t.Fatalf("got %v, %v", echo, err)
	}
}

func TestErrorsNameTheSocketAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "xvip.sock")
	err := NewClient(path).Get(context.Background(), "status", nil)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is xvip running") {
		t.Errorf("no daemon: %v", err)
	}
	serve(t, path)
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("second daemon: %v", err)
	}
	err = NewClient(path).Post(context.Background(), "echo", []int{1}, nil)
	if err == nil || !strings.Contains(err.Error(), "no JSON object") {
		t.Errorf("bad request: %v", err)
	}
	big := strings.Repeat("x", maxRequest+1)
	if err := NewClient(path).Post(context.Background(), "echo", map[string]string{"a": big}, nil); err == nil {
		t.Error("a request over the bound is accepted")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a plain file is replaced")
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("a plain file was touched")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "xvip.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	serve(t, path)
}
