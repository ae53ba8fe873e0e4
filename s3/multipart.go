package s3

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// createMultipartUpload begins an upload.
func (c *call) createMultipartUpload() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	o := r2.PutOptions{HTTP: httpMetadata(c.r.Header), Custom: customMetadata(c.r.Header)}
	var err error
	if o.SSECKey, err = customerKey(c.r.Header, customerPrefix); err != nil {
		return err
	}
	kind, err := wantedSum(c.r.Header)
	if err != nil {
		return err
	}
	if kind != nil {
		*kind.field(&o.Checksums) = []byte{}
	}
	b, err := c.ensure(c.r.Context())
	if err != nil {
		return err
	}
	if o.StorageClass, err = c.storageClass(); err != nil {
		return err
	}
	u, err := b.CreateMultipartUpload(c.r.Context(), c.key, o)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if kind != nil {
		h.Set("X-Amz-Checksum-Algorithm", kind.name)
		h.Set("X-Amz-Checksum-Type", kind.kindOfSum())
	}
	setCustomerKey(h, o.SSECKey)
	d := newDocument("InitiateMultipartUploadResult")
	d.text("Bucket", c.bucketName)
	d.text("Key", c.key)
	d.text("UploadId", u.ID())
	d.end("InitiateMultipartUploadResult")
	return c.write(d)
}

// wantedSum is the checksum that an upload asks for; nil if it asks for none.
func wantedSum(h http.Header) (*algorithm, error) {
	name, kind := h.Get("X-Amz-Checksum-Algorithm"), h.Get("X-Amz-Checksum-Type")
	if name == "" {
		if kind != "" {
			return nil, badRequest("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return nil, nil
	}
	for i := range algorithms {
		a := &algorithms[i]
		if !strings.EqualFold(a.name, name) {
			continue
		}
		if kind != "" && kind != a.kindOfSum() {
			return nil, badRequest("InvalidRequest", "The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(a.name))
		}
		return a, nil
	}
	return nil, badRequest("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
}

// upload is the one that the request names.
func (c *call) upload() (*r2.Bucket, *r2.Upload, error) {
	if err := checkKey(c.key); err != nil {
		return nil, nil, err
	}
	b, err := c.bucket()
	if err != nil {
		return nil, nil, err
	}
	return b, b.ResumeMultipartUpload(c.key, c.query.Get("uploadId")), nil
}

// partNumber is that of an upload's part.
func (c *call) partNumber() (int, error) {
	n, err := strconv.Atoi(c.query.Get("partNumber"))
	if err != nil || n < 1 || n > r2.MaxParts {
		return 0, invalidArgument("Part number must be an integer between 1 and %d, inclusive", r2.MaxParts)
	}
	return n, nil
}

func (c *call) uploadPart() error {
	number, err := c.partNumber()
	if err != nil {
		return err
	}
	body, claim, err := c.content()
	if err != nil {
		return err
	}
	key, err := customerKey(c.r.Header, customerPrefix)
	if err != nil {
		return err
	}
	_, u, err := c.upload()
	if err != nil {
		return err
	}
	p, err := u.Put(c.r.Context(), number, body, r2.PartOptions{Checksums: claim.Checksums, Trailing: claim.late, SSECKey: key})
	if err != nil {
		return ofUpload(err)
	}
	h := c.w.Header()
	h.Set("ETag", `"`+p.ETag+`"`)
	setChecksums(h, p.Checksums, claim.sent)
	setCustomerKey(h, key)
	c.w.empty(http.StatusOK)
	return nil
}

// ofUpload is an error of a part, which must have the key of its upload: there is no
// content yet that another key could be refused access to.
func ofUpload(err error) error {
	if e, ok := errors.AsType[*r2.Error](err); ok && codes[e.Code].code == "AccessDenied" {
		return badRequest("InvalidRequest", "The provided encryption parameters did not match the ones used originally.")
	}
	return err
}

// uploadPartCopy makes a part of another object.
func (c *call) uploadPartCopy() error {
	number, err := c.partNumber()
	if err != nil {
		return err
	}
	key, err := customerKey(c.r.Header, customerPrefix)
	if err != nil {
		return err
	}
	_, u, err := c.upload()
	if err != nil {
		return err
	}
	var part *r2.Range
	if v := c.r.Header.Get("X-Amz-Copy-Source-Range"); v != "" {
		if part = parseRange(v); part == nil || part.Offset == nil || part.Length == nil {
			return invalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
		}
	}
	s, err := c.source(part)
	if err != nil {
		return err
	}
	defer s.object.Close()
	if part != nil && s.object.Length != *part.Length {
		return invalidArgument("Range specified is not valid for source object of size: %d", s.object.Size)
	}
	if s.object.Length > r2.MaxPutBytes {
		return r2.ErrTooLarge
	}
	p, err := u.Put(c.r.Context(), number, r2.Sized{Reader: s.object, Bytes: s.object.Length}, r2.PartOptions{SSECKey: key})
	if err != nil {
		return ofUpload(err)
	}
	setCustomerKey(c.w.Header(), key)
	d := newDocument("CopyPartResult")
	d.tag(p.ETag)
	d.time("LastModified", p.Uploaded)
	d.end("CopyPartResult")
	return c.write(d)
}

func (c *call) completeMultipartUpload() error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if v := c.r.Header.Get(name); v != "" {
			return notImplemented("Header '" + strings.ToLower(name) + "' with value '" + v + "'")
		}
	}
	// Unlike anywhere else these are checksums of the object, not of the body.
	var want r2.Checksums
	for _, a := range algorithms {
		if v := c.r.Header.Get(a.header); v != "" {
			sum, _, _ := strings.Cut(v, "-") // and the number of parts
			var err error
			if *a.field(&want), err = a.decode(sum); err != nil {
				return err
			}
			c.r.Header.Del(a.header)
		}
	}
	root, err := c.read("CompleteMultipartUpload", maxDocument)
	if err != nil {
		return err
	}
	parts, err := partsOf(root)
	if err != nil {
		return err
	}
	b, u, err := c.upload()
	if err != nil {
		return err
	}
	o, err := u.CompleteAs(c.r.Context(), parts, want)
	if errors.Is(err, r2.ErrNoSuchUpload) {
		o, err = c.completed(b, parts, err)
	}
	if err != nil {
		return err
	}
	d := newDocument("CompleteMultipartUploadResult")
	d.text("Location", "/"+c.bucketName+"/"+encodeURL(c.key))
	d.text("Bucket", c.bucketName)
	d.text("Key", c.key)
	d.tag(o.ETag)
	for _, a := range algorithms {
		if value, kind := a.of(o); value != "" {
			d.text("Checksum"+a.name, value)
			d.text("ChecksumType", kind)
		}
	}
	d.end("CompleteMultipartUploadResult")
	return c.write(d)
}

// completed is the object that the parts have become already, or else missing: a
// client that did not get the answer asks again.
func (c *call) completed(b *r2.Bucket, parts []r2.Part, missing error) (*r2.Object, error) {
	sums := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(p.ETag, `"`))
		if err != nil || len(sum) != md5.Size {
			return nil, missing
		}
		sums.Write(sum)
	}
	o, err := b.Head(c.r.Context(), c.key)
	if errors.Is(err, r2.ErrNoSuchKey) || err == nil && o.ETag != fmt.Sprintf("%x-%d", sums.Sum(nil), len(parts)) {
		return nil, missing
	}
	return o, err
}

// partsOf reads the parts that an upload is completed with. Their checksums, which
// were compared when they came, are not looked at.
func partsOf(root *element) ([]r2.Part, error) {
	if root == nil || len(root.children) == 0 || len(root.children) > r2.MaxParts {
		return nil, errMalformedXML
	}
	parts := make([]r2.Part, 0, len(root.children))
	for _, e := range root.children {
		if e.name != "Part" {
			return nil, errMalformedXML
		}
		if err := e.only("PartNumber", "ETag", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"); err != nil {
			return nil, err
		}
		number, err := e.text("PartNumber")
		if err != nil {
			return nil, err
		}
		etag, err := e.text("ETag")
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || strings.TrimSpace(etag) == "" {
			return nil, errMalformedXML
		}
		if len(parts) > 0 && n <= parts[len(parts)-1].Number {
			return nil, badRequest("InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number.")
		}
		parts = append(parts, r2.Part{Number: n, ETag: strings.TrimSpace(etag)})
	}
	return parts, nil
}

func (c *call) abortMultipartUpload() error {
	_, u, err := c.upload()
	if err != nil {
		return err
	}
	// Unlike the store, S3 says so if there is no upload.
	if _, err := u.EachPart(c.r.Context(), r2.MaxParts+1, nil); err != nil {
		return err
	}
	if err := u.Abort(c.r.Context()); err != nil {
		return err
	}
	c.w.empty(http.StatusNoContent)
	return nil
}
