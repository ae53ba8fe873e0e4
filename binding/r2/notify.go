package r2

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/binding"
)

// NotifyRule says which changes of a bucket's objects a queue is told of.
//
// Source: https://developers.cloudflare.com/r2/buckets/event-notifications/
type NotifyRule struct {
	// ID is made here.
	ID string `json:"ruleId"`
	// Queue is the id of the queue.
	Queue string `json:"queue"`
	// Prefix and Suffix are how the keys begin and end.
	Prefix string `json:"prefix,omitempty"`
	Suffix string `json:"suffix,omitempty"`
	// Actions are some of those below.
	Actions []string `json:"actions"`
	// Description is for people.
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"createdAt"`
}

// The actions that queues are told of.
const (
	PutObject               = "PutObject"
	CopyObject              = "CopyObject"
	CompleteMultipartUpload = "CompleteMultipartUpload"
	DeleteObject            = "DeleteObject"
	LifecycleDeletion       = "LifecycleDeletion"
)

var actions = []string{PutObject, CopyObject, CompleteMultipartUpload, DeleteObject, LifecycleDeletion}

// MaxNotifyRules is the number of rules of a bucket.
const MaxNotifyRules = 100

var (
	// ErrNoSuchQueue: there is no queue with that id.
	ErrNoSuchQueue = &Error{http.StatusNotFound, 11003, "The specified queue does not exist."}
	// ErrNoRule: a bucket has no such rule for the queue.
	ErrNoRule = &Error{http.StatusNotFound, 11016, "The specified event notification rule does not exist."}
	// ErrRulesOverlap: an event would be told twice.
	ErrRulesOverlap = &Error{http.StatusConflict, 11020, "The event notification rule overlaps with another rule of the bucket: an event must fit one of them only. Change the prefix, the suffix or the event types."}
)

func (r *NotifyRule) check() error {
	if len(r.Prefix) > MaxKeyBytes || len(r.Suffix) > MaxKeyBytes {
		return invalid("The prefix or the suffix of the rule has over %d bytes.", MaxKeyBytes)
	}
	if len(r.Description) > 1024 {
		return invalid("The description of the rule has over 1024 bytes.")
	}
	if len(r.Actions) == 0 {
		return invalid("The rule needs at least one of the actions %s.", strings.Join(actions, ", "))
	}
	for _, a := range r.Actions {
		if !slices.Contains(actions, a) {
			return invalid("There is no action %q: use %s.", a, strings.Join(actions, ", "))
		}
	}
	return nil
}

// fits reports whether the rule is about an action on a key.
func (r *NotifyRule) fits(action, key string) bool {
	return slices.Contains(r.Actions, action) && len(key) >= max(len(r.Prefix), len(r.Suffix)) &&
		strings.HasPrefix(key, r.Prefix) && strings.HasSuffix(key, r.Suffix)
}

// overlaps reports whether both may fit one event.
func (r *NotifyRule) overlaps(o *NotifyRule) bool {
	either := func(is func(a, b string) bool, a, b string) bool { return is(a, b) || is(b, a) }
	return either(strings.HasPrefix, r.Prefix, o.Prefix) && either(strings.HasSuffix, r.Suffix, o.Suffix) &&
		slices.ContainsFunc(r.Actions, func(a string) bool { return slices.Contains(o.Actions, a) })
}

// NotifyRules are the rules of a bucket, in the order in which they were added.
func (s *Store) NotifyRules(ctx context.Context, bucket string) ([]NotifyRule, error) {
	set, err := s.settingsOf(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return set.Notify, nil
}

// AddNotifyRules adds rules to a bucket, all of them or none. Of each, ID and Created
// are not used.
func (s *Store) AddNotifyRules(ctx context.Context, bucket string, rules []NotifyRule) error {
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return err
		}
		if _, err := s.queueName(rules[i].Queue); err != nil {
			return err
		}
	}
	return s.change(ctx, bucket, func(b *Bucket, set *settings) error {
		if err := b.onlyHere("event notifications"); err != nil {
			return err
		}
		if len(set.Notify)+len(rules) > MaxNotifyRules {
			return invalid("There would be %d event notification rules; at most %d are allowed.", len(set.Notify)+len(rules), MaxNotifyRules)
		}
		set.Notify = slices.Clone(set.Notify)
		for _, r := range rules {
			if slices.ContainsFunc(set.Notify, func(o NotifyRule) bool { return r.overlaps(&o) }) {
				return ErrRulesOverlap
			}
			var id [16]byte
			rand.Read(id[:])
			r.ID, r.Created = hex.EncodeToString(id[:]), s.moment()
			set.Notify = append(set.Notify, r)
		}
		return nil
	})
}

// DeleteNotifyRules removes the rules of a bucket for a queue that have one of the
// ids, or without ids all of them. What has happened before is still told.
func (s *Store) DeleteNotifyRules(ctx context.Context, bucket, queue string, ids ...string) error {
	return s.change(ctx, bucket, func(_ *Bucket, set *settings) error {
		left := slices.DeleteFunc(slices.Clone(set.Notify), func(r NotifyRule) bool {
			return r.Queue == queue && (len(ids) == 0 || slices.Contains(ids, r.ID))
		})
		if gone := len(set.Notify) - len(left); gone < max(len(ids), 1) {
			return ErrNoRule
		}
		set.Notify = left
		return nil
	})
}

// queueName is what a queue with that id is called.
func (s *Store) queueName(id string) (string, error) {
	if s.inbox == nil {
		return "", ErrNoSuchQueue
	}
	name, err := s.inbox.InboxName(id)
	if errors.Is(err, binding.ErrNoInbox) {
		return "", ErrNoSuchQueue
	}
	return name, err
}
