package queue

import (
	"bytes"
	"testing"
)

// A record that can be read is written as it was.
func FuzzRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		again, err := decodeRecord(r.append(nil))
		if err != nil || again.id != r.id || again.size != r.size || again.sent != r.sent || again.attempts != r.attempts || !bytes.Equal(again.body, r.body) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

// What a Worker or a client sends is a batch within the limits, or refused.
func FuzzBatch(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) ([]Message, error){
			func(b []byte) ([]Message, error) { return parseBatch(b, 0) }, parsePush,
		} {
			list, err := parse(data)
			if err != nil || checkBatch(list) != nil {
				continue
			}
			for _, m := range list {
				if m.ContentType.code() < 0 || m.Delay < NoDelay || m.Delay > MaxDelay {
					t.Errorf("accepted: %+v", m)
				}
			}
		}
	})
}

// A lease has one text.
func FuzzLease(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		if l, ok := parseLease(text); ok && l.String() != text {
			t.Errorf("%q is the lease %q", text, l)
		}
	})
}

// The ref of a message has one text.
func FuzzRef(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := parseRef(text); ok && r.String() != text {
			t.Errorf("%q is the ref %q", text, r)
		}
	})
}
