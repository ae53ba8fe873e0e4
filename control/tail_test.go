package control

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/telemetry"
)

// tailClient speaks as wrangler does: no token, and a first frame without mask.
type tailClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (b *bench) startTail(body string) (id, url string) {
	b.t.Helper()
	status, _, answer := b.do("POST", "{W}/tails", "text/plain;charset=UTF-8", body)
	var e struct {
		Result struct{ ID, URL string }
	}
	if err := json.Unmarshal([]byte(answer), &e); err != nil || status != 200 {
		b.t.Fatalf("start tail: %d %s", status, answer)
	}
	return e.Result.ID, e.Result.URL
}

func dialTail(t *testing.T, url string, protocol string) (*tailClient, *http.Response) {
	t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "ws://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "GET /"+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "+protocol+"\r\n\r\n")
	c := &tailClient{t, conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

func (c *tailClient) send(op byte, payload string) {
	c.t.Helper()
	if _, err := c.conn.Write(appendFrame(nil, op, []byte(payload))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *tailClient) receive() frame {
	c.t.Helper()
	f, err := readFrame(c.in)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func TestTail(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	id, url := b.startTail(`{"filters":[{"outcome":["exception"]}]}`)
	c, resp := dialTail(t, url, "trace-v1")
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Protocol") != "trace-v1" || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("handshake: %+v", resp)
	}
	c.send(opText, `{"debug":false}`)
	c.send(opPing, "wrangler tail ping")
	if f := c.receive(); f.op != opPong || string(f.payload) != "wrangler tail ping" {
		t.Errorf("pong is %x %q", f.op, f.payload)
	}
	emit := <-b.tail
	emit(telemetry.Invocation{ScriptName: "api", Outcome: "ok"})
	emit(telemetry.Invocation{ScriptName: "api", Outcome: "exception", Event: json.RawMessage(`{"cron":"* * * * *"}`)})
	f := c.receive()
	var event map[string]json.RawMessage
	if err := json.Unmarshal(f.payload, &event); err != nil || f.op != opText {
		t.Fatalf("message %x %s: %v", f.op, f.payload, err)
	}
	if string(event["outcome"]) != `"exception"` || string(event["logs"]) != "[]" || string(event["exceptions"]) != "[]" {
		t.Errorf("message is %s", f.payload)
	}
	// The URL is good for one client.
	if _, resp := dialTail(t, url, "trace-v1"); resp.StatusCode != 404 {
		t.Errorf("a second client got %d", resp.StatusCode)
	}
	if status, _, body := b.do("DELETE", "{W}/tails/"+id, "", ""); status != 200 {
		t.Errorf("delete: %d %s", status, body)
	}
	if f := c.receive(); f.op != opClose || binary.BigEndian.Uint16(f.payload) != 1000 {
		t.Errorf("goodbye is %x %q", f.op, f.payload)
	}
}

func TestTailEndsWithItsToken(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	admin := b.token
	var err error
	if b.token, err = b.auth.Create(t.Context(), "tailer", []string{"workers_tail:read"}, 0); err != nil {
		t.Fatal(err)
	}
	_, url := b.startTail("")
	b.token = admin
	c, _ := dialTail(t, url, "trace-v1")
	emit := <-b.tail
	emit(telemetry.Invocation{ScriptName: "api", Outcome: "ok"})
	if f := c.receive(); f.op != opText {
		t.Fatalf("frame %x %q", f.op, f.payload)
	}
	if err := b.auth.Revoke(t.Context(), "tailer"); err != nil {
		t.Fatal(err)
	}
	emit(telemetry.Invocation{ScriptName: "api", Outcome: "ok"})
	if f := c.receive(); f.op != opClose || binary.BigEndian.Uint16(f.payload) != 1008 {
		t.Errorf("after the token was revoked: frame %x %q, want a goodbye with 1008", f.op, f.payload)
	}
}

func TestTailTellsOfWhatItLeavesOut(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	_, url := b.startTail("")
	c, _ := dialTail(t, url, "trace-v1")
	emit := <-b.tail
	go func() {
		for range 5000 * tailBuffer / 1000 {
			emit(telemetry.Invocation{ScriptName: "api", Outcome: "ok", Event: json.RawMessage(`"` + strings.Repeat("x", 8<<10) + `"`)})
		}
	}()
	for {
		if f := c.receive(); bytes.Contains(f.payload, []byte(`"type":"overload"`)) {
			return
		}
	}
}

func TestTailRefuses(t *testing.T) {
	b := newBench(t)
	if status, _, body := b.do("POST", "{W}/tails", "", `{}`); status != 404 || !strings.Contains(body, "10007") {
		t.Errorf("no such Worker: %d %s", status, body)
	}
	b.upload(plainUpload, "export default {}")
	for _, filter := range []string{`{"sampling_rate":0}`, `{"sampling_rate":2}`, `{"header":{}}`, `{"client_ip":["nobody"]}`, `{"outcome":"ok"}`} {
		if status, _, body := b.do("POST", "{W}/tails", "", `{"filters":[`+filter+`]}`); status != 400 {
			t.Errorf("filter %s: %d %s", filter, status, body)
		}
	}
	_, url := b.startTail(`{}`)
	if _, resp := dialTail(t, url, "chat"); resp.StatusCode != 400 {
		t.Errorf("another subprotocol: %d", resp.StatusCode)
	}
	for range MaxTails {
		b.startTail("")
	}
	if status, _, _ := b.do("POST", "{W}/tails", "", ""); status != http.StatusTooManyRequests {
		t.Errorf("too many tails: %d", status)
	}
}

func TestTailFilters(t *testing.T) {
	request := telemetry.Invocation{
		Outcome: "ok", ScriptVersion: &telemetry.ScriptVersion{ID: "v1"},
		Event: json.RawMessage(`{"request":{"method":"POST","url":"https://a/","headers":{"x-user":"ann","cf-connecting-ip":"192.0.2.7"}}}`),
		Logs:  []telemetry.Log{{Message: json.RawMessage(`["hello",{"n":1}]`)}},
	}
	cron := telemetry.Invocation{Outcome: "exception", Event: json.RawMessage(`{"cron":"* * * * *","scheduledTime":1}`)}
	for _, c := range []struct {
		filters       string
		request, cron bool
	}{
		{`[]`, true, true},
		{`[{"sampling_rate":1}]`, true, true},
		{`[{"outcome":["ok","canceled"]}]`, true, false},
		{`[{"outcome":["exception"]}]`, false, true},
		{`[{"method":["post"]}]`, true, false},
		{`[{"method":["GET"]}]`, false, false},
		{`[{"header":{"key":"X-User"}}]`, true, false},
		{`[{"header":{"key":"X-User","query":"an"}}]`, true, false},
		{`[{"header":{"key":"X-User","query":"bob"}}]`, false, false},
		{`[{"client_ip":["192.0.2.7"]}]`, true, false},
		{`[{"client_ip":["::ffff:192.0.2.7"]}]`, true, false},
		{`[{"client_ip":["self"]}]`, true, false},
		{`[{"client_ip":["192.0.2.8"]}]`, false, false},
		{`[{"query":"hello"}]`, true, false},
		{`[{"scriptVersion":"v1"}]`, true, false},
		{`[{"outcome":["ok"]},{"method":["GET"]}]`, false, false}, // all must match
	} {
		var f filters
		if err := json.Unmarshal([]byte(c.filters), &f); err != nil {
			t.Fatal(err)
		}
		if err := f.check(netip.MustParseAddr("192.0.2.7")); err != nil {
			t.Fatal(err)
		}
		if got := f.match(&request); got != c.request {
			t.Errorf("%s on a request: %v", c.filters, got)
		}
		if got := f.match(&cron); got != c.cron {
			t.Errorf("%s on a cron: %v", c.filters, got)
		}
	}
}

func FuzzTailFilters(f *testing.F) {
	f.Add([]byte(`[{"sampling_rate":0.5},{"outcome":["ok"]},{"client_ip":["self","1.2.3.4"]}]`), []byte(`{"request":{"method":"GET","headers":{"a":"b"}}}`))
	f.Add([]byte(`[{"header":{"key":"a","query":"b"}},{"method":["GET"]},{"query":"x"}]`), []byte(`{"cron":"* * * * *"}`))
	f.Fuzz(func(t *testing.T, text, event []byte) {
		var list filters
		if json.Unmarshal(text, &list) != nil || list.check(netip.MustParseAddr("192.0.2.7")) != nil {
			return
		}
		i := telemetry.Invocation{Outcome: "ok", Event: event}
		list.match(&i)
		if !json.Valid(eventJSON(i)) {
			t.Error("the event of a tail is not JSON")
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, opText, []byte(`{"debug":false}`)))
	f.Add(appendFrame(nil, opPing, []byte("wrangler tail ping")))
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{0x89, 0xfe, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(appendFrame(nil, got.op, got.payload))))
		if err != nil || again.op != got.op || !bytes.Equal(again.payload, got.payload) {
			t.Errorf("frame %x %q becomes %x %q, %v", got.op, got.payload, again.op, again.payload, err)
		}
	})
}
