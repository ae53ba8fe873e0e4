package r2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/selvage-edge/selvage/storage/keyed"
)

func (b local) list(ctx context.Context, o ListOptions, f func(*Object, string) bool) (cursor string, err error) {
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
func (b local) listed(key string, data []byte, o ListOptions) (*Object, error) {
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
func (b local) start(o ListOptions) ([]byte, error) {
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
