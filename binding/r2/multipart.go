package r2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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

// CreateMultipartUpload begins an upload. OnlyIf and Checksums are not used.
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
	p, err := u.uploadPart(ctx, number, r, Checksums{}, key)
	if err != nil {
		return p, fmt.Errorf("upload part %d of %q: %w", number, u.key, err)
	}
	return p, nil
}

// uploadPart is UploadPart, with checksums that are compared and forgotten.
func (u *Upload) uploadPart(ctx context.Context, number int, r io.Reader, want Checksums, key []byte) (p Part, err error) {
	if err := u.b.begin(ctx, u.key); err != nil {
		return p, err
	}
	if number < 1 || number > MaxParts {
		return p, invalid("The part number %d is not valid: it must be from 1 to %d.", number, MaxParts)
	}
	if err := want.check(); err != nil {
		return p, err
	}
	return u.b.at.uploadPart(ctx, u.key, u.id, number, r, want, key)
}

// Complete makes the object of the parts, in the order of their numbers, and ends
// the upload. All but the last have the same size, of at least MinPartBytes. Parts
// that are not named are deleted.
func (u *Upload) Complete(ctx context.Context, parts []Part) (*Object, error) {
	o, err := u.complete(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("complete upload of %q: %w", u.key, err)
	}
	return o, nil
}

func (u *Upload) complete(ctx context.Context, parts []Part) (*Object, error) {
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
	return u.b.at.completeUpload(ctx, u.key, u.id, named)
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
