package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/selvagetest"
)

func token(t *testing.T, user, secret string, life time.Duration) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user, "exp": time.Now().Add(life).Unix()}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The API alone: no JavaScript, no process, no socket.
func TestAPI(t *testing.T) {
	t.Parallel()
	p := selvagetest.New(t, selvage.Worker("api", newAPI, selvage.WithCron("*/5 * * * *")))
	ask := func(method, path, user, body string) selvagetest.Response {
		t.Helper()
		r, err := http.NewRequest(method, "http://api.localhost"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-User", user)
		return p.Do(r)
	}
	if got := ask("POST", "/notes", "alice", `{"text":"a"}`); got.StatusCode != http.StatusCreated || !strings.HasPrefix(got.Text, `{"id":1,"text":"a","created":"2`) {
		t.Errorf("%d %s", got.StatusCode, got.Text)
	}
	ask("POST", "/notes", "bob", `{"text":"b"}`)
	if got := ask("GET", "/notes", "alice", ""); strings.Contains(got.Text, `"b"`) || !strings.Contains(got.Text, `"a"`) {
		t.Errorf("alice's notes: %s", got.Text)
	}
	if got := ask("POST", "/notes", "alice", "nonsense"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", got.StatusCode)
	}
	if got := ask("GET", "/stats", "alice", ""); got.StatusCode != http.StatusNotFound {
		t.Errorf("before the first tick: %d", got.StatusCode)
	}
	p.Advance(5 * time.Minute)
	if got, want := ask("GET", "/stats", "alice", "").Text, "{\"notes\":2,\"users\":2,\"at\":\"2026-01-01T12:05:00Z\"}\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := ask("DELETE", "/notes/1", "bob", ""); got.StatusCode != http.StatusNoContent {
		t.Errorf("%d", got.StatusCode)
	}
	if got := ask("GET", "/notes", "alice", ""); !strings.Contains(got.Text, `"a"`) {
		t.Errorf("bob deleted alice's note: %s", got.Text)
	}
}

// The binary, as the README runs it: the gateway in front, over a port.
func TestProgram(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- selvage.Run(ctx, []string{"dev", "--port", "0", "--ip", "127.0.0.1", "--data", t.TempDir()}, nil, writer, &stderr, workers()...)
		writer.Close()
	}()
	out := bufio.NewReader(reader)
	line, err := out.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "Ready on ")
	if !ok {
		t.Fatalf("%q %v %d %s", line, err, <-ended, &stderr)
	}
	go io.Copy(io.Discard, out)
	ask := func(method, path, token, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		r.Header.Set("X-User", "mallory") // not for the client to say
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	alice := token(t, "alice", devSecret, time.Hour)
	unsigned := alice[:strings.LastIndex(alice, ".")+1]
	for name, bad := range map[string]string{
		"none": "", "not a token": "x", "another key": token(t, "alice", "guess", time.Hour),
		"expired": token(t, "alice", devSecret, -time.Minute), "unsigned": unsigned,
	} {
		if status, text := ask("GET", "/api/notes", bad, ""); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text := ask("POST", "/api/notes", alice, `{"text":"water the plants"}`); status != http.StatusCreated || !strings.HasPrefix(text, `{"id":1,`) {
		t.Errorf("add: %d %s", status, text)
	}
	if status, text := ask("GET", "/api/notes", alice, ""); status != http.StatusOK || !strings.Contains(text, "water the plants") {
		t.Errorf("list: %d %s", status, text)
	}
	if status, text := ask("GET", "/api/notes", token(t, "bob", devSecret, time.Hour), ""); status != http.StatusOK || text != "[]\n" {
		t.Errorf("bob's list: %d %s", status, text)
	}
	// Whoever could ask the API itself could say who he is.
	r, _ := http.NewRequest(http.MethodGet, url+"/notes", nil)
	r.Host = "api.localhost"
	r.Header.Set("X-User", "alice")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); strings.Contains(string(text), "water") {
		t.Errorf("past the gateway: %d %s", res.StatusCode, text)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d: %s", code, fmt.Sprint(&stderr))
	}
}
