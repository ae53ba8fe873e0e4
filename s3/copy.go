package s3

import (
	"errors"
	"maps"
	"net/url"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// source is what a copy is made of.
type source struct {
	bucket, key string
	object      *r2.Reader
}

// source opens what x-amz-copy-source names, for which the sender needs the right
// to read. The caller closes it.
func (c *call) source(part *r2.Range) (s source, err error) {
	h := c.r.Header
	path, query, versioned := strings.Cut(h.Get("X-Amz-Copy-Source"), "?")
	if versioned && query != "" && query != "versionId=null" {
		return s, notImplemented("Copying a version")
	}
	if path, err = url.PathUnescape(path); err != nil {
		return s, invalidArgument("Copy Source must be URL encoded.")
	}
	var ok bool
	if s.bucket, s.key, ok = strings.Cut(strings.TrimPrefix(path, "/"), "/"); !ok || s.bucket == "" || s.key == "" {
		return s, invalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if err := checkKey(s.key); err != nil {
		return s, err
	}
	if !c.access.Allows(s.bucket, false) {
		return s, errAccessDenied
	}
	key, err := customerKey(h, sourcePrefix)
	if err != nil {
		return s, err
	}
	b, err := c.find(s.bucket)
	if err != nil {
		return s, err
	}
	s.object, err = b.Get(c.r.Context(), s.key, r2.GetOptions{OnlyIf: conditions(h, "X-Amz-Copy-Source-"), Range: part, SSECKey: key})
	if errors.Is(err, r2.ErrPreconditionFailed) {
		return s, errPrecondition
	}
	return s, err
}

// copyObject stores another object's content.
func (c *call) copyObject() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	h := c.r.Header
	directive := h.Get("X-Amz-Metadata-Directive")
	switch directive {
	case "":
		directive = "COPY"
	case "COPY", "REPLACE", "MERGE": // MERGE is R2's own
	default:
		return invalidArgument("Unknown metadata directive.")
	}
	key, err := customerKey(h, customerPrefix)
	if err != nil {
		return err
	}
	to, err := c.bucket()
	if err != nil {
		return err
	}
	s, err := c.source(nil)
	if err != nil {
		return err
	}
	from := s.object
	defer from.Close()
	if from.Size > r2.MaxPutBytes {
		return badRequest("InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(r2.MaxPutBytes))
	}
	o := r2.PutOptions{HTTP: from.HTTP, Custom: from.Custom, SSECKey: key, OnlyIf: conditions(h, "Cf-Copy-Destination-"), Checksums: from.Checksums,
		CopySource: &r2.CopySource{Bucket: s.bucket, Key: s.key}}
	o.StorageClass, err = c.storageClass()
	if err != nil {
		return err
	}
	if s.bucket == c.bucketName && s.key == c.key && directive == "COPY" && o.StorageClass == from.StorageClass && key == nil && from.SSECKeyMD5 == "" {
		return badRequest("InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	switch directive {
	case "REPLACE":
		o.HTTP, o.Custom = httpMetadata(h), customMetadata(h)
	case "MERGE":
		o.HTTP = o.HTTP.Merge(httpMetadata(h))
		o.Custom = maps.Clone(o.Custom)
		if o.Custom == nil {
			o.Custom = map[string]string{}
		}
		maps.Copy(o.Custom, customMetadata(h))
	}
	object, err := to.Put(c.r.Context(), c.key, r2.Sized{Reader: from, Bytes: from.Length}, o)
	if err != nil {
		return err
	}
	setCustomerKey(c.w.Header(), key)
	d := newDocument("CopyObjectResult")
	d.tag(object.ETag)
	d.time("LastModified", object.Uploaded)
	d.end("CopyObjectResult")
	return c.write(d)
}
