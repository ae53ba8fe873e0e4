package r2

import (
	"context"
	"fmt"
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

// list is objects.list.
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
	return b.at.list(ctx, o, f)
}
