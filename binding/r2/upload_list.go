package r2

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// UploadInfo describes an upload that is not complete.
type UploadInfo struct {
	Key, ID string
	Begun   time.Time
	// StorageClass is that of the object to come.
	StorageClass string
	// Checksum is the name of the checksum that is computed of every part, "" if none
	// is: "SHA-256", "CRC64NVME".
	Checksum string
}

// ListUploadsOptions select uploads. The zero value selects all.
type ListUploadsOptions struct {
	// Prefix and Delimiter are as in ListOptions.
	Prefix, Delimiter string
	// KeyMarker is a key, or a group: what is listed comes after it. With IDMarker,
	// the id of an upload of that key, later uploads of that key come, too.
	KeyMarker, IDMarker string
}

// EachUpload calls f with each upload that is not complete, sorted by key and then
// by id, until it returns false. With a delimiter it gets groups, too, as objects
// are grouped: u is nil then.
func (b *Bucket) EachUpload(ctx context.Context, o ListUploadsOptions, f func(u *UploadInfo, prefix string) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	if err := b.at.listUploads(ctx, o, f); err != nil {
		return fmt.Errorf("list uploads: %w", err)
	}
	return nil
}

// EachPart calls f with each part of the upload, sorted by number, from first on,
// until it returns false.
func (u *Upload) EachPart(ctx context.Context, first int, f func(PartInfo) bool) (UploadInfo, error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return UploadInfo{}, err
	}
	info, err := u.b.at.listParts(ctx, u.key, u.id, max(first, 0), f)
	if err != nil {
		return info, fmt.Errorf("list parts of %q: %w", u.key, err)
	}
	return info, nil
}

func (r *uploadRow) info(key string, id contentID) UploadInfo {
	i := UploadInfo{Key: key, ID: id.uploadID(), Begun: time.UnixMilli(r.Begun).UTC(), StorageClass: r.Class, Checksum: r.Sum}
	if i.StorageClass == "" {
		i.StorageClass = Standard
	}
	return i
}

func (b local) listUploads(ctx context.Context, o ListUploadsOptions, f func(u *UploadInfo, prefix string) bool) error {
	lower := numbered(rowUpload, b.number, closer.Replace(o.Prefix))
	upper := keyed.After(lower)
	var marker contentID
	if o.IDMarker != "" {
		var err error
		if marker, err = parseUploadID(o.IDMarker); err != nil {
			return err
		}
	}
	if o.KeyMarker != "" {
		if from := uploadKey(b.number, o.KeyMarker, marker); bytes.Compare(from, lower) > 0 {
			lower = from
		}
	}
	grouping := ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter}
	group := ""
	return b.eachUploadFrom(lower, upper, func(key string, id contentID, row uploadRow) bool {
		switch {
		case ctx.Err() != nil:
			return false
		case key == o.KeyMarker && (o.IDMarker == "" || string(id[:]) <= string(marker[:])):
			return true
		}
		prefix, grouped := groupOf(key, grouping)
		switch {
		case !grouped:
			info := row.info(key, id)
			return f(&info, "")
		case prefix == group || prefix == o.KeyMarker:
			return true
		}
		group = prefix
		return f(nil, prefix)
	})
}

func (b local) listParts(_ context.Context, key, id string, first int, f func(PartInfo) bool) (UploadInfo, error) {
	u := localUpload{b, key, id}
	content, row, err := u.find()
	if err != nil || first > MaxParts {
		return row.info(key, content), err
	}
	var failed error
	err = b.store.parts(content, uint16(first), func(number uint16, p part) bool {
		info := PartInfo{Part: Part{int(number), hex.EncodeToString(p.md5[:])}, Size: p.size, Uploaded: time.UnixMilli(row.Begun).UTC()}
		if failed = b.store.note(content, &info); failed != nil {
			return false
		}
		return f(info)
	})
	return row.info(key, content), errors.Join(err, failed)
}
