package http1

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// ErrStalled is the error of a request's body of which nothing came for
// Options.BodyTimeout.
var ErrStalled = errors.New("the body stalls")

// patient is a body whose client is waited for so long and no longer. Time
// counts only while somebody reads.
type patient struct {
	io.ReadCloser
	timeout time.Duration
	timer   *time.Timer
	err     error
}

func newPatient(w http.ResponseWriter, body io.ReadCloser, timeout time.Duration) *patient {
	p := &patient{ReadCloser: body, timeout: timeout}
	p.timer = time.AfterFunc(timeout, func() { http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	p.timer.Stop()
	return p
}

func (p *patient) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	p.timer.Reset(p.timeout)
	n, err := p.ReadCloser.Read(b)
	if !p.timer.Stop() { // it has gone off, and nothing more can be read
		p.err = ErrStalled
		return n, p.err
	}
	return n, err
}
