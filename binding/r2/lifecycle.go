package r2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Rule says what becomes of objects and uploads in time. Rules are carried out
// every hour.
//
// Source: https://developers.cloudflare.com/r2/buckets/object-lifecycles/
type Rule struct {
	// ID is unique in its bucket.
	ID      string `json:"id"`
	Enabled bool   `json:"enabled"`
	// Conditions say which keys it is about.
	Conditions struct {
		Prefix string `json:"prefix"`
	} `json:"conditions"`
	// Delete deletes objects, Classes change their storage class, Abort aborts
	// uploads that are not complete. One of them is set.
	Delete  *Transition       `json:"deleteObjectsTransition,omitempty"`
	Classes []ClassTransition `json:"storageClassTransitions,omitempty"`
	Abort   *Transition       `json:"abortMultipartUploadsTransition,omitempty"`
}

// Transition is when something is done.
type Transition struct {
	Condition Due `json:"condition"`
}

// ClassTransition is when an object gets another storage class.
type ClassTransition struct {
	Condition    Due    `json:"condition"`
	StorageClass string `json:"storageClass"`
}

// Due is a point in time for each object.
type Due struct {
	// Type is "Age" or "Date".
	Type string `json:"type"`
	// MaxAge is the age in seconds.
	MaxAge int64 `json:"maxAge,omitempty"`
	// Date is when it is due for all objects that were uploaded before.
	Date time.Time `json:"date,omitzero"`
}

// MaxRules is the number of rules of a bucket.
const MaxRules = 1000

// maxRuleBytes bounds the rules of a bucket as JSON: they are in one row.
const maxRuleBytes = 60 << 10

// defaultRules are those of a bucket for which nothing else was said.
func defaultRules() []Rule {
	return []Rule{{ID: "Default Multipart Abort Rule", Enabled: true, Abort: &Transition{Due{Type: "Age", MaxAge: int64(UploadLifetime / time.Second)}}}}
}

// UnmarshalJSON implements json.Unmarshaler: a date may come without a time.
func (d *Due) UnmarshalJSON(data []byte) error {
	var raw struct {
		Type   string `json:"type"`
		MaxAge int64  `json:"maxAge"`
		Date   string `json:"date"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*d = Due{Type: raw.Type, MaxAge: raw.MaxAge}
	if raw.Date == "" {
		return nil
	}
	var err error
	if d.Date, err = time.Parse(time.RFC3339, raw.Date); err != nil {
		d.Date, err = time.Parse(time.DateOnly, raw.Date)
	}
	return err
}

// of reports whether it is due for what was stored at a moment.
func (d Due) of(stored, now time.Time) bool {
	if d.Type == "Date" {
		return !now.Before(d.Date) && stored.Before(d.Date)
	}
	return now.Sub(stored) >= time.Duration(d.MaxAge)*time.Second
}

func (d Due) check(id string) error {
	switch {
	case d.Type == "Age" && d.MaxAge > 0 && d.MaxAge < 1<<32:
	case d.Type == "Date" && !d.Date.IsZero():
	default:
		return invalid("The condition of the rule %q is not valid: it must be an Age with a maxAge above 0, or a Date.", id)
	}
	return nil
}

func (r *Rule) check() error {
	if r.ID == "" || len(r.ID) > 255 {
		return invalid("The id %q of a rule must have 1 to 255 bytes.", r.ID)
	}
	if len(r.Conditions.Prefix) > MaxKeyBytes {
		return invalid("The prefix of the rule %q has over %d bytes.", r.ID, MaxKeyBytes)
	}
	if r.Delete == nil && r.Abort == nil && len(r.Classes) == 0 {
		return invalid("The rule %q does nothing: it needs a transition.", r.ID)
	}
	if r.Delete != nil {
		if err := r.Delete.Condition.check(r.ID); err != nil {
			return err
		}
	}
	if r.Abort != nil {
		if err := r.Abort.Condition.check(r.ID); err != nil {
			return err
		}
		if r.Abort.Condition.Type != "Age" {
			return invalid("The rule %q must abort uploads by their Age.", r.ID)
		}
	}
	for _, c := range r.Classes {
		if err := c.Condition.check(r.ID); err != nil {
			return err
		}
		if c.StorageClass != InfrequentAccess {
			return invalid("The rule %q can change the storage class to %s only.", r.ID, InfrequentAccess)
		}
	}
	return nil
}

// Rules are the lifecycle rules of a bucket.
func (s *Store) Rules(ctx context.Context, bucket string) ([]Rule, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := s.readBucket(bucket)
	if err == nil && r.Rules == nil {
		r.Rules = defaultRules()
	}
	return r.Rules, err
}

// SetRules replaces the lifecycle rules of a bucket. Without any, nothing is deleted
// or aborted by itself.
func (s *Store) SetRules(ctx context.Context, bucket string, rules []Rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(rules) > MaxRules {
		return invalid("There are %d rules; at most %d are allowed.", len(rules), MaxRules)
	}
	ids := map[string]bool{}
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return err
		}
		if ids[rules[i].ID] {
			return invalid("Two rules have the id %q.", rules[i].ID)
		}
		ids[rules[i].ID] = true
	}
	if rules == nil {
		rules = []Rule{}
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	r, err := s.readBucket(bucket)
	if err != nil {
		return err
	}
	if r.Upstream {
		return invalid("The bucket is kept on another server: set its lifecycle rules there.")
	}
	r.Rules = rules
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(data) > maxRuleBytes {
		return invalid("The rules have %d bytes of JSON together; at most %d are allowed.", len(data), maxRuleBytes)
	}
	return s.db.Set(row(rowBucket, bucket), data)
}

// live carries out the rules of all buckets, and returns how many objects and uploads
// have gone.
func (s *Store) live(ctx context.Context) (gone int, err error) {
	buckets, err := s.Buckets(ctx)
	if err != nil {
		return 0, err
	}
	for _, info := range buckets {
		b, err := s.local(info.Name)
		if errors.Is(err, ErrNoSuchBucket) {
			continue // deleted meanwhile, or not here
		}
		if err != nil {
			return gone, err
		}
		rules, err := s.Rules(ctx, info.Name)
		if err == nil {
			var n int
			n, err = b.live(ctx, rules)
			gone += n
		}
		if err != nil && !errors.Is(err, ErrNoSuchBucket) {
			return gone, fmt.Errorf("lifecycle rules of bucket %s: %w", info.Name, err)
		}
	}
	return gone, nil
}

func (b local) live(ctx context.Context, rules []Rule) (gone int, err error) {
	for _, r := range rules {
		if !r.Enabled {
			continue
		}
		if r.Abort != nil {
			n, err := b.abortOld(ctx, r)
			if gone += n; err != nil {
				return gone, err
			}
		}
		if r.Delete != nil || len(r.Classes) > 0 {
			n, err := b.age(ctx, r)
			if gone += n; err != nil {
				return gone, err
			}
		}
	}
	return gone, nil
}

// abortOld aborts the uploads whose time is over.
func (b local) abortOld(ctx context.Context, r Rule) (aborted int, err error) {
	var old []*Upload
	err = b.eachUpload(func(key string, id contentID, row uploadRow) bool {
		if strings.HasPrefix(key, r.Conditions.Prefix) && r.Abort.Condition.of(time.UnixMilli(row.Begun), b.store.now()) {
			old = append(old, &Upload{b.Bucket, key, id.uploadID()})
		}
		return ctx.Err() == nil
	})
	for _, u := range old {
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = u.Abort(ctx)
			aborted++
		}
	}
	return aborted, errors.Join(err, ctx.Err())
}

// age deletes objects, and changes their class, in portions.
func (b local) age(ctx context.Context, r Rule) (deleted int, err error) {
	lower := objectKey(b.number, r.Conditions.Prefix)
	upper := keyed.After(lower)
	base := len(objectKey(b.number, ""))
	for {
		var due []*Object
		last, now := "", b.store.now()
		err := b.store.db.Scan(lower, upper, func(k, v []byte) bool {
			last = string(k[base:])
			if o, err := decodeObject(last, v); err == nil && r.wants(o, now) != "" {
				due = append(due, o)
			}
			return len(due) < MaxListKeys && ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil || last == "" {
			return deleted, err
		}
		for _, o := range due {
			if err := b.change(o, r.wants(o, now)); err != nil {
				return deleted, err
			}
			if r.wants(o, now) == deletion {
				deleted++
			}
		}
		lower = objectKey(b.number, last+"\x00")
	}
}

// deletion is what wants says instead of a storage class.
const deletion = "delete"

// wants is the storage class that an object is to get, or that it is to go; "" for
// nothing.
func (r *Rule) wants(o *Object, now time.Time) string {
	if r.Delete != nil && r.Delete.Condition.of(o.Uploaded, now) {
		return deletion
	}
	for _, c := range r.Classes {
		if c.StorageClass != o.StorageClass && c.Condition.of(o.Uploaded, now) {
			return c.StorageClass
		}
	}
	return ""
}

// change deletes an object or gives it a class, unless it has been replaced since it
// was looked at.
func (b local) change(o *Object, to string) error {
	s := b.store
	s.commits.RLock()
	defer s.commits.RUnlock()
	if b.deleted.Load() {
		return ErrNoSuchBucket
	}
	batch := s.db.Batch()
	defer batch.Close()
	dropped, err := func() (dropped leftover, err error) {
		defer s.keys.lock(b.number, o.Key)()
		now, err := b.lookup(o.Key)
		if errors.Is(err, ErrNoSuchKey) || err == nil && now.content != o.content {
			return dropped, nil
		}
		if err != nil {
			return dropped, err
		}
		if to == deletion {
			if b.locked(now) {
				return dropped, nil
			}
			if err := b.roomToTell(LifecycleDeletion, o.Key); err != nil {
				return dropped, err
			}
			if dropped, err = s.drop(batch, now); err != nil {
				return dropped, err
			}
			batch.Delete(objectKey(b.number, o.Key))
			notes := b.tell(batch, LifecycleDeletion, o, nil)
			if err = batch.Commit(); err == nil {
				s.noted(notes)
			}
			return dropped, err
		}
		now.StorageClass = to
		data, err := encodeObject(now)
		if err != nil {
			return dropped, err
		}
		batch.Set(objectKey(b.number, o.Key), data)
		return dropped, batch.Commit()
	}()
	if err == nil {
		s.collect(dropped)
	}
	return err
}
