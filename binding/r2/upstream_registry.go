package r2

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// A bucket's row says that an upstream keeps it, so that its objects are never
// looked for on this node when the settings lose the upstream.

var errNoUpstream = &Error{http.StatusServiceUnavailable, ErrUnavailable.Code, "The bucket is kept on another server, which the settings do not name any more: put its table in r2.upstreams back, or delete the bucket here."}

// local returns a bucket that this node keeps, or ErrNoSuchBucket.
func (s *Store) local(name string) (local, error) {
	b, err := s.Bucket(name)
	if errors.Is(err, errNoUpstream) {
		return local{}, ErrNoSuchBucket
	}
	if err != nil {
		return local{}, err
	}
	here, ok := b.at.(local)
	if !ok {
		return local{}, ErrNoSuchBucket
	}
	return here, nil
}

// attach leads a bucket to an upstream, and makes it unless it exists. One that has
// something on this node is refused, and so is one with rules that only this node
// carries out.
func (s *Store) attach(c config.Upstream) error {
	if err := checkBoundName(c.Name); err != nil {
		return err
	}
	remote, err := newRemote(c)
	if err != nil {
		return err
	}
	r, err := s.readBucket(c.Name)
	if errors.Is(err, ErrNoSuchBucket) {
		if err = s.create(Info{Name: c.Name, StorageClass: Standard}); err == nil {
			r, err = s.readBucket(c.Name)
		}
	}
	if err != nil {
		return err
	}
	if !r.Upstream {
		if err := s.mark(c.Name, r); err != nil {
			return err
		}
	}
	s.remotes[c.Name] = remote
	return nil
}

func (s *Store) mark(name string, r bucketRow) error {
	for _, kind := range []byte{rowObject, rowUpload} {
		rows, has := numbered(kind, r.Number, ""), false
		if err := s.db.Scan(rows, keyed.After(rows), func(_, _ []byte) bool { has = true; return false }); err != nil {
			return err
		}
		if has {
			return fmt.Errorf("this server keeps objects or uploads of it: copy them there and delete them here, or take r2.upstreams.%s out of the settings", name)
		}
	}
	set, err := s.readSettings(r.Number)
	if err != nil {
		return err
	}
	if len(set.Locks) > 0 || len(set.Notify) > 0 {
		return errors.New("it has lock rules or event notifications, which an upstream does not carry out: remove them first")
	}
	r.Upstream, r.Rules = true, []Rule{}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.db.Set(row(rowBucket, name), data)
}
