package compress

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// decoding is a body on its way from a coding that its client does not take.
// Decoders read and handlers write, so a goroutine stands between them; from
// the beginning to the end it alone writes to out.
type decoding struct {
	in    *io.PipeWriter
	ended chan error // why it could not go on, or nil
}

var errLeft = errors.New("the handler has left")

// decode begins. flush passes on each part as it comes.
func decode(c coding, out *writer, flush bool) *decoding {
	in, to := io.Pipe()
	d := &decoding{in: to, ended: make(chan error, 1)}
	go func() {
		err := copyDecoded(c, out, in, flush)
		if err == nil {
			io.Copy(io.Discard, in) // what follows the end
		}
		in.CloseWithError(err)
		d.ended <- err
	}()
	return d
}

// copyDecoded returns a panic as an error: what decoders read is the Worker's,
// and nobody above this goroutine would recover.
func copyDecoded(c coding, out *writer, in io.Reader, flush bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	decoder, err := newDecoder(c, in)
	if err != nil {
		return err
	}
	part := make([]byte, 16<<10)
	for {
		n, err := decoder.Read(part)
		if n > 0 {
			if _, err := out.Write(part[:n]); err != nil {
				return err
			}
			if flush {
				if err := out.FlushError(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end waits until everything has arrived, or returns why it has not.
func (d *decoding) end() error {
	d.in.Close()
	return <-d.ended
}

// abandon ends it where it is.
func (d *decoding) abandon() {
	d.in.CloseWithError(errLeft)
	<-d.ended
}
