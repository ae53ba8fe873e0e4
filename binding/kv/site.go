package kv

import (
	"context"
	"fmt"
	"os"

	"github.com/selvage-edge/selvage/config"
)

// siteBatch is how many bytes of a site's files are in memory at once, or the
// largest file.
const siteBatch = 8 << 20

// hold makes a namespace have the files of a site and nothing else, as wrangler
// does before it deploys one. A file whose key is there is not read: the key
// has a hash of the content.
func (n *Namespace) hold(ctx context.Context, site *config.Site) error {
	there := map[string]bool{}
	var stale []string
	for o := (ListOptions{}); ; {
		page, err := n.List(ctx, o)
		if err != nil {
			return err
		}
		for _, k := range page.Keys {
			if there[k.Name] = true; site.Files[k.Name] == "" {
				stale = append(stale, k.Name)
			}
		}
		if o.Cursor = page.Cursor; o.Cursor == "" {
			break
		}
	}
	var batch []Item
	size := 0
	put := func() error {
		err := n.BulkPut(ctx, batch)
		batch, size = nil, 0
		return err
	}
	for key, path := range site.Files {
		if there[key] {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read a file of the Workers Site: %w", err)
		}
		batch, size = append(batch, Item{Key: key, Value: data}), size+len(data)
		if size >= siteBatch || len(batch) == MaxBulkWriteKeys {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if err := put(); err != nil {
		return err
	}
	for ; len(stale) > MaxBulkWriteKeys; stale = stale[MaxBulkWriteKeys:] {
		if err := n.BulkDelete(ctx, stale[:MaxBulkWriteKeys]); err != nil {
			return err
		}
	}
	return n.BulkDelete(ctx, stale)
}
