package r2

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
)

// Bucket is a set of objects: what a Worker's R2 binding is to JavaScript. It is
// safe for concurrent use and stays valid as long as the store; after the bucket
// has been deleted every call returns ErrNoSuchBucket.
type Bucket struct {
	name    string
	number  uint64
	store   *Store
	deleted atomic.Bool // set under store.commits

	settings atomic.Pointer[settings] // changed under store.registry
	at       objects
}

// objects is where the objects of a bucket are. The bucket has checked keys and
// options, and says in an error what was tried.
type objects interface {
	head(ctx context.Context, key string) (*Object, error)
	// part says where the n-th part of an object is, and how many it has: 0 if it was
	// put as a whole. ErrInvalidRange: it does not have that part.
	part(ctx context.Context, o *Object, n int) (at Range, parts int, err error)
	get(ctx context.Context, key string, o GetOptions) (*Reader, error)
	put(ctx context.Context, key string, r io.Reader, o PutOptions) (*Object, error)
	// delete takes keys that are sorted, each once.
	delete(ctx context.Context, keys []string) error
	// list calls f with each object, or prefix of a group, of the page. The page ends
	// before what f returns false for.
	list(ctx context.Context, o ListOptions, f func(o *Object, prefix string) bool) (cursor string, err error)

	createUpload(ctx context.Context, key string, o PutOptions) (id string, err error)
	uploadPart(ctx context.Context, key, id string, number int, r io.Reader, o PartOptions) (PartInfo, error)
	completeUpload(ctx context.Context, key, id string, parts []Part, want Checksums) (*Object, error)
	abortUpload(ctx context.Context, key, id string) error
	// listUploads calls f with each upload, or prefix of a group, behind the markers,
	// until it returns false.
	listUploads(ctx context.Context, o ListUploadsOptions, f func(u *UploadInfo, prefix string) bool) error
	// listParts calls f with each part of an upload from number first on, until it
	// returns false.
	listParts(ctx context.Context, key, id string, first int, f func(PartInfo) bool) (UploadInfo, error)
}

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// begin is what every operation on a key begins with.
func (b *Bucket) begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	return CheckKey(key)
}

// Head describes an object, or is ErrNoSuchKey.
func (b *Bucket) Head(ctx context.Context, key string) (*Object, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	o, err := b.at.head(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("head %q: %w", key, err)
	}
	return o, nil
}

// Extent says what of an object Get reads with these options, and if o.Part is set
// of how many parts the object was made, 0 if it was put as a whole. The error is
// ErrInvalidRange if the object does not have that.
func (b *Bucket) Extent(ctx context.Context, object *Object, o GetOptions) (offset, length int64, parts int, err error) {
	part := o.Range
	switch {
	case o.Part > 0:
		var at Range
		if at, parts, err = b.at.part(ctx, object, o.Part); err != nil {
			return 0, 0, parts, err
		}
		if *at.Length == 0 {
			return *at.Offset, 0, parts, nil // of an empty object, or the last of an upload
		}
		part = &at
	case part == nil && o.RangeHeader != "":
		part = ParseRange(o.RangeHeader, object.Size)
	}
	offset, length, err = part.within(object.Size)
	return offset, length, parts, err
}

// GetOptions say what of an object is read. The zero value reads all of it.
type GetOptions struct {
	// OnlyIf must hold for the object.
	OnlyIf *Conditional
	// Range is what is read. Nil: RangeHeader says it.
	Range *Range
	// RangeHeader is the value of a header Range; what is not one satisfiable range
	// is not heeded. Empty: everything.
	RangeHeader string
	// Part is the number, from 1, of one of the parts that the object was made of, in
	// their order; an object that was put as a whole is its part 1. That is what is
	// read, whatever the range. 0: not asked.
	Part int
	// SSECKey is the key that the object was stored with.
	SSECKey []byte
}

// Get opens an object for reading. The error is ErrNoSuchKey if there is none. If
// OnlyIf does not hold it is ErrPreconditionFailed, and the Reader, which then has
// nothing to read, describes the object.
func (b *Bucket) Get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	r, err := b.at.get(ctx, key, o)
	if err != nil {
		return r, fmt.Errorf("get %q: %w", key, err)
	}
	return r, nil
}

// Put stores what r gives as an object, durably. When anything fails nothing has
// changed; an error of r is in the chain. The error is ErrPreconditionFailed if
// OnlyIf does not hold.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader, o PutOptions) (*Object, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, err
	}
	if err := o.check(key); err != nil {
		return nil, fmt.Errorf("put %q: %w", key, err)
	}
	object, err := b.at.put(ctx, key, r, o)
	if err != nil {
		return nil, fmt.Errorf("put %q: %w", key, err)
	}
	return object, nil
}

// Delete removes objects, durably and all at one moment; up to MaxDeleteKeys. It
// is no error if there are none.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	if len(keys) > MaxDeleteKeys {
		return fmt.Errorf("delete: %w", invalid("There are %d keys; at most %d are allowed.", len(keys), MaxDeleteKeys))
	}
	for _, key := range keys {
		if err := b.begin(ctx, key); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	if err := b.at.delete(ctx, keys); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}
