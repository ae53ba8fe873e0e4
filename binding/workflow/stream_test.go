package workflow

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// framed is a stream as steps.js sends it, in parts of a size.
func framed(text string, size int) []byte {
	var out []byte
	for len(text) > 0 {
		n := min(size, len(text))
		out = append(binary.BigEndian.AppendUint32(out, uint32(n)), text[:n]...)
		text = text[n:]
	}
	return binary.BigEndian.AppendUint32(out, 0)
}

// What an attempt that broke off has left is not in the stream of the next one.
func TestStream(t *testing.T) {
	long, short := strings.Repeat("x", 5*chunkBytes+7), strings.Repeat("y", 2*chunkBytes+1)
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		keep := func(body []byte) (stored, uint32) {
			a, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
				return r.do(ctx, label{Name: "s", Count: 1}, stepConfig{Config: StepOptions{Delay: time.Second}.config()}, nil)
			})
			if err != nil || a.Attempt == nil {
				b.Errorf("%+v %v", a, err)
				return stored{}, 0
			}
			got, err := s.store.keepStream(ctx, s.token, a.Attempt.Place, bytes.NewReader(body))
			b.must(err)
			return got, a.Attempt.Place
		}
		whole := framed(long, 1000)
		for _, cut := range [][]byte{nil, whole[:3], whole[:500], whole[:len(whole)-1], whole[:len(whole)-4]} {
			got, place := keep(cut)
			if got != (stored{Short: true}) {
				b.Errorf("%d bytes: %+v", len(cut), got)
			}
			b.must(b.flow.named(e.ID, func(in *instance) error { // the attempt has failed
				in.run.attempted(place).running = false
				in.run.busy--
				return nil
			}))
		}
		got, place := keep(framed(short, 3*chunkBytes))
		if got != (stored{}) {
			b.Errorf("%+v", got)
		}
		if got, err := s.store.keepStream(ctx, s.token, place, bytes.NewReader(whole)); err != nil || got != (stored{Ended: true}) {
			b.Errorf("a second stream: %+v %v", got, err)
		}
		sent := httptest.NewRecorder()
		b.must(s.store.sendStream(sent, httptest.NewRequestWithContext(ctx, "GET", "/", nil), s.token, place))
		if text := sent.Body.String(); text != short {
			b.Errorf("%d bytes came back of %d", len(text), len(short))
		}
		return nil, nil
	}, func(made *bench) {
		b = made
		b.k.store.quota = 1 << 30
		b.create("x", nil)
		b.after(time.Minute)
		b.is("x", "complete null")
		if used, err := b.k.store.Measure(b.Context()); err != nil || used != b.k.store.used.Load() || used < int64(len(short)) {
			t.Errorf("%d bytes, %v; %d are counted", used, err, b.k.store.used.Load())
		}
	})
}

// A stream for which there is no room fails its instance, and leaves nothing.
func TestStreamIsTooLarge(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		a, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
			r.bytes = MaxStateBytes - chunkBytes
			return r.do(ctx, label{Name: "s", Count: 1}, stepConfig{}, nil)
		})
		if err != nil {
			return nil, err
		}
		got, err := s.store.keepStream(ctx, s.token, a.Attempt.Place, bytes.NewReader(framed(strings.Repeat("x", 3*chunkBytes), 1000)))
		if err == nil && got.Full != errFull.Text {
			b.Errorf("%+v", got)
		}
		return nil, err
	}, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Minute)
		b.must(b.flow.named("x", func(in *instance) error {
			v, err := b.k.store.value(b.flow.number, in.number, 1)
			if len(v) > 0 {
				t.Errorf("%d bytes are left", len(v))
			}
			return err
		}))
	})
}

// The parts of a stream are read as they were written, and nothing else is taken for
// a whole stream.
func FuzzFrames(f *testing.F) {
	f.Add(framed("some text", 4))
	f.Add(framed("", 1))
	f.Add([]byte{0, 0, 0, 2, 'x'})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := io.ReadAll(&frames{r: bufio.NewReader(bytes.NewReader(body))})
		var want []byte
		whole := false
		for rest := body; len(rest) >= 4 && !whole; {
			n := int64(binary.BigEndian.Uint32(rest))
			rest = rest[4:]
			whole = n == 0
			part := rest[:min(n, int64(len(rest)))]
			want, rest = append(want, part...), rest[len(part):]
			if int64(len(part)) < n {
				break
			}
		}
		if !bytes.Equal(got, want) || (err == nil) != whole || err != nil && !errors.Is(err, errShort) {
			t.Errorf("%q %v, want %q, whole: %v", got, err, want, whole)
		}
	})
}
