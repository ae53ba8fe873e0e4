package s3

import (
	"encoding/base64"
	"strconv"

	"github.com/selvage-edge/selvage/binding/r2"
)

// limit reads a parameter that bounds a page.
func (c *call) limit(name string) (int, error) {
	v := c.query.Get(name)
	if v == "" {
		return 1000, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided %s not an integer or within integer range", name)
	}
	return min(n, 1000), nil
}

func (c *call) listParts() error {
	most, err := c.limit("max-parts")
	if err != nil {
		return err
	}
	marker := 0
	if v := c.query.Get("part-number-marker"); v != "" {
		if marker, err = strconv.Atoi(v); err != nil || marker < 0 {
			return invalidArgument("Provided part-number-marker not an integer or within integer range")
		}
	}
	_, u, err := c.upload()
	if err != nil {
		return err
	}
	var parts []r2.PartInfo
	truncated := false
	info, err := u.EachPart(c.r.Context(), marker+1, func(p r2.PartInfo) bool {
		if truncated = len(parts) == most; truncated {
			return false
		}
		parts = append(parts, p)
		return true
	})
	if err != nil {
		return err
	}
	d := newDocument("ListPartsResult")
	d.text("Bucket", c.bucketName)
	d.text("Key", c.key)
	d.text("UploadId", u.ID())
	d.number("PartNumberMarker", int64(marker))
	if truncated && most > 0 {
		d.number("NextPartNumberMarker", int64(parts[len(parts)-1].Number))
	}
	d.number("MaxParts", int64(most))
	d.boolean("IsTruncated", truncated && most > 0)
	for _, p := range parts {
		d.begin("Part")
		d.number("PartNumber", int64(p.Number))
		d.time("LastModified", p.Uploaded)
		d.tag(p.ETag)
		d.number("Size", p.Size)
		for _, a := range algorithms {
			if sum := *a.field(&p.Checksums); len(sum) > 0 {
				d.text("Checksum"+a.name, base64.StdEncoding.EncodeToString(sum))
			}
		}
		d.end("Part")
	}
	c.owner(d, "Initiator")
	c.owner(d, "Owner")
	d.text("StorageClass", className(info.StorageClass))
	describeSum(d, info)
	d.end("ListPartsResult")
	return c.write(d)
}

// describeSum writes which checksum an upload has asked for.
func describeSum(d *document, info r2.UploadInfo) {
	for _, a := range algorithms {
		if a.stored == info.Checksum {
			d.text("ChecksumAlgorithm", a.name)
			d.text("ChecksumType", a.kindOfSum())
		}
	}
}

func (c *call) listMultipartUploads() error {
	l, err := c.listing("")
	if err != nil {
		return err
	}
	if l.limit, err = c.limit("max-uploads"); err != nil {
		return err
	}
	b, err := c.bucket()
	if err != nil {
		return err
	}
	o := r2.ListUploadsOptions{Prefix: l.prefix, Delimiter: l.delimiter, KeyMarker: c.query.Get("key-marker")}
	if o.KeyMarker != "" { // otherwise S3 does not heed it
		o.IDMarker = c.query.Get("upload-id-marker")
	}
	var uploads []r2.UploadInfo
	var prefixes []string
	var last r2.UploadInfo // or a group, which has no id
	truncated := false
	err = b.EachUpload(c.r.Context(), o, func(u *r2.UploadInfo, prefix string) bool {
		if truncated = len(uploads)+len(prefixes) == l.limit; truncated {
			return false
		}
		if u == nil {
			prefixes, last = append(prefixes, prefix), r2.UploadInfo{Key: prefix}
		} else {
			uploads, last = append(uploads, *u), *u
		}
		return true
	})
	if err != nil {
		return err
	}
	truncated = truncated && l.limit > 0
	d := newDocument("ListMultipartUploadsResult")
	d.text("Bucket", c.bucketName)
	d.text("KeyMarker", l.encode(o.KeyMarker))
	d.text("UploadIdMarker", o.IDMarker)
	if truncated {
		d.text("NextKeyMarker", l.encode(last.Key))
		d.text("NextUploadIdMarker", last.ID)
	}
	d.optional("Delimiter", l.encode(l.delimiter))
	d.text("Prefix", l.encode(l.prefix))
	d.optional("EncodingType", l.encoding)
	d.number("MaxUploads", int64(l.limit))
	d.boolean("IsTruncated", truncated)
	for _, u := range uploads {
		d.begin("Upload")
		d.text("Key", l.encode(u.Key))
		d.text("UploadId", u.ID)
		c.owner(d, "Initiator")
		c.owner(d, "Owner")
		d.text("StorageClass", className(u.StorageClass))
		d.time("Initiated", u.Begun)
		describeSum(d, u)
		d.end("Upload")
	}
	for _, p := range prefixes {
		d.begin("CommonPrefixes")
		d.text("Prefix", l.encode(p))
		d.end("CommonPrefixes")
	}
	d.end("ListMultipartUploadsResult")
	return c.write(d)
}
