package r2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Info describes a bucket.
type Info struct {
	// Name is unique.
	Name string
	// Created is when it was made.
	Created time.Time
	// StorageClass is that of objects that are stored over the REST API or the S3 API
	// and do not say.
	StorageClass string
	// Location is what its maker asked for, "" for nothing: all buckets are here.
	Location string
}

// bucketRow is the JSON in a bucket's row.
type bucketRow struct {
	Number   uint64 `json:"number"`
	Created  int64  `json:"created"` // in milliseconds since 1970
	Class    string `json:"class"`
	Location string `json:"location,omitempty"`
	// Rules are the defaults if nil.
	Rules []Rule `json:"rules,omitzero"`
	// Upstream is whether another server keeps the objects.
	Upstream bool `json:"upstream,omitempty"`
}

func (r bucketRow) info(name string) Info {
	return Info{Name: name, Created: time.UnixMilli(r.Created).UTC(), StorageClass: r.Class, Location: r.Location}
}

// Bucket returns the bucket with that name, or ErrNoSuchBucket.
func (s *Store) Bucket(name string) (*Bucket, error) {
	s.registry.Lock()
	defer s.registry.Unlock()
	return s.bucket(name)
}

func (s *Store) bucket(name string) (*Bucket, error) {
	if b := s.buckets[name]; b != nil {
		return b, nil
	}
	r, err := s.readBucket(name)
	if err != nil {
		return nil, err
	}
	set, err := s.readSettings(r.Number)
	if err != nil {
		return nil, err
	}
	b := &Bucket{name: name, number: r.Number, store: s}
	b.settings.Store(set)
	switch remote := s.remotes[name]; {
	case !r.Upstream:
		b.at = local{b}
	case remote != nil:
		b.at = upstream{b, remote}
	default:
		return nil, errNoUpstream
	}
	s.buckets[name] = b
	return b, nil
}

func (s *Store) readBucket(name string) (r bucketRow, err error) {
	v, found, err := s.db.Get(row(rowBucket, name))
	if err != nil {
		return r, err
	}
	if !found {
		return r, ErrNoSuchBucket
	}
	defer v.Release()
	if err := json.Unmarshal(v.Bytes, &r); err != nil {
		return r, fmt.Errorf("bucket %s: %w: %w", name, errCorrupt, err)
	}
	return r, nil
}

// Ensure returns the bucket with that name and makes it if there is none.
func (s *Store) Ensure(name string) (*Bucket, error) {
	if err := checkBoundName(name); err != nil {
		return nil, err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	b, err := s.bucket(name)
	if !errors.Is(err, ErrNoSuchBucket) {
		return b, err
	}
	if err := s.create(Info{Name: name, StorageClass: Standard}); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", name, err)
	}
	return s.bucket(name)
}

// CreateBucket makes an empty bucket. Of i, Created is not used. The error is
// ErrBucketExists if there is one of that name.
func (s *Store) CreateBucket(ctx context.Context, i Info) (Info, error) {
	if err := CheckName(i.Name); err != nil {
		return Info{}, err
	}
	switch i.StorageClass {
	case "":
		i.StorageClass = Standard
	case Standard, InfrequentAccess:
	default:
		return Info{}, invalid("The storage class %q is not valid: use %s or %s.", i.StorageClass, Standard, InfrequentAccess)
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	if _, err := s.readBucket(i.Name); err == nil {
		return Info{}, ErrBucketExists
	} else if !errors.Is(err, ErrNoSuchBucket) {
		return Info{}, err
	}
	if err := s.create(i); err != nil {
		return Info{}, fmt.Errorf("create bucket %s: %w", i.Name, err)
	}
	return s.info(i.Name)
}

// create is called with the registry locked.
func (s *Store) create(i Info) error {
	b := s.db.Batch()
	defer b.Close()
	number, err := b.Next(row(rowCounter))
	if err != nil {
		return err
	}
	data, err := json.Marshal(bucketRow{Number: number, Created: s.moment().UnixMilli(), Class: i.StorageClass, Location: i.Location})
	if err != nil {
		return err
	}
	b.Set(row(rowBucket, i.Name), data)
	return b.Commit()
}

func (s *Store) info(name string) (Info, error) {
	r, err := s.readBucket(name)
	return r.info(name), err
}

// Info describes the bucket with that name, or is ErrNoSuchBucket.
func (s *Store) Info(ctx context.Context, name string) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	return s.info(name)
}

// SetStorageClass changes what Info.StorageClass says.
func (s *Store) SetStorageClass(ctx context.Context, name, class string) (Info, error) {
	if class != Standard && class != InfrequentAccess {
		return Info{}, invalid("The storage class %q is not valid: use %s or %s.", class, Standard, InfrequentAccess)
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	r, err := s.readBucket(name)
	if err != nil {
		return Info{}, err
	}
	r.Class = class
	data, err := json.Marshal(r)
	if err != nil {
		return Info{}, err
	}
	return r.info(name), s.db.Set(row(rowBucket, name), data)
}

// Buckets returns all buckets, sorted by name.
func (s *Store) Buckets(ctx context.Context) ([]Info, error) {
	prefix := row(rowBucket)
	list, failed := []Info{}, error(nil)
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		var r bucketRow
		if failed = json.Unmarshal(v, &r); failed == nil {
			failed = ctx.Err()
		}
		list = append(list, r.info(string(k[len(prefix):])))
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("list buckets: %w", err)
	}
	return list, nil
}

// DeleteBucket removes a bucket. The error is ErrBucketNotEmpty if it has objects;
// uploads that are not complete are aborted.
func (s *Store) DeleteBucket(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	if s.remotes[name] != nil {
		return invalid("The bucket is kept on another server: take r2.upstreams.%s out of the settings first.", name)
	}
	b, err := s.bucket(name)
	if errors.Is(err, errNoUpstream) {
		return s.db.Delete(row(rowBucket, name)) // there is nothing of it here
	}
	if err != nil {
		return err
	}
	uploads, err := s.deleteBucket(b)
	if err != nil {
		if !errors.Is(err, ErrBucketNotEmpty) {
			err = fmt.Errorf("delete bucket %s: %w", name, err)
		}
		return err
	}
	delete(s.buckets, name)
	s.rehost(b, b.settings.Load(), new(settings))
	for _, id := range uploads {
		s.collect(leftover{content: id, parts: true})
	}
	return nil
}

// deleteBucket returns the contents that are garbage now.
func (s *Store) deleteBucket(b *Bucket) (uploads []contentID, err error) {
	s.commits.Lock()
	defer s.commits.Unlock()
	objects := objectKey(b.number, "")
	empty := true
	if err := s.db.Scan(objects, keyed.After(objects), func(_, _ []byte) bool { empty = false; return false }); err != nil {
		return nil, err
	}
	if !empty {
		return nil, ErrBucketNotEmpty
	}
	batch := s.db.Batch()
	defer batch.Close()
	err = local{b}.eachUpload(func(_ string, id contentID, _ uploadRow) bool {
		batch.Set(garbageKey(id), nil)
		uploads = append(uploads, id)
		return true
	})
	if err != nil {
		return nil, err
	}
	rows := numbered(rowUpload, b.number, "")
	batch.DeleteRange(rows, keyed.After(rows))
	batch.Delete(row(rowBucket, b.name))
	batch.Delete(settingsKey(b.number))
	if err := batch.Commit(); err != nil {
		return nil, err
	}
	b.deleted.Store(true)
	return uploads, nil
}
