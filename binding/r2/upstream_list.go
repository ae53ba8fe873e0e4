package r2

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

// entry is an object or a group of a list.
type entry struct {
	name   string
	object *Object // nil: a group
}

func (u upstream) list(ctx context.Context, o ListOptions, f func(*Object, string) bool) (cursor string, err error) {
	after, group := o.StartAfter, ""
	if o.Cursor != "" {
		how, last, err := decodeCursor(o.Cursor)
		if err != nil {
			return "", err
		}
		if after = max(after, last); how == afterPrefix {
			group = last
		}
	}
	token := ""
	for count := 0; ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		page, err := u.again.ListObjectsV2(u.remote.name, o.Prefix, after, token, o.Delimiter, o.Limit-count)
		if err = u.result(ctx, err); err != nil {
			return "", err
		}
		entries := entriesOf(page, after, group)
		if o.IncludeHTTP || o.IncludeCustom {
			if err := u.include(ctx, entries, o); err != nil {
				return "", err
			}
		}
		for _, e := range entries {
			how := byte(afterKey)
			if e.object == nil {
				how = afterPrefix
			}
			if !f(e.object, e.name) {
				return cursor, nil
			}
			cursor = encodeCursor(how, e.name)
			count++
		}
		switch {
		case !page.IsTruncated:
			return "", nil
		case count >= o.Limit:
			return cursor, nil
		}
		token = page.NextContinuationToken
	}
}

// entriesOf are objects and groups of a page in the order of their names, without
// those up to after and those of a group: servers differ in what they make of a
// start in the midst of a group.
func entriesOf(page minio.ListBucketV2Result, after, group string) []entry {
	var list []entry
	for _, info := range page.Contents {
		if info.Key > after && (group == "" || !strings.HasPrefix(info.Key, group)) {
			list = append(list, entry{info.Key, objectOfList(info)})
		}
	}
	for _, p := range page.CommonPrefixes {
		if p.Prefix != group {
			list = append(list, entry{name: p.Prefix})
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return list
}

// include asks for the metadata of objects, 16 at a time. Lists of S3 have none.
func (u upstream) include(ctx context.Context, list []entry, o ListOptions) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *entry)
	var group sync.WaitGroup
	for range min(16, len(list)) {
		group.Go(func() {
			for e := range next {
				object, err := u.head(ctx, e.name)
				if errors.Is(err, ErrNoSuchKey) {
					continue // deleted meanwhile: as it was listed
				}
				if err != nil {
					cancel(err)
					continue
				}
				if e.object = object; !o.IncludeHTTP {
					object.HTTP = HTTPMetadata{}
				}
				if !o.IncludeCustom {
					object.Custom = nil
				}
			}
		})
	}
	for i := range list {
		if list[i].object != nil {
			next <- &list[i]
		}
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}
