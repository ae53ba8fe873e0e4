// Package chromium is a headless Chromium for tests of pages.
package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/selvage-edge/selvage/internal/poll"
)

// Browser is a headless Chromium. Of its protocol we need one command, and no
// library.
//
// Source: https://chromedevtools.github.io/devtools-protocol/
type Browser struct{ address string }

// Start starts a browser that ends with the test. Without one the test is skipped;
// in CI it fails.
func Start(t *testing.T) *Browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	switch {
	case program == "" && os.Getenv("CI") != "":
		t.Fatal("chromium is missing, and CI must install it")
	case program == "":
		t.Skip("chromium is not installed")
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-timer-throttling", "--no-first-run", "--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if _, rest, ok := strings.Cut(lines.Text(), "DevTools listening on ws://"); ok {
			address, _, _ := strings.Cut(rest, "/")
			go func() {
				for lines.Scan() {
				}
			}()
			return &Browser{address}
		}
	}
	t.Fatalf("%s ended:\n%s", program, &said)
	return nil
}

// Page is a tab.
type Page struct {
	conn *websocket.Conn
	id   int
}

// Open opens a URL in a new tab.
func (b *Browser) Open(t *testing.T, target string) *Page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+b.address+"/json/new?"+url.QueryEscape(target), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var tab struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(response.Body).Decode(&tab); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(t.Context(), tab.WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	return &Page{conn: conn}
}

// Eval gives the value of an expression in the page, or of its promise, as text.
func (p *Page) Eval(t *testing.T, expression string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	p.id++
	err := wsjson.Write(ctx, p.conn, map[string]any{"id": p.id, "method": "Runtime.evaluate",
		"params": map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}})
	for err == nil {
		var answer struct {
			ID     int
			Error  any
			Result struct {
				Result           struct{ Value any }
				ExceptionDetails any
			}
		}
		if err = wsjson.Read(ctx, p.conn, &answer); err != nil || answer.ID != p.id {
			continue
		}
		if answer.Error != nil || answer.Result.ExceptionDetails != nil {
			t.Fatalf("%s: %v %v", expression, answer.Error, answer.Result.ExceptionDetails)
		}
		return fmt.Sprint(answer.Result.Result.Value)
	}
	t.Fatalf("%s: %v", expression, err)
	return ""
}

// Shows waits until a text stands so many times in an element.
func (p *Page) Shows(t *testing.T, selector, want string, times int) {
	t.Helper()
	var text string
	ok := poll.Within(2*poll.Patience, func() bool {
		text = p.Eval(t, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
		return strings.Count(text, want) == times
	})
	if !ok {
		t.Fatalf("%s shows %q, want %q %d times", selector, text, want, times)
	}
}
