package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// MaxLineBytes bounds a line between chunks, and MaxTrailerBytes all trailing
// headers together.
const (
	MaxLineBytes    = 4 << 10
	MaxTrailerBytes = 16 << 10
)

// signatureTrailer is the trailing header that signs the others.
const signatureTrailer = "X-Amz-Trailer-Signature"

// chunks reads what is in the chunks of an aws-chunked body. It passes bytes on
// before their signature is compared, so that a chunk may have any size, and fails
// before the end when one is wrong.
//
// Source: Amazon S3 API Reference, "Transferring Payload in Multiple Chunks" and
// "Including Trailing Headers"
type chunks struct {
	r    *bufio.Reader
	left int64 // of all chunks together
	size int64 // left of this chunk
	open bool  // a chunk has begun and its signature is to be compared

	sign *signer // nil: they are not signed
	last string  // the signature before this one, in hexadecimal
	said []byte  // that of this chunk
	hash hash.Hash

	trailer http.Header // nil: there is none
	checks  []check
}

func newChunks(r io.Reader, length int64) *chunks {
	return &chunks{r: bufio.NewReaderSize(r, MaxLineBytes), left: length}
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.size == 0 {
		more, err := c.next()
		if err != nil {
			return 0, err
		}
		if !more {
			return 0, io.EOF
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.size)])
	c.size -= int64(n)
	c.left -= int64(n)
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	for _, check := range c.checks {
		check.hash.Write(p[:n])
	}
	if err == io.EOF {
		err = errCutOff
	}
	return n, cutOff(err)
}

// next ends the chunk that is read, if any, and begins another. It reports false
// after the last one.
func (c *chunks) next() (more bool, err error) {
	if c.open {
		if err := c.end(); err != nil {
			return false, err
		}
	}
	line, err := c.line()
	if err != nil {
		return false, err
	}
	if err := c.begin(line); err != nil {
		return false, err
	}
	if c.size > 0 {
		return true, nil
	}
	if c.left > 0 {
		return false, incomplete("The chunks have %d bytes less than x-amz-decoded-content-length says.", c.left)
	}
	if err := c.compare("AWS4-HMAC-SHA256-PAYLOAD", hexDigest(nil), c.sum()); err != nil {
		return false, err
	}
	if c.trailer != nil {
		if err := c.readTrailer(); err != nil {
			return false, err
		}
	}
	return false, c.finish()
}

// begin reads the head of a chunk: its size in hexadecimal, and its signature.
func (c *chunks) begin(line string) (err error) {
	size, extension, _ := strings.Cut(line, ";")
	if c.size, err = strconv.ParseInt(size, 16, 64); err != nil || c.size < 0 || size[0] == '+' || size[0] == '-' {
		c.size = 0
		return incomplete("The size of a chunk is not a hexadecimal number.")
	}
	if c.size > c.left {
		return incomplete("The chunks have more bytes than x-amz-decoded-content-length says.")
	}
	c.open = true
	if c.sign == nil {
		return nil
	}
	c.hash.Reset()
	text, _ := strings.CutPrefix(extension, "chunk-signature=")
	if c.said, err = hex.DecodeString(text); err != nil || len(c.said) != 32 {
		return incomplete("A chunk has no signature.")
	}
	return nil
}

// end reads what follows the bytes of a chunk, and compares its signature.
func (c *chunks) end() error {
	c.open = false
	var crlf [2]byte
	if _, err := io.ReadFull(c.r, crlf[:]); err != nil {
		return cutOff(err)
	}
	if crlf != [2]byte{'\r', '\n'} {
		return incomplete("A chunk has more bytes than its size says.")
	}
	return c.compare("AWS4-HMAC-SHA256-PAYLOAD", hexDigest(nil), c.sum())
}

func (c *chunks) sum() string {
	if c.sign == nil {
		return ""
	}
	return hex.EncodeToString(c.hash.Sum(nil))
}

// compare verifies the signature that was read. The next one builds on it.
func (c *chunks) compare(kind string, lines ...string) error {
	if c.sign == nil {
		return nil
	}
	got := c.sign.sign(kind, append([]string{c.last}, lines...)...)
	if !hmac.Equal(got, c.said) {
		return errMismatch
	}
	c.last = hex.EncodeToString(got)
	return nil
}

// readTrailer reads the trailing headers that were announced, and the signature
// after them. Some clients end a line with LF CR LF, so an empty line ends the
// trailer only when it is complete.
func (c *chunks) readTrailer() error {
	missing := len(c.trailer)
	c.said = nil
	for total := 0; ; {
		if missing == 0 && (c.sign == nil || c.said != nil) {
			break
		}
		line, err := c.line()
		if err != nil {
			return err
		}
		if total += len(line) + 2; total > MaxTrailerBytes {
			return badTrailer("The trailing headers have more than %d bytes.", MaxTrailerBytes)
		}
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(name), strings.Trim(value, " \t")
		if name == signatureTrailer && c.sign != nil && c.said == nil {
			if c.said, err = hex.DecodeString(value); err != nil || len(c.said) != 32 {
				return badTrailer("The signature of the trailing headers is malformed.")
			}
			continue
		}
		if before, announced := c.trailer[name]; !ok || !announced || before != nil || c.said != nil {
			return badTrailer("The request contained trailing data that was not well-formed or was not announced in x-amz-trailer.")
		}
		c.trailer[name] = []string{value}
		missing--
	}
	var lines []string
	for name, value := range c.trailer {
		lines = append(lines, strings.ToLower(name)+":"+value[0]+"\n")
	}
	slices.Sort(lines)
	if err := c.compare("AWS4-HMAC-SHA256-TRAILER", hexDigest([]byte(strings.Join(lines, "")))); err != nil {
		return err
	}
	for _, check := range c.checks {
		if err := check.verify(c.trailer); err != nil {
			return err
		}
	}
	return nil
}

// finish makes sure that nothing follows but the end of the last line.
func (c *chunks) finish() error {
	for range 2 * len("\r\n") {
		switch b, err := c.r.ReadByte(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return cutOff(err)
		case b != '\r' && b != '\n':
			return incomplete("There is data after the last chunk.")
		}
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		return incomplete("There is data after the last chunk.")
	}
	return nil
}

// line reads a line without its end.
func (c *chunks) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", incomplete("A line between chunks has more than %d bytes.", MaxLineBytes)
	}
	if err == io.EOF {
		err = errCutOff
	}
	if err != nil {
		return "", cutOff(err)
	}
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})), nil
}

var errCutOff = incomplete("The request body terminated unexpectedly.")

// cutOff tells in S3's words of a body that ended too soon.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return errCutOff
	}
	return err
}
