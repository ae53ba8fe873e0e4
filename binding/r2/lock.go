package r2

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// LockRule keeps objects from being deleted and overwritten, by anybody and by
// lifecycle rules, until their time is over or the rule is changed.
//
// Source: https://developers.cloudflare.com/r2/buckets/bucket-locks/
type LockRule struct {
	// ID is unique in its bucket.
	ID      string `json:"id"`
	Enabled bool   `json:"enabled"`
	// Prefix that the keys have.
	Prefix    string        `json:"prefix"`
	Condition LockCondition `json:"condition"`
}

// LockCondition is how long objects are kept.
type LockCondition struct {
	// Type is "Age", "Date" or "Indefinite".
	Type string `json:"type"`
	// MaxAge is how many seconds after its upload an object is free, of type Age.
	MaxAge int64 `json:"maxAgeSeconds,omitempty"`
	// Date is when objects are free, of type Date.
	Date time.Time `json:"date,omitzero"`
}

// ErrLocked: an object must not be deleted or overwritten.
var ErrLocked = &Error{http.StatusForbidden, 10069, "The object is locked by a lock rule of the bucket, and cannot be deleted or overwritten."}

func (r *LockRule) check() error {
	switch c := r.Condition; {
	case r.ID == "" || len(r.ID) > 255:
		return invalid("The id %q of a lock rule must have 1 to 255 bytes.", r.ID)
	case len(r.Prefix) > MaxKeyBytes:
		return invalid("The prefix of the lock rule %q has over %d bytes.", r.ID, MaxKeyBytes)
	case c.Type == "Age" && c.MaxAge > 0 && c.MaxAge < 1<<32, c.Type == "Date" && !c.Date.IsZero(), c.Type == "Indefinite":
		return nil
	}
	return invalid("The condition of the lock rule %q is not valid: it must be an Age with maxAgeSeconds above 0, a Date, or Indefinite.", r.ID)
}

// locks reports whether the rule keeps an object at a moment.
func (r *LockRule) locks(o *Object, now time.Time) bool {
	if !r.Enabled || !strings.HasPrefix(o.Key, r.Prefix) {
		return false
	}
	switch r.Condition.Type {
	case "Age":
		return now.Sub(o.Uploaded) < time.Duration(r.Condition.MaxAge)*time.Second
	case "Date":
		return now.Before(r.Condition.Date)
	}
	return true
}

// locked reports whether a rule of the bucket keeps o, which is nil for none.
func (b *Bucket) locked(o *Object) bool {
	rules := b.settings.Load().Locks
	return o != nil && slices.ContainsFunc(rules, func(r LockRule) bool { return r.locks(o, b.store.now()) })
}

// LockRules are the lock rules of a bucket.
func (s *Store) LockRules(ctx context.Context, bucket string) ([]LockRule, error) {
	set, err := s.settingsOf(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return set.Locks, nil
}

// SetLockRules replaces the lock rules of a bucket.
func (s *Store) SetLockRules(ctx context.Context, bucket string, rules []LockRule) error {
	if len(rules) > MaxRules {
		return invalid("There are %d lock rules; at most %d are allowed.", len(rules), MaxRules)
	}
	ids := map[string]bool{}
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return err
		}
		if ids[rules[i].ID] {
			return invalid("Two lock rules have the id %q.", rules[i].ID)
		}
		ids[rules[i].ID] = true
	}
	return s.change(ctx, bucket, func(b *Bucket, set *settings) error {
		set.Locks = slices.Clone(rules)
		return b.onlyHere("lock rules")
	})
}
