package mail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOutbox(t *testing.T) {
	var printed string
	o := &Outbox{Dir: filepath.Join(t.TempDir(), "email"), Print: func(text string) { printed = text }}
	data := "From: a@x.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhello"
	if err := o.Send(t.Context(), Message{From: "a@x.test", To: []string{"b@x.test", "c@x.test"}, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(printed, "\n")
	kept, err := os.ReadFile(strings.TrimPrefix(first, "E-mail, not sent but kept in "))
	if err != nil || string(kept) != data {
		t.Errorf("%q, %v", kept, err)
	}
	if want := "From: a@x.test\nTo: b@x.test, c@x.test\nSubject: Grüße"; rest != want {
		t.Errorf("%q, want %q", rest, want)
	}
}
