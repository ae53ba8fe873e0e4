package r2

import (
	"context"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"
)

func (u upstream) createUpload(ctx context.Context, key string, o PutOptions) (string, error) {
	if o.SSECKey != nil {
		return "", errSSECUpstream
	}
	o.Checksums = Checksums{}
	headers, err := putHeaders(o)
	if err != nil {
		return "", err
	}
	id, err := u.once.NewMultipartUpload(ctx, u.remote.name, key, headers)
	return id, u.result(ctx, err)
}

func (u upstream) uploadPart(ctx context.Context, key, id string, number int, r io.Reader, want Checksums, ssecKey []byte) (Part, error) {
	if ssecKey != nil {
		return Part{}, errSSECUnused
	}
	u.store.writing.Add(1)
	defer u.store.writing.Add(-1)
	out, err := u.store.take(r, want, nil)
	if err != nil {
		return Part{}, err
	}
	defer out.close()
	p, err := u.again.PutObjectPart(ctx, u.remote.name, key, id, number, out.Reader, out.size, minio.PutObjectPartOptions{Md5Base64: out.md5})
	if err != nil {
		err = out.reason(err)
	}
	return Part{number, p.ETag}, u.result(ctx, err)
}

// completeUpload holds the parts to R2's rules, which are stricter than S3's.
func (u upstream) completeUpload(ctx context.Context, key, id string, named []Part) (*Object, error) {
	sizes, err := u.sizes(ctx, key, id, named)
	if err != nil {
		return nil, err
	}
	if err := u.store.checkSizes(sizes); err != nil {
		return nil, err
	}
	parts := make([]minio.CompletePart, len(named))
	size := int64(0)
	for i, p := range named {
		parts[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
		size += sizes[i]
	}
	info, err := u.once.CompleteMultipartUpload(ctx, u.remote.name, key, id, parts, minio.PutObjectOptions{})
	if err = u.result(ctx, err); err != nil {
		return nil, err
	}
	return u.stored(ctx, key, strings.Trim(info.ETag, `"`), PutOptions{}, size), nil
}

// sizes are those of the named parts, or ErrInvalidPart if one is not there.
func (u upstream) sizes(ctx context.Context, key, id string, named []Part) (sizes []int64, err error) {
	for marker := 0; ; {
		page, err := u.again.ListObjectParts(ctx, u.remote.name, key, id, marker, MaxListKeys)
		if err = u.result(ctx, err); err != nil {
			return nil, err
		}
		for _, p := range page.ObjectParts {
			if len(sizes) < len(named) && named[len(sizes)].Number == p.PartNumber {
				if strings.Trim(p.ETag, `"`) != named[len(sizes)].ETag {
					return nil, ErrInvalidPart
				}
				sizes = append(sizes, p.Size)
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			break
		}
		marker = page.NextPartNumberMarker
	}
	if len(sizes) != len(named) {
		return nil, ErrInvalidPart
	}
	return sizes, nil
}

func (u upstream) abortUpload(ctx context.Context, key, id string) error {
	return u.result(ctx, u.again.AbortMultipartUpload(ctx, u.remote.name, key, id))
}
