package r2

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

var errSSECUpstream = &Error{http.StatusBadRequest, ErrInvalidArgument.Code, "The bucket is kept on another S3 server, which is not given the keys of customers (SSE-C)."}

func (u upstream) put(ctx context.Context, key string, r io.Reader, o PutOptions) (*Object, error) {
	if o.SSECKey != nil {
		return nil, errSSECUpstream
	}
	condition, err := u.test(ctx, key, o.OnlyIf) // saves reading what is refused
	if err != nil {
		return nil, err
	}
	u.store.writing.Add(1)
	defer u.store.writing.Add(-1)
	out, err := u.store.take(r, o.Checksums, o.Trailing)
	if err != nil {
		return nil, err
	}
	defer out.close()
	o.Checksums = out.sums
	headers, err := putHeaders(o)
	if err != nil {
		return nil, err
	}
	client := u.once
	if o.OnlyIf == nil {
		client = u.again // the same bytes, whatever has become of the first try
	}
	for range tries {
		info, err := client.PutObject(ctx, u.remote.name, key, out.Reader, out.size, out.md5, "", condition(headers))
		if err == nil {
			u.answered(nil)
			return u.stored(ctx, key, info.ETag, o, out.size), nil
		}
		if err = u.result(ctx, out.reason(err)); o.OnlyIf == nil {
			return nil, err
		}
		// Others have written the key. The condition may hold for that, too.
		if !errors.Is(err, ErrPreconditionFailed) && !errors.Is(err, ErrNoSuchKey) {
			return nil, err
		}
		if !out.repeatable() {
			break
		}
		if condition, err = u.test(ctx, key, o.OnlyIf); err != nil {
			return nil, err
		}
	}
	return nil, ErrPreconditionFailed
}

// test tests a condition. What it returns adds to the headers of a put what lets it
// succeed only while the key is as it was.
func (u upstream) test(ctx context.Context, key string, c *Conditional) (func(minio.PutObjectOptions) minio.PutObjectOptions, error) {
	if c == nil {
		return func(p minio.PutObjectOptions) minio.PutObjectOptions { return p }, nil
	}
	o, err := u.head(ctx, key)
	if err != nil && !errors.Is(err, ErrNoSuchKey) {
		return nil, err
	}
	if !c.Holds(o) {
		return nil, ErrPreconditionFailed
	}
	return func(p minio.PutObjectOptions) minio.PutObjectOptions {
		if o == nil {
			p.SetMatchETagExcept("*")
		} else {
			p.SetMatchETag(o.ETag)
		}
		return p
	}, nil
}

// stored describes what was put: as the server does, unless it does not answer or
// the next put has come.
func (u upstream) stored(ctx context.Context, key, etag string, o PutOptions, size int64) *Object {
	if object, err := u.head(ctx, key); err == nil && object.ETag == etag {
		return object
	}
	object := &Object{Key: key, Size: size, ETag: etag, Uploaded: u.store.now(), HTTP: o.HTTP, Custom: o.Custom, Checksums: o.Checksums}
	object.complete("", "")
	if o.StorageClass == InfrequentAccess {
		object.StorageClass = InfrequentAccess
	}
	return object
}
