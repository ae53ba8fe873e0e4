package r2

import (
	"context"
	"errors"
	"fmt"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Usage is what a bucket holds.
type Usage struct {
	// Objects and Uploads that are not complete.
	Objects, Uploads int64
	// Payload is the content of the objects, Metadata their keys and what is stored
	// with them, in bytes.
	Payload, Metadata int64
}

// Usage counts what a bucket holds, by looking at each object. Of a bucket that is
// kept on another server uploads and custom metadata are not counted.
func (s *Store) Usage(ctx context.Context, bucket string) (u Usage, err error) {
	b, err := s.Bucket(bucket)
	if err != nil {
		return u, err
	}
	if _, here := b.at.(local); !here {
		for o := (ListOptions{}); ; {
			page, err := b.List(ctx, o)
			if err != nil {
				return u, fmt.Errorf("count objects of bucket %s: %w", bucket, err)
			}
			for _, object := range page.Objects {
				u.Objects++
				u.Payload += object.Size
				u.Metadata += int64(len(object.Key))
			}
			if o.Cursor = page.Cursor; o.Cursor == "" {
				return u, nil
			}
		}
	}
	prefix := objectKey(b.number, "")
	err = s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		if o, err := decodeObject("", v); err == nil {
			u.Objects++
			u.Payload += o.Size
			u.Metadata += int64(len(k) - len(prefix))
			for name, value := range o.Custom {
				u.Metadata += int64(len(name) + len(value))
			}
		}
		return ctx.Err() == nil
	})
	if err == nil {
		err = local{b}.eachUpload(func(string, contentID, uploadRow) bool { u.Uploads++; return ctx.Err() == nil })
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return u, fmt.Errorf("count objects of bucket %s: %w", bucket, err)
	}
	return u, nil
}
