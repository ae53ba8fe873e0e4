// Package sigv4 verifies requests that are signed with AWS Signature Version 4
// for S3: in the Authorization header or in the query (presigned URLs), with
// bodies that are signed as a whole, in chunks, or not at all, and with trailing
// checksums.
//
// A request is verified as it stands on the wire: its path and query are taken
// from RequestURI where there is one, because a key may be any bytes.
//
// Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)"
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
)

// MaxSkew is how far the client's clock may be from ours.
const MaxSkew = 15 * time.Minute

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	// Secret returns the secret of an access key, or ErrNoKey. Other errors are
	// returned by Verify.
	Secret func(ctx context.Context, keyID string) (string, error)
	// Regions are the names of regions that a signature may be for.
	Regions []string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Identity is who has signed a request.
type Identity struct {
	// KeyID is the id of the access key.
	KeyID string
	// Presigned says that the signature was in the query.
	Presigned bool
}

// Verify returns who signed r, or why it is refused: an *Error, or what Secret
// failed with.
//
// The body is verified while it is read: r.Body is replaced by one that ends with
// an *Error in place of io.EOF when it was cut off, or is not what was signed.
// Nothing of a body may take effect before io.EOF. Where the body is sent in
// chunks (aws-chunked), r.Body gives what is in them, r.ContentLength is its
// length, Content-Encoding no longer says aws-chunked, and r.Trailer has the
// trailing headers after io.EOF; a trailing checksum has been compared by then.
func (v *Verifier) Verify(r *http.Request) (Identity, error) {
	u := r.URL
	if r.RequestURI != "" {
		u = target.Parse(r.RequestURI)
	}
	query := parameters(u.RawQuery)
	c, err := readClaim(r.Header, query)
	if err != nil {
		return Identity{}, err
	}
	if err := v.check(c); err != nil {
		return Identity{}, err
	}
	if r.Header.Get("X-Amz-Security-Token") != "" || slices.ContainsFunc(query, func(p parameter) bool { return p.name == "X-Amz-Security-Token" }) {
		return Identity{}, &Error{"InvalidToken", "Session tokens are not supported here; sign with an access key and its secret alone.", http.StatusBadRequest}
	}
	digest, err := payloadOf(r, c, query)
	if err != nil {
		return Identity{}, err
	}
	request, err := canonicalRequest(r, u.Path, query, c, digest)
	if err != nil {
		return Identity{}, err
	}
	secret, err := v.Secret(r.Context(), c.keyID)
	if errors.Is(err, ErrNoKey) {
		return Identity{}, &Error{"InvalidAccessKeyId", "The access key ID you provided does not exist in our records.", http.StatusForbidden}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("look up access key %s: %w", c.keyID, err)
	}
	s := newSigner(secret, c)
	if !hmac.Equal(s.sign(algorithm, hexDigest([]byte(request))), c.signature) {
		return Identity{}, errMismatch
	}
	if err := replaceBody(r, digest, s, c.signature); err != nil {
		return Identity{}, err
	}
	return Identity{c.keyID, c.presigned}, nil
}

// check looks at region and time.
func (v *Verifier) check(c *claim) error {
	if !slices.Contains(v.Regions, c.region) {
		return &Error{"InvalidRegionName", fmt.Sprintf("The region name '%s' is not valid. Must be one of: %s", c.region, strings.Join(v.Regions, ", ")), http.StatusBadRequest}
	}
	now := time.Now()
	if v.Now != nil {
		now = v.Now()
	}
	switch early, late := c.at.Sub(now), now.Sub(c.at); {
	case c.presigned && early > MaxSkew:
		return denied("Request is not yet valid")
	case c.presigned && late >= c.expiry:
		return denied("Request has expired")
	case !c.presigned && max(early, late) > MaxSkew:
		return &Error{"RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", http.StatusForbidden}
	}
	return nil
}

// signer makes the signatures of one request and its chunks.
type signer struct {
	key       []byte
	at, scope string
}

func (s signer) sign(kind string, lines ...string) []byte {
	return mac(s.key, kind+"\n"+s.at+"\n"+s.scope+"\n"+strings.Join(lines, "\n"))
}

func newSigner(secret string, c *claim) signer {
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, terminator} {
		key = mac(key, part)
	}
	return signer{key: key, at: c.at.UTC().Format(stamp), scope: c.scope()}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
