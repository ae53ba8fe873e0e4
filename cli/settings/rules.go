package settings

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/ruleset"
)

// List is a table [lists.name]: what expressions call $name.
type List struct {
	// Kind is ip (default), for addresses and networks, or hostname.
	Kind string `toml:"kind"`
	// Items are its entries.
	Items []string `toml:"items"`
	// File has more entries, one a line; what follows # is a comment.
	File string `toml:"file"`
}

// rules compiles the tables [lists] and [rules].
func (c *checker) rules() *ruleset.Set {
	lists := map[string]*rules.List{}
	for _, name := range slices.Sorted(maps.Keys(c.file.Lists)) {
		lists[name] = c.list("lists."+name, name, c.file.Lists[name])
	}
	r := c.file.Rules
	if path := r.BulkRedirectsFile; path != "" {
		more, err := readBulk(path)
		if err != nil {
			c.errorf("rules.bulk_redirects_file", "%v", err)
		}
		r.BulkRedirects = slices.Concat(r.BulkRedirects, more)
	}
	set, problems := ruleset.Compile(r, func(name string) *rules.List { return lists[name] })
	for _, p := range problems {
		c.errorf("rules."+p.Key, "%v", p.Err)
	}
	return set
}

func readBulk(path string) ([]ruleset.BulkRedirect, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := ruleset.ReadBulk(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// list makes a list. A wrong one is an empty one, so that expressions that name
// it are not blamed, too.
func (c *checker) list(key, name string, l List) *rules.List {
	if name == "" || len(name) > 50 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		c.errorf(key, "a list's name has at most 50 lower-case letters, digits and _")
	}
	make := rules.NewIPList
	switch l.Kind {
	case "", "ip":
	case "hostname":
		make = rules.NewHostnameList
	default:
		c.errorf(key+".kind", "%q is not one of ip, hostname", l.Kind)
	}
	made, err := make(l.Items)
	if err != nil {
		c.errorf(key+".items", "%v", err)
	}
	if err == nil && l.File != "" {
		var entries []string
		if entries, err = readEntries(l.File, make); err != nil {
			c.errorf(key+".file", "%v", err)
		} else if made, err = make(slices.Concat(l.Items, entries)); err != nil {
			c.errorf(key+".file", "%v", err)
		}
	}
	if err != nil {
		made, _ = make(nil)
	}
	return made
}

// readEntries reads a file, and checks every line if not all can be used.
func readEntries(path string, make func([]string) (*rules.List, error)) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		entry, _, _ := strings.Cut(lines.Text(), "#")
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if _, err := make([]string{entry}); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		entries = append(entries, entry)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: a line is longer than 64 KiB", path)
	}
	return entries, nil
}
