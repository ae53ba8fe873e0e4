package email

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message"
	mailmessage "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
	"github.com/selvage-edge/selvage/mail"
)

// kept is a mail.Sender that keeps what it is given.
type kept struct {
	mu       sync.Mutex
	messages []mail.Message
	err      error
}

func (k *kept) Send(_ context.Context, m mail.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.messages = append(k.messages, m)
	return nil
}

// last takes the message that was sent last, nil without one.
func (k *kept) last() *mail.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.messages) == 0 {
		return nil
	}
	m := k.messages[len(k.messages)-1]
	k.messages = nil
	return &m
}

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func open(t *testing.T, out mail.Sender) *Kind {
	t.Helper()
	k := &Kind{}
	if err := k.Open(binding.Home{Mail: out, Now: noon, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	return k
}

func sender(t *testing.T, out mail.Sender, settings string) *Sender {
	t.Helper()
	var s *Sender
	if err := open(t, out).Bind(config.Binding{Name: "EMAIL", Type: "send_email", Raw: json.RawMessage(settings)}, binding.Host{}, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// letter is the least that can be sent.
func letter() Message {
	return Message{From: Address{Email: "a@example.com"}, To: []Address{{Email: "b@example.com"}}, Subject: "x", Text: "hello"}
}

func TestComposed(t *testing.T) {
	var out kept
	m := Message{
		From: Address{Name: `Anna "A" Ünal`, Email: "a@example.com"}, To: []Address{{Name: "B, the second", Email: "b@example.com"}},
		Cc: []Address{{Email: "c@example.com"}}, Bcc: []Address{{Email: "d@example.com"}, {Email: "b@example.com"}}, ReplyTo: &Address{Email: "r@example.com"},
		Subject: "Grüße aus Köln", Text: "plain\n.\nend", HTML: `<img src="cid:logo">`,
		Headers: map[string]string{"x-campaign": "größte", "in-reply-to": "<1@example.com>"},
		Attachments: []Attachment{
			{Filename: "logo.png", Type: "image/png", Inline: true, ContentID: "logo", Content: []byte{0, 1, 2}},
			{Filename: "größe.csv", Type: "text/csv", Content: []byte("a,b\r\n")},
		},
	}
	id, err := sender(t, &out, `{}`).Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	sent := out.last()
	if got := sent.From + " > " + strings.Join(sent.To, " "); got != "a@example.com > b@example.com c@example.com d@example.com" {
		t.Errorf("envelope %s", got)
	}
	if strings.Contains(string(sent.Data), "d@example.com") {
		t.Error("the message names who is in bcc")
	}
	e, err := message.Read(strings.NewReader(string(sent.Data)))
	if err != nil {
		t.Fatal(err)
	}
	h := mailmessage.Header{Header: e.Header}
	for name, want := range map[string]string{
		"Subject": "Grüße aus Köln", "X-Campaign": "größte", "In-Reply-To": "<1@example.com>", "Message-Id": id,
		"Date": "Fri, 02 Jan 2026 12:00:00 +0000", "Mime-Version": "1.0", "Reply-To": "<r@example.com>", "Bcc": "",
	} {
		if got, err := h.Text(name); got != want || err != nil {
			t.Errorf("%s: %q, want %q (%v)", name, got, want, err)
		}
	}
	for name, want := range map[string]mailmessage.Address{
		"From": {Name: `Anna "A" Ünal`, Address: "a@example.com"}, "To": {Name: "B, the second", Address: "b@example.com"}, "Cc": {Address: "c@example.com"},
	} {
		if list, err := h.AddressList(name); err != nil || len(list) != 1 || *list[0] != want {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	const want = `multipart/mixed
 multipart/alternative
  text/plain utf-8 "plain\r\n.\r\nend"
  multipart/related
   text/html utf-8 "<img src=\"cid:logo\">"
   image/png inline logo.png <logo> "\u0000\u0001\u0002"
 text/csv attachment größe.csv "a,b\r\n"
`
	if got := outline(t, e, ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// outline is the tree of a message.
func outline(t *testing.T, e *message.Entity, indent string) string {
	t.Helper()
	typ, params, _ := e.Header.ContentType()
	text := indent + typ
	if parts := e.MultipartReader(); parts != nil {
		text += "\n"
		for {
			part, err := parts.NextPart()
			if err == io.EOF {
				return text
			}
			if err != nil {
				t.Fatal(err)
			}
			text += outline(t, part, indent+" ")
		}
	}
	if params["charset"] != "" {
		text += " " + params["charset"]
	}
	if disposition, p, err := e.Header.ContentDisposition(); err == nil {
		text += " " + disposition + " " + p["filename"]
	}
	if id := e.Header.Get("Content-Id"); id != "" {
		text += " " + id
	}
	body, err := io.ReadAll(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	quoted, _ := json.Marshal(string(body))
	return text + " " + strings.ReplaceAll(strings.ReplaceAll(string(quoted), `\u003c`, "<"), `\u003e`, ">") + "\n"
}

func TestRefused(t *testing.T) {
	many := func(n int) (list []Address) {
		for range n {
			list = append(list, Address{Email: "b@example.com"})
		}
		return list
	}
	for name, c := range map[string]struct {
		settings string
		change   func(*Message)
		code     string
		text     string
	}{
		"another recipient":   {`{"destination_address":"b@example.com"}`, func(m *Message) { m.To[0].Email = "x@example.com" }, "E_RECIPIENT_NOT_ALLOWED", "email to x@example.com not allowed"},
		"none of the list":    {`{"allowed_destination_addresses":["b@example.com"]}`, func(m *Message) { m.To[0].Email = "x@example.com" }, "E_RECIPIENT_NOT_ALLOWED", "email to x@example.com not allowed"},
		"in cc":               {`{"allowed_destination_addresses":["b@example.com"]}`, func(m *Message) { m.Cc = []Address{{Email: "x@example.com"}} }, "E_RECIPIENT_NOT_ALLOWED", "email to x@example.com not allowed"},
		"in bcc":              {`{"destination_address":"b@example.com"}`, func(m *Message) { m.Bcc = []Address{{Email: "x@example.com"}} }, "E_RECIPIENT_NOT_ALLOWED", "email to x@example.com not allowed"},
		"an empty list":       {`{"allowed_destination_addresses":[]}`, func(m *Message) {}, "E_RECIPIENT_NOT_ALLOWED", "email to b@example.com not allowed"},
		"another sender":      {`{"allowed_sender_addresses":["x@example.com"]}`, func(m *Message) {}, "E_SENDER_NOT_VERIFIED", "email from a@example.com not allowed"},
		"no sender":           {`{}`, func(m *Message) { m.From = Address{} }, "E_FIELD_MISSING", "from is missing"},
		"no recipient":        {`{}`, func(m *Message) { m.To = nil }, "E_FIELD_MISSING", "to is missing"},
		"no subject":          {`{}`, func(m *Message) { m.Subject = "" }, "E_FIELD_MISSING", "subject is missing"},
		"too many recipients": {`{}`, func(m *Message) { m.Bcc = many(50) }, "E_TOO_MANY_RECIPIENTS", "not 51"},
		"too many files":      {`{}`, func(m *Message) { m.Attachments = make([]Attachment, 33) }, "E_TOO_MANY_ATTACHMENTS", "not 33"},
		"too large":           {`{}`, func(m *Message) { m.Text = strings.Repeat("x", mail.MaxSize+1) }, "E_CONTENT_TOO_LARGE", "25 MiB"},
		"too large encoded":   {`{}`, func(m *Message) { m.Text = strings.Repeat("\x01", mail.MaxSize/2) }, "E_CONTENT_TOO_LARGE", "25 MiB"},

		"a line break in the subject":     {`{}`, func(m *Message) { m.Subject = "x\r\nBcc: x@example.com" }, "E_VALIDATION_ERROR", "subject"},
		"a line break in a name":          {`{}`, func(m *Message) { m.From.Name = "x\nBcc: x@example.com" }, "E_VALIDATION_ERROR", "from"},
		"a line break in an address":      {`{}`, func(m *Message) { m.To[0].Email = "b@example.com\r\nBcc: x@example.com" }, "E_VALIDATION_ERROR", "to"},
		"two addresses in one":            {`{}`, func(m *Message) { m.To[0].Email = "b@example.com, x@example.com" }, "E_VALIDATION_ERROR", "to"},
		"a name in an address":            {`{}`, func(m *Message) { m.Cc = []Address{{Email: "X <x@example.com>"}} }, "E_VALIDATION_ERROR", "cc"},
		"a line break in the file's name": {`{}`, func(m *Message) { m.Attachments = []Attachment{{Filename: "x\r\ny", Type: "a/b"}} }, "E_VALIDATION_ERROR", "filename"},
		"a line break in the file's type": {`{}`, func(m *Message) { m.Attachments = []Attachment{{Filename: "x", Type: "a/b\r\nX: y"}} }, "E_VALIDATION_ERROR", "type"},
		"a file that is a multipart":      {`{}`, func(m *Message) { m.Attachments = []Attachment{{Filename: "x", Type: "multipart/mixed"}} }, "E_VALIDATION_ERROR", "type"},
		"a line break in a Content-ID":    {`{}`, func(m *Message) { m.Attachments = []Attachment{{Filename: "x", Type: "a/b", ContentID: "x\r\ny"}} }, "E_VALIDATION_ERROR", "contentId"},
		"inline without Content-ID":       {`{}`, func(m *Message) { m.Attachments = []Attachment{{Filename: "x", Type: "a/b", Inline: true}} }, "E_VALIDATION_ERROR", "contentId"},
		"a line break in a header":        {`{}`, func(m *Message) { m.Headers = map[string]string{"X-A": "x\r\nBcc: x@example.com"} }, "E_HEADER_VALUE_INVALID", "X-A"},
	} {
		var out kept
		m := letter()
		c.change(&m)
		_, err := sender(t, &out, c.settings).Send(t.Context(), m)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s: %v, want %s %s", name, err, c.code, c.text)
		}
		if out.last() != nil {
			t.Errorf("%s: sent all the same", name)
		}
	}
}

func TestHeaders(t *testing.T) {
	for header, code := range map[string]string{
		"X-Campaign_ID: 1":                     "",
		"references: <a@x> <b@x>":              "",
		"List-Unsubscribe: <https://x.test/u>": "",
		"Date: now":                            "E_HEADER_NOT_ALLOWED",
		"Received: from x":                     "E_HEADER_NOT_ALLOWED",
		"DKIM-Signature: v=1":                  "E_HEADER_NOT_ALLOWED",
		"Content-Type: text/html":              "E_HEADER_NOT_ALLOWED",
		"No-Such: x":                           "E_HEADER_NOT_ALLOWED",
		"From: x@x.test":                       "E_HEADER_USE_API_FIELD",
		"BCC: x@x.test":                        "E_HEADER_USE_API_FIELD",
		"Bad Name: x":                          "E_HEADER_NAME_INVALID",
		"X-" + strings.Repeat("a", 99) + ": x": "E_HEADER_NAME_INVALID",
		"X-A:  ":                               "E_HEADER_VALUE_INVALID",
		"List-Unsubscribe: <http://x.test/u>":  "E_HEADER_VALUE_INVALID",
		"List-Unsubscribe-Post: yes":           "E_HEADER_VALUE_INVALID",
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click": "E_HEADER_VALUE_INVALID", // and no List-Unsubscribe
		"X-A: " + strings.Repeat("a", 2049):                 "E_HEADER_VALUE_TOO_LONG",
	} {
		name, value, _ := strings.Cut(header, ": ")
		err := checkHeaders(map[string]string{name: value})
		e, _ := errors.AsType[*Error](err)
		if (err == nil) != (code == "") || e != nil && e.Code != code {
			t.Errorf("%.60s: %v, want %s", header, err, code)
		}
	}
	large := map[string]string{}
	for _, c := range letters[:10] {
		large["X-"+string(c)] = strings.Repeat("a", 2000)
	}
	if e, ok := errors.AsType[*Error](checkHeaders(large)); !ok || e.Code != "E_HEADERS_TOO_LARGE" {
		t.Errorf("%v", e)
	}
}

func TestRaw(t *testing.T) {
	const whole = "From: A <a@example.com>\r\nTo: b@example.com\r\nMessage-ID: <mine@example.com>\r\nSubject: x\r\n\r\nhello\r\n"
	for name, c := range map[string]struct{ from, raw, want string }{
		"as it should be":       {"a@example.com", whole, ""},
		"with single newlines":  {"a@example.com", strings.ReplaceAll(whole, "\r\n", "\n"), ""},
		"no Message-ID":         {"a@example.com", "From: a@example.com\r\n\r\n", "invalid message-id"},
		"another From":          {"x@example.com", whole, "From: header does not match mail from"},
		"two From":              {"a@example.com", "From: x@example.com\r\n" + whole, "From: header does not match mail from"},
		"two senders":           {"a@example.com", strings.Replace(whole, "A <a@example.com>", "a@example.com, x@example.com", 1), "From: header does not match mail from"},
		"no From":               {"a@example.com", "Message-ID: <1@x>\r\n\r\n", "From: header does not match mail from"},
		"on its way already":    {"a@example.com", "Received: from x\r\n" + whole, "invalid headers set"},
		"no header":             {"a@example.com", "hello\r\n\r\n", "could not parse email"},
		"a sender with a break": {"a@example.com\r\nX: y", whole, "is not an e-mail address"},
	} {
		var out kept
		id, err := sender(t, &out, `{}`).SendRaw(t.Context(), c.from, "b@example.com", []byte(c.raw))
		sent := out.last()
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || sent != nil {
				t.Errorf("%s: %v, want %s; sent %v", name, err, c.want, sent != nil)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.Replace(whole, "<mine@example.com>", id, 1); !sameFields(string(sent.Data), want) {
			t.Errorf("%s: got %q, want %q", name, sent.Data, want)
		}
	}
}

// sameFields compares messages up to the order and the case of header fields.
func sameFields(a, b string) bool {
	ha, bodyA, _ := strings.Cut(a, "\r\n\r\n")
	hb, bodyB, _ := strings.Cut(b, "\r\n\r\n")
	fields := func(s string) string {
		list := strings.Split(strings.ToLower(s), "\r\n")
		slices.Sort(list)
		return strings.Join(list, "\n")
	}
	return bodyA == bodyB && fields(ha) == fields(hb)
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		out        mail.Sender
		code, text string
	}{
		{nil, "E_SENDER_DOMAIN_NOT_AVAILABLE", "set email.relay in selvage.toml"},
		{&kept{err: &mail.DomainError{Domain: "example.com"}}, "E_SENDER_DOMAIN_NOT_AVAILABLE", "email.domains"},
		{&kept{err: errors.New("dial tcp 10.0.0.1:25: connection refused")}, "E_DELIVERY_FAILED", "the server's log says why"},
	} {
		_, err := sender(t, c.out, `{}`).Send(t.Context(), letter())
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != c.code || !strings.Contains(e.Message, c.text) || strings.Contains(e.Message, "10.0.0.1") {
			t.Errorf("%v, want %s %s", err, c.code, c.text)
		}
	}
}

// Whatever a Worker sends, the message has the header fields that were asked for
// and no others.
func FuzzParts(f *testing.F) {
	for _, seed := range []string{
		`{"from":"a@x.test","to":"b@x.test","subject":"x","text":"y"}`,
		`{"from":{"email":"a@x.test","name":"A\r\nB: c"},"to":["b@x.test",{"email":"c@x.test"}],"subject":"x\n\ny","html":"<p>"}`,
		`{"from":"A <a@x.test>","to":"b@x.test","bcc":"d@x.test","subject":"ü","headers":{"X-A":"ü\r\n\tb"},"attachments":[{"filename":"a\"b","type":"a/b; c=\"d\"","content":"eA==","disposition":"inline","contentId":"x"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseParts(data)
		if err != nil || m.check() != nil {
			return
		}
		raw, err := m.compose("id@x.test", noon())
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Error(err)
			}
			return
		}
		e, err := message.Read(strings.NewReader(string(raw)))
		if err != nil && !message.IsUnknownCharset(err) {
			t.Fatalf("%v in %q", err, raw)
		}
		wanted := map[string]bool{"from": true, "to": true, "cc": true, "reply-to": true, "subject": true, "date": true, "message-id": true,
			"mime-version": true, "content-type": true, "content-transfer-encoding": true}
		for name := range m.Headers {
			wanted[strings.ToLower(name)] = true
		}
		for fields := e.Header.Fields(); fields.Next(); {
			if name := strings.ToLower(fields.Key()); !wanted[name] {
				t.Errorf("header %s in %q", name, raw)
			}
		}
	})
}

// Whatever a Worker calls a message, what is sent has one Message-ID, ours, one
// sender, who was asked for, and whole line ends.
func FuzzRaw(f *testing.F) {
	for _, seed := range []string{
		"From: a@x.test\r\nMessage-ID: <1@x.test>\r\n\r\nhello",
		"From: A\n <a@x.test>\nmessage-id: 1\nMessage-Id: 2\n\n.\r.\n",
		"from : a@x.test\rX\r\n\r\n", " x\r\nFrom: a@x.test\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		data, err := prepare(raw, "a@x.test", "id@x.test")
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Error(err)
			}
			return
		}
		h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		if ids := h.Values("Message-Id"); len(ids) != 1 || ids[0] != "<id@x.test>" || len(h.Values("From")) != 1 {
			t.Errorf("Message-ID %q, From %q", ids, h.Values("From"))
		}
		whole := strings.ReplaceAll(string(data), "\r\n", "")
		if strings.ContainsAny(whole, "\r\n") {
			t.Errorf("half a line end in %q", data)
		}
	})
}

func TestFromJavaScript(t *testing.T) {
	const worker = `
	const attempt = async (f) => {
		try {
			const { messageId } = await f();
			return /^<[A-Za-z0-9]{36}@example.com>$/.test(messageId) ? "sent" : messageId;
		} catch (e) {
			return e.code + ": " + e.message;
		}
	};
	const raw = "From: a@example.com\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\nhello";
	const ready = (raw) => ({ from: "a@example.com", to: "b@example.com", "EmailMessage::raw": raw });
	const letter = { from: "A <a@example.com>", to: "b@example.com", subject: "x", text: "hello" };
	export default {
		async fetch(request, env) {
			const send = (m) => attempt(() => env.EMAIL.send(m));
			return Response.json([
				await send(letter),
				await send({ ...letter, from: { email: "a@example.com", name: "A" }, to: ["b@example.com", { email: "c@example.com" }] }),
				await send({ ...letter, headers: new Headers({ "X-A": "b" }), attachments: [
					{ filename: "a", type: "a/b", disposition: "attachment", content: "eA==" },
					{ filename: "b", type: "a/b", disposition: "attachment", content: new Uint8Array(100000).buffer },
					{ filename: "c", type: "a/b", disposition: "attachment", content: new Uint8Array([1, 2, 3, 4]).subarray(1, 3) },
				] }),
				await send(ready(raw)),
				await send(ready(new Response(raw).body)),
				await send(ready("Subject: x\r\n\r\n")),
				await send({ ...letter, to: "x@example.com" }),
				await send({ ...letter, attachments: [{ filename: "a", type: "a/b", content: "not base64!" }] }),
				await send("a string"),
			]);
		},
	};`
	var out kept
	k := open(t, &out)
	cell := celltest.Run(t, worker, map[string]func(string) binding.Mount{
		"EMAIL": func(service string) binding.Mount {
			m, err := k.Mount(config.Binding{Name: "EMAIL", Type: "send_email", Raw: json.RawMessage(`{"allowed_destination_addresses":["b@example.com","c@example.com"]}`)}, binding.Site{Service: service, Version: &config.Version{Worker: "w"}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
	})
	var got []string
	if err := json.Unmarshal([]byte(cell.Get("/")), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"sent", "sent", "sent", "sent", "sent", "E_VALIDATION_ERROR: invalid message-id", "E_RECIPIENT_NOT_ALLOWED: email to x@example.com not allowed",
		"E_VALIDATION_ERROR: the message is not valid: illegal base64 data at input byte 3", "E_VALIDATION_ERROR: send() takes an EmailMessage or an object of its parts"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("%d: got %q, want %q", i, got, want[i])
		}
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(out.messages) != 5 {
		t.Fatalf("%d messages", len(out.messages))
	}
	for i, part := range []string{"hello", "To: <b@example.com>, <c@example.com>", "AgM=", "Subject: x\r\n", "\r\n\r\nhello"} {
		if data := string(out.messages[i].Data); !strings.Contains(data, part) {
			t.Errorf("message %d lacks %q: %.300q", i, part, data)
		}
	}
}
