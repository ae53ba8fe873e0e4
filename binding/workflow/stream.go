package workflow

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// stored is what became of a stream that a step has returned.
type stored struct {
	// Ended: the run, or the attempt, is over.
	Ended bool `json:"ended,omitempty"`
	// Short: the stream broke off.
	Short bool `json:"short,omitempty"`
	// Full is why there is no room for it.
	Full string `json:"full,omitempty"`
}

// serveStream answers for the stream of the step at a place: POST stores it, GET
// sends it.
func (s runs) serveStream(w http.ResponseWriter, r *http.Request, token, at string) {
	place, err := strconv.ParseUint(at, 10, 32)
	if err == nil && r.Method == http.MethodGet {
		err = s.store.sendStream(w, r, token, uint32(place))
	} else if err == nil {
		var a stored
		if a, err = s.store.keepStream(r.Context(), token, uint32(place), r.Body); err == nil {
			err = json.NewEncoder(w).Encode(a)
		}
	}
	if err != nil && r.Context().Err() == nil {
		s.store.log.Error("a stream of a Workflow's step failed here", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// frames reads a body as the shim's module writes it: parts with their lengths
// before them, and a zero at the end.
type frames struct {
	r    *bufio.Reader
	left uint32
	over bool
}

// errShort is the error of a body without its end.
var errShort = errors.New("the stream broke off")

// Read implements io.Reader.
func (f *frames) Read(p []byte) (int, error) {
	if f.left == 0 && !f.over {
		var length [4]byte
		if _, err := io.ReadFull(f.r, length[:]); err != nil {
			return 0, errShort
		}
		f.left = binary.BigEndian.Uint32(length[:])
		f.over = f.left == 0
	}
	if f.over {
		return 0, io.EOF
	}
	n, err := f.r.Read(p[:min(uint64(len(p)), uint64(f.left))])
	f.left -= uint32(n)
	if err != nil {
		return n, errShort
	}
	return n, nil
}

// keepStream stores what the attempt of the step at a place has returned, as it
// comes, and then that the step is done. A stream that breaks off leaves nothing.
func (s *Store) keepStream(ctx context.Context, token string, place uint32, body io.Reader) (stored, error) {
	attempt := 0
	// write stages something while the attempt goes on.
	write := func(stage func(r *run, st *step, b keyed.Batch) error) (bool, error) {
		a, err := s.step(ctx, token, func(r *run, _ context.Context) (answer, error) {
			st := r.attempted(place)
			if st == nil || attempt != 0 && st.Attempts != attempt {
				return endedAnswer, nil
			}
			attempt = st.Attempts
			b := s.db.Batch()
			defer b.Close()
			if err := stage(r, st, b); err != nil {
				return answer{}, err
			}
			return answer{}, b.CommitUnsynced() // durable with the step itself
		})
		return !a.Ended, err
	}
	clear := func(r *run, st *step, b keyed.Batch) error {
		k := placeKey(rowValue, r.in.w.number, r.in.number, place)
		b.DeleteRange(k, keyed.After(k))
		return nil
	}
	body = &frames{r: bufio.NewReader(body)}
	on, err := write(clear)
	total, part := int64(0), make([]byte, chunkBytes)
	for chunk := uint16(0); on && err == nil; chunk++ {
		var n int
		n, err = io.ReadFull(body, part)
		if n == 0 {
			break
		}
		read := err
		on, err = write(func(r *run, st *step, b keyed.Batch) error {
			if r.bytes+total+int64(n) > MaxStateBytes {
				return errFull
			}
			if err := r.in.w.store.grow(int64(n)); err != nil {
				return err
			}
			k := placeKey(rowValue, r.in.w.number, r.in.number, place)
			b.Set(binary.BigEndian.AppendUint16(k, chunk), part[:n])
			return nil
		})
		if err == nil {
			total += int64(n)
			err = read
		}
		if errors.Is(err, io.ErrUnexpectedEOF) { // the last part
			err = io.EOF
		}
	}
	switch {
	case !on:
		s.count(-total)
		return stored{Ended: true}, nil
	case errors.Is(err, io.EOF):
		return s.keptStream(ctx, token, place, attempt, total)
	}
	_, cleared := write(clear)
	s.count(-total)
	var full *Error
	if errors.As(err, &full) {
		return stored{Full: full.Text}, cleared
	}
	if errors.Is(err, errShort) {
		return stored{Short: true}, cleared
	}
	return stored{}, errors.Join(fmt.Errorf("keep the stream: %w", err), cleared)
}

// errFull is the refusal of a stream that is too large for its instance.
var errFull = &Error{Status: http.StatusInsufficientStorage, Code: codeBody, Text: "The instance has exceeded the 1GiB storage limit"}

// keptStream stores that a step is done that has returned a stream.
func (s *Store) keptStream(ctx context.Context, token string, place uint32, attempt int, total int64) (stored, error) {
	a, err := s.step(ctx, token, func(r *run, _ context.Context) (answer, error) {
		st := r.attempted(place)
		if st == nil || st.Attempts != attempt {
			return endedAnswer, nil
		}
		next := *st
		next.Value, next.Bytes, next.Stream = place, total, true
		return answer{}, r.finishStep(st, next, func(keyed.Batch) {})
	})
	return stored{Ended: a.Ended}, err
}

// sendStream sends the stream that a step has returned.
func (s *Store) sendStream(w http.ResponseWriter, r *http.Request, token string, place uint32) error {
	var in *instance
	var size int64
	_, err := s.step(r.Context(), token, func(r *run, _ context.Context) (answer, error) {
		for _, st := range r.steps {
			if st.place == place && st.Done && st.Stream {
				in, size = r.in, st.Bytes
			}
		}
		return answer{}, nil
	})
	if err != nil {
		return err
	}
	if in == nil {
		http.Error(w, "no such stream", http.StatusNotFound)
		return nil
	}
	in.copyStream(w, place, size)
	return nil
}

// copyStream answers with the bytes at a place. One that goes away meanwhile breaks
// the answer off.
func (in *instance) copyStream(w http.ResponseWriter, place uint32, size int64) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	k := placeKey(rowValue, in.w.number, in.number, place)
	for chunk := uint16(0); size > 0; chunk++ {
		v, found, err := in.w.store.db.Get(binary.BigEndian.AppendUint16(slices.Clip(k), chunk))
		if err != nil || !found {
			panic(http.ErrAbortHandler)
		}
		n, err := w.Write(v.Bytes)
		v.Release()
		if err != nil {
			return // whoever asked is gone
		}
		size -= int64(n)
	}
}

// maxPreview is how many characters of a stream are shown.
const maxPreview = 1024

// preview is what of a stream is shown in place of it: its beginning, or what it is.
func (in *instance) preview(st *step) (Value, error) {
	var text []byte
	k := placeKey(rowValue, in.w.number, in.number, st.Value)
	err := in.w.store.db.Scan(k, keyed.After(k), func(_, part []byte) bool {
		text = append(text, part[:min(len(part), maxPreview*utf8.UTFMax-len(text))]...)
		return len(text) < maxPreview*utf8.UTFMax
	})
	cut := int64(len(text)) < st.Bytes
	for i := 0; cut && i < utf8.UTFMax && len(text) > 0 && !utf8.Valid(text); i++ {
		text = text[:len(text)-1] // of a character that was cut through
	}
	if !utf8.Valid(text) {
		return encode(fmt.Sprintf("[ReadableStream (binary): %d bytes]", st.Bytes)), err
	}
	runes := []rune(string(text))
	if len(runes) > maxPreview || cut {
		return encode(string(runes[:min(len(runes), maxPreview)]) + "[truncated output]"), err
	}
	return encode(string(text)), err
}
