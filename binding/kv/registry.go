package kv

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// MaxTitleChars is the longest title of a namespace.
const MaxTitleChars = 512

// Info describes a namespace.
type Info struct {
	// ID is 32 hexadecimal characters, or whatever a wrangler configuration
	// calls the namespace when it was made by Ensure.
	ID string
	// Title is the name that people see; no two namespaces share one.
	Title string
}

// namespaceRow is the JSON in a namespace's row.
type namespaceRow struct {
	Title  string `json:"title"`
	Number uint64 `json:"number"`
}

// Namespace returns the namespace with the given id, or ErrNamespaceNotFound.
func (s *Store) Namespace(id string) (*Namespace, error) {
	s.registry.Lock()
	defer s.registry.Unlock()
	return s.namespace(id)
}

func (s *Store) namespace(id string) (*Namespace, error) {
	if n := s.open[id]; n != nil {
		return n, nil
	}
	r, err := s.readNamespace(id)
	if err != nil {
		return nil, err
	}
	n := &Namespace{id: id, number: r.Number, store: s}
	s.open[id] = n
	return n, nil
}

func (s *Store) readNamespace(id string) (r namespaceRow, err error) {
	v, found, err := s.db.Get(row(rowNamespace, id))
	if err != nil {
		return r, err
	}
	if !found {
		return r, ErrNamespaceNotFound
	}
	defer v.Release()
	if err := json.Unmarshal(v.Bytes, &r); err != nil {
		return r, fmt.Errorf("namespace %s: %w", id, err)
	}
	return r, nil
}

// Ensure returns the namespace with the given id and makes it, titled like its
// id, if there is none.
func (s *Store) Ensure(id string) (*Namespace, error) {
	s.registry.Lock()
	defer s.registry.Unlock()
	n, err := s.namespace(id)
	if err != ErrNamespaceNotFound {
		return n, err
	}
	title := id
	for i := 2; ; i++ {
		err := s.create(id, title)
		if err == nil {
			return s.namespace(id)
		}
		if err != ErrTitleTaken {
			return nil, fmt.Errorf("create namespace %s: %w", id, err)
		}
		title = fmt.Sprintf("%s (%d)", id, i)
	}
}

// CreateNamespace makes an empty namespace. The error is ErrTitleTaken if
// another one has the title.
func (s *Store) CreateNamespace(ctx context.Context, title string) (Info, error) {
	var random [16]byte
	rand.Read(random[:])
	return s.CreateNamespaceAs(ctx, hex.EncodeToString(random[:]), title)
}

var validID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CreateNamespaceAs is CreateNamespace with an id of the caller's, of 1 to 64
// letters, digits, "-" and "_". The error is ErrIDTaken if there is a namespace
// with that id.
func (s *Store) CreateNamespaceAs(ctx context.Context, id, title string) (Info, error) {
	if !validID.MatchString(id) {
		return Info{}, refuse(http.StatusBadRequest, "Namespace id %q is not 1 to 64 letters, digits, hyphens and underscores", id)
	}
	if err := checkTitle(title); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	if _, err := s.namespace(id); err != ErrNamespaceNotFound {
		return Info{}, cmp.Or(err, ErrIDTaken)
	}
	if err := s.create(id, title); err != nil {
		return Info{}, err
	}
	return Info{ID: id, Title: title}, nil
}

// create is called with the registry locked.
func (s *Store) create(id, title string) error {
	if err := s.titleFree(title); err != nil {
		return err
	}
	b := s.db.Batch()
	defer b.Close()
	number, err := b.Next(row(rowCounter))
	if err != nil {
		return err
	}
	data, err := json.Marshal(namespaceRow{Title: title, Number: number})
	if err != nil {
		return err
	}
	b.Set(row(rowNamespace, id), data)
	b.Set(row(rowTitle, title), []byte(id))
	return b.Commit()
}

func (s *Store) titleFree(title string) error {
	v, found, err := s.db.Get(row(rowTitle, title))
	if err != nil {
		return err
	}
	if found {
		v.Release()
		return ErrTitleTaken
	}
	return nil
}

func checkTitle(title string) error {
	if title == "" {
		return refuse(http.StatusBadRequest, "Namespace title must not be empty")
	}
	if !utf8.ValidString(title) || utf8.RuneCountInString(title) > MaxTitleChars {
		return refuse(http.StatusBadRequest, "Namespace title must be at most %d characters of UTF-8", MaxTitleChars)
	}
	return nil
}

// Namespaces returns all namespaces, sorted by title.
func (s *Store) Namespaces(ctx context.Context) ([]Info, error) {
	prefix := row(rowNamespace)
	list, failed := []Info{}, error(nil)
	err := s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		var r namespaceRow
		if failed = json.Unmarshal(v, &r); failed == nil {
			failed = ctx.Err()
		}
		list = append(list, Info{ID: string(k[len(prefix):]), Title: r.Title})
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Compare(a.Title, b.Title) })
	return list, nil
}

// Info describes the namespace with the given id, or is ErrNamespaceNotFound.
func (s *Store) Info(ctx context.Context, id string) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	r, err := s.readNamespace(id)
	return Info{ID: id, Title: r.Title}, err
}

// RenameNamespace gives a namespace another title.
func (s *Store) RenameNamespace(ctx context.Context, id, title string) (Info, error) {
	if err := checkTitle(title); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	r, err := s.readNamespace(id)
	if err != nil {
		return Info{}, err
	}
	if r.Title == title {
		return Info{ID: id, Title: title}, nil
	}
	if err := s.titleFree(title); err != nil {
		return Info{}, err
	}
	b := s.db.Batch()
	defer b.Close()
	b.Delete(row(rowTitle, r.Title))
	b.Set(row(rowTitle, title), []byte(id))
	r.Title = title
	data, err := json.Marshal(r)
	if err != nil {
		return Info{}, err
	}
	b.Set(row(rowNamespace, id), data)
	return Info{ID: id, Title: title}, b.Commit()
}

// DeleteNamespace removes a namespace with all its keys, at once and for good.
// Large values are reclaimed in the background.
func (s *Store) DeleteNamespace(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.registry.Lock()
	defer s.registry.Unlock()
	r, err := s.readNamespace(id)
	if err != nil {
		return err
	}
	n, err := s.namespace(id)
	if err != nil {
		return err
	}
	b := s.db.Batch()
	defer b.Close()
	values := valueRow(nil, r.Number, "")
	b.DeleteRange(values, keyed.After(values))
	b.Delete(row(rowNamespace, id))
	b.Delete(row(rowTitle, r.Title))
	s.commits.Lock()
	defer s.commits.Unlock()
	if err := b.Commit(); err != nil {
		return fmt.Errorf("delete namespace %s: %w", id, err)
	}
	n.deleted.Store(true)
	s.quota.namespaces.Delete(n.number)
	delete(s.open, id)
	select {
	case s.unreferenced <- struct{}{}:
	default:
	}
	return nil
}
