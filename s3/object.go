package s3

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// checkKey refuses keys that no object has.
func checkKey(key string) error {
	if len(key) > r2.MaxKeyBytes {
		return errKeyTooLong
	}
	return nil
}

func (c *call) getObject() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	o := r2.GetOptions{OnlyIf: conditions(c.r.Header, "")}
	var err error
	if o.SSECKey, err = customerKey(c.r.Header, customerPrefix); err != nil {
		return err
	}
	if o.Part, err = c.part(); err != nil {
		return err
	}
	b, err := c.bucket()
	if err != nil {
		return err
	}
	if o.Part == 0 {
		o.Range = parseRange(c.r.Header.Get("Range"))
	}
	if o.Range != nil && c.r.Header.Get("If-Range") != "" {
		object, err := b.Head(c.r.Context(), c.key)
		if err != nil {
			return err
		}
		if !sameAs(c.r.Header.Get("If-Range"), object) {
			o.Range = nil
		}
	}
	reader, err := b.Get(c.r.Context(), c.key, o)
	switch {
	case errors.Is(err, r2.ErrPreconditionFailed):
		return notHeld(o.OnlyIf, &reader.Object)
	case errors.Is(err, r2.ErrInvalidRange):
		return c.unsatisfiable(b, o)
	case err != nil:
		return err
	}
	defer reader.Close()
	if o.Range != nil && reader.Length == 0 {
		return c.unsatisfiable(b, o)
	}
	if err := c.describe(&reader.Object, o, reader.Offset, reader.Length, reader.Parts); err != nil {
		return err
	}
	if _, err := io.Copy(c.w, reader); err != nil {
		if c.r.Context().Err() != nil || left(err) {
			panic(http.ErrAbortHandler)
		}
		return fmt.Errorf("send %q: %w", c.key, err)
	}
	return nil
}

// left reports whether an error of sending means that the client has gone: the
// request's context may not know yet.
func left(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op != "read" // which would be of another server that has the object
}

func (c *call) headObject() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	key, err := customerKey(c.r.Header, customerPrefix)
	if err != nil {
		return err
	}
	o := r2.GetOptions{OnlyIf: conditions(c.r.Header, ""), SSECKey: key}
	if o.Part, err = c.part(); err != nil {
		return err
	}
	b, err := c.bucket()
	if err != nil {
		return err
	}
	object, err := b.Head(c.r.Context(), c.key)
	if err != nil {
		return err
	}
	if !o.OnlyIf.Holds(object) {
		return notHeld(o.OnlyIf, object)
	}
	if err := object.Unlocks(key); err != nil {
		return err
	}
	if o.Part == 0 {
		o.Range = parseRange(c.r.Header.Get("Range"))
	}
	offset, length, parts, err := b.Extent(c.r.Context(), object, o)
	if errors.Is(err, r2.ErrInvalidRange) || err == nil && o.Range != nil && length == 0 {
		return c.unsatisfiable(b, o)
	}
	if err != nil {
		return err
	}
	return c.describe(object, o, offset, length, parts)
}

// describe writes the header of an answer with an object, or a part of one.
func (c *call) describe(object *r2.Object, o r2.GetOptions, offset, length int64, parts int) error {
	h := c.w.Header()
	setObject(h, object)
	if err := c.override(h); err != nil {
		return err
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	status := http.StatusOK
	if o.Range != nil || o.Part > 0 {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, object.Size))
		if length == 0 { // the only part of an empty object
			status = http.StatusOK
			h.Del("Content-Range")
		}
	}
	if o.Part > 0 && parts > 0 {
		h.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(parts))
	}
	if strings.EqualFold(c.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && length == object.Size {
		for _, a := range algorithms {
			if value, kind := a.of(object); value != "" {
				h.Set(a.header, value)
				h.Set("X-Amz-Checksum-Type", kind)
			}
		}
	}
	c.w.WriteHeader(status)
	return nil
}

// unsatisfiable is the answer to a range, or a part, that an object does not have.
func (c *call) unsatisfiable(b *r2.Bucket, o r2.GetOptions) error {
	if o.Part > 0 {
		return refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", "The requested partnumber is not satisfiable")
	}
	e := *refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable")
	if object, err := b.Head(c.r.Context(), c.key); err == nil {
		e.header = http.Header{"Content-Range": {fmt.Sprintf("bytes */%d", object.Size)}}
	}
	return &e
}

// part reads the parameter partNumber; 0 if there is none.
func (c *call) part() (int, error) {
	if !c.query.Has("partNumber") {
		return 0, nil
	}
	n, err := strconv.Atoi(c.query.Get("partNumber"))
	if err != nil || n < 1 || n > r2.MaxParts {
		return 0, invalidArgument("Part number must be an integer between 1 and %d, inclusive", r2.MaxParts)
	}
	if c.r.Header.Get("Range") != "" {
		return 0, badRequest("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
	}
	return n, nil
}

// parseRange reads a header Range. What is not one range of bytes is not heeded.
//
// Source: https://httpwg.org/specs/rfc9110.html#field.range
func parseRange(header string) *r2.Range {
	unit, spec, ok := strings.Cut(header, "=")
	first, last, found := strings.Cut(spec, "-")
	if !ok || !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil
	}
	number := func(s string) (*int64, bool) {
		s = strings.TrimSpace(s)
		if s == "" {
			return nil, true
		}
		n, err := strconv.ParseUint(s, 10, 63)
		v := int64(n)
		return &v, err == nil
	}
	from, ok1 := number(first)
	to, ok2 := number(last)
	switch {
	case !ok1 || !ok2 || from == nil && to == nil:
		return nil
	case from == nil:
		return &r2.Range{Suffix: to}
	case to == nil:
		return &r2.Range{Offset: from}
	case *to < *from:
		return nil
	}
	length := *to - *from + 1
	if length <= 0 { // all of 63 bits
		return &r2.Range{Offset: from}
	}
	return &r2.Range{Offset: from, Length: &length}
}

// sameAs says whether an object is the one that If-Range is about.
func sameAs(header string, o *r2.Object) bool {
	if t, err := http.ParseTime(header); err == nil {
		return t.Unix() == o.Uploaded.Unix()
	}
	return header == `"`+o.ETag+`"`
}
