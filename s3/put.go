package s3

import (
	"io"
	"net/http"

	"github.com/selvage-edge/selvage/binding/r2"
)

// putObject stores the body.
func (c *call) putObject() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	body, claim, err := c.content()
	if err != nil {
		return err
	}
	o := r2.PutOptions{HTTP: httpMetadata(c.r.Header), Custom: customMetadata(c.r.Header), OnlyIf: conditions(c.r.Header, ""),
		Checksums: claim.Checksums, Trailing: claim.late}
	if o.SSECKey, err = customerKey(c.r.Header, customerPrefix); err != nil {
		return err
	}
	b, err := c.ensure(c.r.Context())
	if err != nil {
		return err
	}
	if o.StorageClass, err = c.storageClass(); err != nil {
		return err
	}
	object, err := b.Put(c.r.Context(), c.key, body, o)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("ETag", `"`+object.ETag+`"`)
	setChecksums(h, object.Checksums, claim.sent)
	setCustomerKey(h, o.SSECKey)
	c.w.empty(http.StatusOK)
	return nil
}

// content is the body of an upload, with the digests that it must have.
func (c *call) content() (io.Reader, claims, error) {
	claim, err := claimed(c.r)
	switch {
	case err != nil:
	case c.r.ContentLength < 0:
		err = errNoLength
	case c.r.ContentLength > r2.MaxPutBytes:
		err = r2.ErrTooLarge
	}
	return r2.Sized{Reader: &exactly{c.r.Body, c.r.ContentLength}, Bytes: c.r.ContentLength}, claim, err
}

// exactly fails where a body has another length than the request says.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if e.left < 0 || err == io.EOF && e.left != 0 {
		return 0, errIncomplete
	}
	return n, err
}
