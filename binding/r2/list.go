package r2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// ListOptions select a page of objects. The zero value lists all keys.
type ListOptions struct {
	// Prefix that the keys must have.
	Prefix string
	// Delimiter groups the keys: those that have it behind the prefix are told by
	// what they have in common up to its end, once. Empty: no groups.
	Delimiter string
	// Cursor of the previous page; empty for the first one.
	Cursor string
	// StartAfter is a key; the list begins with the first one after it.
	StartAfter string
	// Limit is the largest number of objects and groups together, from 1 to
	// MaxListKeys. Zero means MaxListKeys.
	Limit int
	// IncludeHTTP and IncludeCustom fill Object.HTTP and Object.Custom. With either,
	// a page has at most MaxListKeysWithMetadata entries.
	IncludeHTTP, IncludeCustom bool
}

// Page is a part of a list.
type Page struct {
	// Objects in the order of the UTF-8 bytes of their keys.
	Objects []*Object
	// Prefixes are the groups, each with the prefix of the list and the delimiter at
	// its end.
	Prefixes []string
	// Cursor gives the next page; empty when the list is complete.
	Cursor string
}

// List returns objects, or is ErrLimit.
func (b *Bucket) List(ctx context.Context, o ListOptions) (*Page, error) {
	page := &Page{Objects: []*Object{}}
	var err error
	page.Cursor, err = b.list(ctx, o, func(object *Object, prefix string) bool {
		if object != nil {
			page.Objects = append(page.Objects, object)
		} else {
			page.Prefixes = append(page.Prefixes, prefix)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return page, nil
}

// list calls f with each object, or prefix of a group, of the page. The page ends
// before what f returns false for.
func (b *Bucket) list(ctx context.Context, o ListOptions, f func(*Object, string) bool) (cursor string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if b.deleted.Load() {
		return "", ErrNoSuchBucket
	}
	if o.Limit == 0 {
		o.Limit = MaxListKeys
	}
	if o.Limit < 1 || o.Limit > MaxListKeys {
		return "", ErrLimit
	}
	if o.IncludeHTTP || o.IncludeCustom {
		o.Limit = min(o.Limit, MaxListKeysWithMetadata)
	}
	lower, err := b.start(o)
	if err != nil {
		return "", err
	}
	upper := keyed.After(objectKey(b.number, o.Prefix))
	base := len(objectKey(b.number, ""))
	count, full := 0, false
	for bytes.Compare(lower, upper) < 0 && !full {
		var failed error
		next := upper // where to go on
		err := b.store.db.Scan(lower, upper, func(k, v []byte) bool {
			if failed = ctx.Err(); failed != nil {
				return false
			}
			key := string(k[base:])
			group, grouped := groupOf(key, o)
			var object *Object
			if !grouped {
				if object, failed = b.listed(key, v, o); failed != nil {
					return false
				}
			}
			if full = count == o.Limit || !f(object, group); full {
				return false
			}
			count++
			if grouped {
				cursor = encodeCursor(afterPrefix, group)
				next = keyed.After(objectKey(b.number, group))
				return false
			}
			cursor = encodeCursor(afterKey, key)
			return true
		})
		if err = errors.Join(err, failed); err != nil {
			return "", err
		}
		lower = next
	}
	if !full {
		return "", nil
	}
	return cursor, nil
}

// listed is an object with what the list includes of it.
func (b *Bucket) listed(key string, data []byte, o ListOptions) (*Object, error) {
	object, err := decodeObject(key, data)
	if err != nil {
		return nil, fmt.Errorf("object %q: %w", key, err)
	}
	if !o.IncludeHTTP {
		object.HTTP = HTTPMetadata{}
	}
	if !o.IncludeCustom {
		object.Custom = nil
	}
	return object, nil
}

// groupOf is what a key has up to the end of the delimiter, if it has one behind
// the prefix.
func groupOf(key string, o ListOptions) (group string, ok bool) {
	if o.Delimiter == "" {
		return "", false
	}
	at := strings.Index(key[len(o.Prefix):], o.Delimiter)
	if at < 0 {
		return "", false
	}
	return key[:len(o.Prefix)+at+len(o.Delimiter)], true
}

// start is the least row that may be in the list.
func (b *Bucket) start(o ListOptions) ([]byte, error) {
	lower := objectKey(b.number, o.Prefix)
	after := func(row []byte) {
		if bytes.Compare(row, lower) > 0 {
			lower = row
		}
	}
	if o.StartAfter != "" {
		after(objectKey(b.number, o.StartAfter+"\x00"))
	}
	if o.Cursor != "" {
		how, last, err := decodeCursor(o.Cursor)
		if err != nil {
			return nil, err
		}
		if how == afterPrefix {
			after(keyed.After(objectKey(b.number, last)))
		} else {
			after(objectKey(b.number, last+"\x00"))
		}
	}
	return lower, nil
}
