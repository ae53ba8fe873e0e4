package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// What x-amz-content-sha256 says of a body that is not signed as a whole.
const (
	unsigned        = "UNSIGNED-PAYLOAD"
	streaming       = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// payloadOf is what the signature covers of the body: its SHA-256, or one of the
// words above.
func payloadOf(r *http.Request, c *claim, query []parameter) (string, error) {
	said := r.Header.Get("X-Amz-Content-Sha256")
	if c.presigned && said == "" {
		said = unsigned
		if i := slices.IndexFunc(query, func(p parameter) bool { return p.name == "X-Amz-Content-Sha256" }); i >= 0 {
			said = query[i].value
		}
	}
	switch said {
	case "":
		return "", &Error{"MissingSecurityHeader", "Your request was missing a required header: x-amz-content-sha256", http.StatusBadRequest}
	case unsigned, streaming, signedTrailer, unsignedTrailer:
		return said, nil
	}
	if digest, err := hex.DecodeString(said); err != nil || len(digest) != sha256.Size {
		return "", invalidArgument("x-amz-content-sha256 must be " + strings.Join([]string{unsigned, unsignedTrailer, streaming, signedTrailer}, ", ") + ", or a valid sha256 value.")
	}
	return said, nil
}

// replaceBody puts a body that verifies itself in the place of r's.
func replaceBody(r *http.Request, payload string, s signer, seed []byte) error {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	switch payload {
	case unsigned:
		r.Body = &body{Reader: whole{r.Body}, Closer: r.Body}
		return nil
	case streaming, signedTrailer, unsignedTrailer:
		return unchunk(r, payload, s, seed)
	}
	want, _ := hex.DecodeString(payload) // payloadOf has looked at it
	if empty := sha256.Sum256(nil); r.ContentLength == 0 && !bytes.Equal(want, empty[:]) {
		return errDigest
	}
	r.Body = &body{Reader: &digested{r: whole{r.Body}, hash: sha256.New(), want: want}, Closer: r.Body}
	return nil
}

// unchunk makes r a request whose body was not sent in chunks.
func unchunk(r *http.Request, payload string, s signer, seed []byte) error {
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return &Error{"MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.", http.StatusLengthRequired}
	}
	chunks := newChunks(r.Body, length)
	if payload != unsignedTrailer {
		chunks.sign, chunks.last, chunks.hash = &s, hex.EncodeToString(seed), sha256.New()
	}
	r.Trailer = nil
	if payload != streaming {
		names := strings.Split(r.Header.Get("X-Amz-Trailer"), ",")
		r.Trailer = http.Header{}
		for _, name := range names {
			if name = strings.TrimSpace(name); name != "" {
				r.Trailer[http.CanonicalHeaderKey(name)] = nil
			}
		}
		if chunks.checks, err = checksOf(r.Trailer); err != nil {
			return err
		}
		chunks.trailer = r.Trailer
	}
	var kept []string
	for encoding := range strings.SplitSeq(r.Header.Get("Content-Encoding"), ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && !strings.EqualFold(encoding, "aws-chunked") {
			kept = append(kept, encoding)
		}
	}
	r.Header.Del("Content-Encoding")
	if kept != nil {
		r.Header.Set("Content-Encoding", strings.Join(kept, ", "))
	}
	r.ContentLength, r.TransferEncoding = length, nil
	r.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	r.Body = &body{Reader: chunks, Closer: r.Body}
	return nil
}

// body remembers how it ended: who reads on gets the same error.
type body struct {
	io.Reader
	io.Closer
	ended error
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended != nil {
		return 0, b.ended
	}
	n, err := b.Reader.Read(p)
	b.ended = err
	return n, err
}

// whole tells in S3's words of a body that was cut off.
type whole struct{ io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = incomplete("You did not provide the number of bytes specified by the Content-Length HTTP header.")
	}
	return n, err
}

// digested compares the SHA-256 of what was read at its end.
type digested struct {
	r    io.Reader
	hash hash.Hash
	want []byte
}

func (d *digested) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.hash.Write(p[:n])
	if err == io.EOF && !bytes.Equal(d.hash.Sum(nil), d.want) {
		err = errDigest
	}
	return n, err
}
