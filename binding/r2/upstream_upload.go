package r2

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

func (u upstream) createUpload(ctx context.Context, key string, o PutOptions) (string, error) {
	if o.SSECKey != nil {
		return "", errSSECUpstream
	}
	o.Checksums = Checksums{} // those of parts are compared, and not kept
	headers, err := putHeaders(o)
	if err != nil {
		return "", err
	}
	id, err := u.once.NewMultipartUpload(ctx, u.remote.name, key, headers)
	return id, u.result(ctx, err)
}

func (u upstream) uploadPart(ctx context.Context, key, id string, number int, r io.Reader, o PartOptions) (p PartInfo, err error) {
	if o.SSECKey != nil {
		return p, errSSECUnused
	}
	u.store.writing.Add(1)
	defer u.store.writing.Add(-1)
	out, err := u.store.take(r, o.Checksums, o.Trailing)
	if err != nil {
		return p, err
	}
	defer out.close()
	stored, err := u.again.PutObjectPart(ctx, u.remote.name, key, id, number, out.Reader, out.size, minio.PutObjectPartOptions{Md5Base64: out.md5})
	if err != nil {
		return p, u.result(ctx, out.reason(err))
	}
	u.answered(nil)
	return PartInfo{Part{number, strings.Trim(stored.ETag, `"`)}, out.size, u.store.now().UTC().Truncate(time.Second), out.sums}, nil
}

// completeUpload holds the parts to R2's rules, which are stricter than S3's.
func (u upstream) completeUpload(ctx context.Context, key, id string, named []Part, _ Checksums) (*Object, error) {
	var sizes []int64
	_, err := u.listParts(ctx, key, id, 0, func(p PartInfo) bool {
		if next := len(sizes); next < len(named) && named[next] == p.Part {
			sizes = append(sizes, p.Size)
		}
		return len(sizes) < len(named)
	})
	if err != nil {
		return nil, err
	}
	if len(sizes) != len(named) || len(named) == 0 {
		return nil, ErrInvalidPart
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

func (u upstream) abortUpload(ctx context.Context, key, id string) error {
	return u.result(ctx, u.again.AbortMultipartUpload(ctx, u.remote.name, key, id))
}

// listParts does not know when the upload was begun.
func (u upstream) listParts(ctx context.Context, key, id string, first int, f func(PartInfo) bool) (UploadInfo, error) {
	info := UploadInfo{Key: key, ID: id, StorageClass: Standard}
	for marker := min(max(first-1, 0), MaxParts); ; {
		page, err := u.again.ListObjectParts(ctx, u.remote.name, key, id, marker, MaxListKeys)
		if err = u.result(ctx, err); err != nil {
			return info, err
		}
		info.StorageClass = classOf(page.StorageClass)
		for _, p := range page.ObjectParts {
			if p.PartNumber < first {
				continue
			}
			if !f(PartInfo{Part: Part{p.PartNumber, strings.Trim(p.ETag, `"`)}, Size: p.Size, Uploaded: p.LastModified.UTC()}) {
				return info, nil
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return info, nil
		}
		marker = page.NextPartNumberMarker
	}
}

func (u upstream) listUploads(ctx context.Context, o ListUploadsOptions, f func(*UploadInfo, string) bool) error {
	type entry struct {
		key    string
		upload *UploadInfo // nil: a group
	}
	for key, id := o.KeyMarker, o.IDMarker; ; {
		page, err := u.again.ListMultipartUploads(ctx, u.remote.name, o.Prefix, key, id, o.Delimiter, MaxListKeys)
		if err = u.result(ctx, err); err != nil {
			return err
		}
		var list []entry
		for _, m := range page.Uploads {
			list = append(list, entry{m.Key, &UploadInfo{Key: m.Key, ID: m.UploadID, Begun: m.Initiated.UTC(), StorageClass: classOf(m.StorageClass)}})
		}
		for _, p := range page.CommonPrefixes {
			if p.Prefix != o.KeyMarker {
				list = append(list, entry{key: p.Prefix})
			}
		}
		slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
		for _, e := range list {
			if !f(e.upload, e.key) {
				return nil
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return nil
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
