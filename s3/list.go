package s3

import (
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// listing is a list that a request asks for, whichever its version.
type listing struct {
	prefix, delimiter string
	limit             int
	encode            func(string) string
	encoding          string
}

// listing reads the parameters; limit is the one that bounds the page.
func (c *call) listing(limit string) (l listing, err error) {
	l = listing{prefix: c.query.Get("prefix"), delimiter: c.query.Get("delimiter"), limit: r2.MaxListKeys, encode: func(s string) string { return s }}
	switch l.encoding = c.query.Get("encoding-type"); l.encoding {
	case "":
	case "url":
		l.encode = encodeURL
	default:
		return l, invalidArgument("Invalid Encoding Method specified in Request")
	}
	if v := c.query.Get(limit); limit != "" && v != "" {
		l.limit, err = maxKeys(v)
	}
	return l, err
}

// encodeURL encodes all but what stands for itself in every part of a URL, and
// slashes.
func encodeURL(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// after is a StartAfter that goes on behind a name of the previous page, which may
// be that of a group.
func (l listing) after(name string) string {
	if l.delimiter != "" && strings.HasPrefix(name, l.prefix) && strings.HasSuffix(name, l.delimiter) &&
		strings.Index(name[len(l.prefix):], l.delimiter) == len(name)-len(l.prefix)-len(l.delimiter) {
		return name + "\xff" // behind every key that begins with it: no UTF-8 has that byte
	}
	return name
}

// page reads a page; one of no keys is empty and the last.
func (c *call) page(l listing, cursor, after string) (*r2.Page, error) {
	b, err := c.bucket()
	if err != nil {
		return nil, err
	}
	if l.limit == 0 {
		return &r2.Page{}, nil
	}
	return b.List(c.r.Context(), r2.ListOptions{Prefix: l.prefix, Delimiter: l.delimiter, Limit: l.limit, Cursor: cursor, StartAfter: l.after(after)})
}

// listObjectsV2 is ListObjectsV2.
func (c *call) listObjectsV2() error {
	if c.query.Get("list-type") != "2" {
		return invalidArgument("Invalid List Type specified in Request")
	}
	l, err := c.listing("max-keys")
	if err != nil {
		return err
	}
	token, after := c.query.Get("continuation-token"), c.query.Get("start-after")
	if c.query.Has("continuation-token") && token == "" {
		return invalidArgument("The continuation token provided is incorrect")
	}
	start := after
	if token != "" {
		start = "" // the token has it
	}
	page, err := c.page(l, token, start)
	if err != nil {
		return err
	}
	d := newDocument("ListBucketResult")
	d.text("Name", c.bucketName)
	d.text("Prefix", l.encode(l.prefix))
	d.optional("StartAfter", l.encode(after))
	d.optional("ContinuationToken", token)
	d.optional("NextContinuationToken", page.Cursor)
	d.number("KeyCount", int64(len(page.Objects)+len(page.Prefixes)))
	c.contents(d, l, page, c.query.Get("fetch-owner") == "true")
	d.end("ListBucketResult")
	return c.write(d)
}

// listObjects is the first version.
func (c *call) listObjects() error {
	l, err := c.listing("max-keys")
	if err != nil {
		return err
	}
	marker := c.query.Get("marker")
	page, err := c.page(l, "", marker)
	if err != nil {
		return err
	}
	d := newDocument("ListBucketResult")
	d.text("Name", c.bucketName)
	d.text("Prefix", l.encode(l.prefix))
	d.text("Marker", l.encode(marker))
	if page.Cursor != "" && l.delimiter != "" {
		d.text("NextMarker", l.encode(lastOf(page)))
	}
	c.contents(d, l, page, true)
	d.end("ListBucketResult")
	return c.write(d)
}

// lastOf is the greatest name of a page.
func lastOf(p *r2.Page) (last string) {
	if n := len(p.Objects); n > 0 {
		last = p.Objects[n-1].Key
	}
	if n := len(p.Prefixes); n > 0 {
		last = max(last, p.Prefixes[n-1])
	}
	return last
}

// contents writes what both versions have.
func (c *call) contents(d *document, l listing, page *r2.Page, owner bool) {
	d.optional("Delimiter", l.encode(l.delimiter))
	d.number("MaxKeys", int64(l.limit))
	d.optional("EncodingType", l.encoding)
	d.boolean("IsTruncated", page.Cursor != "")
	for _, o := range page.Objects {
		d.begin("Contents")
		d.text("Key", l.encode(o.Key))
		d.time("LastModified", o.Uploaded)
		d.tag(o.ETag)
		d.number("Size", o.Size)
		if owner {
			c.owner(d, "Owner")
		}
		d.text("StorageClass", className(o.StorageClass))
		d.end("Contents")
	}
	for _, p := range page.Prefixes {
		d.begin("CommonPrefixes")
		d.text("Prefix", l.encode(p))
		d.end("CommonPrefixes")
	}
}
