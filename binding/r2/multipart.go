package r2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Upload is an object that is uploaded in parts: they may come in any order, at
// the same time, and again. It is safe for concurrent use, and stays usable after a
// restart of the server.
type Upload struct {
	b   *Bucket
	key string
	id  string
}

// Key is the key of the object to come.
func (u *Upload) Key() string { return u.key }

// ID names the upload to ResumeMultipartUpload. Whoever has it may change the
// upload.
func (u *Upload) ID() string { return u.id }

// Part is a part that has been uploaded.
type Part struct {
	// Number is from 1 to MaxParts.
	Number int
	// ETag is the MD5 of the part in hexadecimal.
	ETag string
}

// PartInfo describes a part that has been uploaded.
type PartInfo struct {
	Part
	// Size in bytes.
	Size     int64
	Uploaded time.Time
	// Checksums that the part was stored with. What is kept elsewhere may have none.
	Checksums Checksums
}

// PartOptions go with a part.
type PartOptions struct {
	// Checksums and Trailing are as in PutOptions.
	Checksums Checksums
	Trailing  func() (Checksums, error)
	// SSECKey is the key that the upload was begun with.
	SSECKey []byte
}

// CreateMultipartUpload begins an upload. OnlyIf is not used. If one of Checksums is
// empty but not nil, it is computed of every part, and the object gets what is made
// of those: Object.PartSums, or for CRC64NVME that of the whole content.
func (b *Bucket) CreateMultipartUpload(ctx context.Context, key string, o PutOptions) (*Upload, error) {
	fail := func(err error) (*Upload, error) { return nil, fmt.Errorf("begin upload of %q: %w", key, err) }
	if err := b.begin(ctx, key); err != nil {
		return fail(err)
	}
	if err := o.check(key); err != nil {
		return fail(err)
	}
	id, err := b.at.createUpload(ctx, key, o)
	if err != nil {
		return fail(err)
	}
	return &Upload{b, key, id}, nil
}

// ResumeMultipartUpload returns an upload by its ID. Whether there is one is told
// by the upload's methods.
func (b *Bucket) ResumeMultipartUpload(key, id string) *Upload { return &Upload{b, key, id} }

// UploadPart stores a part, durably, in the place of an earlier one of its number.
// key is the SSE-C key that the upload was begun with, or nil.
func (u *Upload) UploadPart(ctx context.Context, number int, r io.Reader, key []byte) (Part, error) {
	p, err := u.Put(ctx, number, r, PartOptions{SSECKey: key})
	return p.Part, err
}

// Put is UploadPart with options.
func (u *Upload) Put(ctx context.Context, number int, r io.Reader, o PartOptions) (PartInfo, error) {
	p, err := u.put(ctx, number, r, o)
	if err != nil {
		return p, fmt.Errorf("upload part %d of %q: %w", number, u.key, err)
	}
	return p, nil
}

func (u *Upload) put(ctx context.Context, number int, r io.Reader, o PartOptions) (p PartInfo, err error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return p, err
	}
	if number < 1 || number > MaxParts {
		return p, invalid("The part number %d is not valid: it must be from 1 to %d.", number, MaxParts)
	}
	if err := o.Checksums.check(); err != nil {
		return p, err
	}
	return u.b.at.uploadPart(ctx, u.key, u.id, number, r, o)
}

// Complete makes the object of the parts, in the order of their numbers, and ends
// the upload. All but the last have the same size, of at least MinPartBytes. Parts
// that are not named are deleted.
func (u *Upload) Complete(ctx context.Context, parts []Part) (*Object, error) {
	return u.CompleteAs(ctx, parts, Checksums{})
}

// CompleteAs is Complete for an object that must have a checksum: ErrBadDigest says
// that the one that was computed, of the whole or of the checksums of the parts, is
// another. Those that the upload has not asked for are not compared.
func (u *Upload) CompleteAs(ctx context.Context, parts []Part, want Checksums) (*Object, error) {
	o, err := u.complete(ctx, parts, want)
	if err != nil {
		return nil, fmt.Errorf("complete upload of %q: %w", u.key, err)
	}
	return o, nil
}

func (u *Upload) complete(ctx context.Context, parts []Part, want Checksums) (*Object, error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return nil, err
	}
	named := make([]Part, len(parts))
	for i, p := range parts {
		if p.Number < 1 || p.Number > MaxParts {
			return nil, ErrInvalidPart
		}
		named[i] = Part{p.Number, strings.Trim(p.ETag, `"`)}
	}
	slices.SortFunc(named, func(a, b Part) int { return a.Number - b.Number })
	for i, p := range named[min(1, len(named)):] {
		if p.Number == named[i].Number {
			return nil, invalid("The part %d is named twice.", p.Number)
		}
	}
	return u.b.at.completeUpload(ctx, u.key, u.id, named, want)
}

// Abort ends the upload and deletes its parts. It is no error if the upload has
// ended already.
func (u *Upload) Abort(ctx context.Context) error {
	err := u.b.begin(ctx, u.key)
	if err == nil {
		err = u.b.at.abortUpload(ctx, u.key, u.id)
	}
	if err != nil && !errors.Is(err, ErrNoSuchUpload) {
		return fmt.Errorf("abort upload of %q: %w", u.key, err)
	}
	return nil
}

// checkSizes holds the parts of an upload, in their order, to R2's rules.
func (s *Store) checkSizes(sizes []int64) error {
	if len(sizes) == 0 {
		return nil
	}
	whole, last := sizes[:len(sizes)-1], sizes[len(sizes)-1]
	for _, size := range whole {
		if size < s.minPart {
			return ErrPartTooSmall
		}
		if size != whole[0] {
			return ErrBadUpload
		}
	}
	if len(whole) > 0 && last > whole[0] {
		return ErrBadUpload
	}
	return nil
}
