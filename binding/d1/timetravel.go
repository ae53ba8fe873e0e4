package d1

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/storage/history"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Time Travel: every state of the last 30 days has a bookmark and can be
// restored.
//
// Source: https://developers.cloudflare.com/d1/reference/time-travel/

// formatBookmark gives a bookmark as 16 hex digits, so that bookmarks sort as
// strings.
func formatBookmark(b uint64) string { return fmt.Sprintf("%016x", b) }

func parseBookmark(text string) (uint64, error) {
	b, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 {
		return 0, errorf("Bookmark %s is invalid: a bookmark has 16 hexadecimal digits; `wrangler d1 time-travel info` tells one", text)
	}
	return b, nil
}

// travelError puts an error of the history into Cloudflare's manner; what is
// what the user asked for.
func travelError(err error, what string) error {
	var gone *history.GoneError
	switch {
	case errors.As(err, &gone) && gone.Cause != nil:
		return &Error{cause: err, Message: fmt.Sprintf("%s cannot be restored because the history of this database is damaged before bookmark %s (%s), which is the oldest that can be",
			what, formatBookmark(gone.Oldest), history.Time(gone.Oldest).Format(time.RFC3339))}
	case errors.As(err, &gone):
		return &Error{cause: err, Message: fmt.Sprintf("%s is too old. You can only Time Travel up to 30 days in the past. The oldest available bookmark for this database is %s (%s)",
			what, formatBookmark(gone.Oldest), history.Time(gone.Oldest).Format(time.RFC3339))}
	case errors.Is(err, history.ErrUnknown):
		return &Error{cause: err, Message: what + " is invalid: this database has no such bookmark"}
	case errors.Is(err, history.ErrUnfit):
		return &Error{cause: err, Message: fmt.Sprintf("%s cannot be restored; nothing was changed: %s", what, err)}
	}
	return translate(err)
}

// BookmarkAt gives the bookmark of the state that the database was in at a
// time. The error is an *Error if the time is before the history.
func (d *Database) BookmarkAt(at time.Time) (string, error) {
	if _, err := d.acquire(); err != nil {
		return "", translate(err)
	}
	defer d.release()
	b, err := d.history.Find(uint64(max(at.UnixMicro(), 0)))
	if err != nil {
		return "", travelError(err, "Timestamp "+at.UTC().Format(time.RFC3339Nano))
	}
	return formatBookmark(b), nil
}

// Restored tells what a restore did.
type Restored struct {
	// Target is the bookmark of the state that was restored: the one asked
	// for, or the nearest before it.
	Target string
	// Bookmark is the bookmark of the present state, and Previous that of the
	// state before the restore, to go back to.
	Bookmark, Previous string
}

// Restore puts the database back to the state of a bookmark. It is one write:
// it waits for its turn, others wait for it, and readers see all of it or
// nothing.
func (d *Database) Restore(ctx context.Context, bookmark string) (*Restored, error) {
	b, err := parseBookmark(bookmark)
	if err != nil {
		return nil, err
	}
	file, err := d.acquire()
	if err != nil {
		return nil, translate(err)
	}
	defer d.release()
	r := &Restored{}
	err = file.Write(ctx, func(c *sqlite.Conn) error {
		target, previous, err := d.history.Restore(ctx, c, b)
		r.Target, r.Previous = formatBookmark(target), formatBookmark(previous)
		d.count(c.Note.(*policy).size())
		return err
	})
	if err != nil {
		return nil, travelError(err, "Bookmark "+bookmark)
	}
	r.Bookmark = d.mark()
	return r, nil
}

// moment reads the timestamp that a request asks for.
func moment(r *http.Request) (at time.Time, given bool, err error) {
	text := r.URL.Query().Get("timestamp")
	if text == "" {
		return at, false, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		return at, true, api.Errorf(http.StatusBadRequest, codeQuery, "timestamp %q is not an RFC 3339 time, for example 2026-01-31T12:00:00Z", text)
	}
	return at, true, nil
}

// apiBookmark tells the bookmark of the present or of a time.
func (s *Store) apiBookmark(w http.ResponseWriter, r *http.Request) error {
	_, d, err := s.named(r)
	if err != nil {
		return err
	}
	at, given, err := moment(r)
	if err != nil {
		return err
	}
	mark := ""
	if given {
		mark, err = d.BookmarkAt(at)
	} else {
		mark, err = d.Bookmark()
	}
	if err != nil {
		return apiError(err)
	}
	return api.Write(w, map[string]string{"bookmark": mark})
}

// apiRestore restores to a bookmark or to a time.
func (s *Store) apiRestore(w http.ResponseWriter, r *http.Request) error {
	_, d, err := s.named(r)
	if err != nil {
		return err
	}
	at, given, err := moment(r)
	if err != nil {
		return err
	}
	want := r.URL.Query().Get("bookmark")
	switch {
	case given == (want != ""):
		return api.Errorf(http.StatusBadRequest, codeQuery, "give either a bookmark or a timestamp to restore")
	case given:
		if want, err = d.BookmarkAt(at); err != nil {
			return apiError(err)
		}
	}
	done, err := d.Restore(r.Context(), want)
	if err != nil {
		return apiError(err)
	}
	text := "The database was restored to bookmark " + done.Target + "."
	switch {
	case done.Bookmark == done.Previous:
		text = "The database is at this bookmark; nothing was changed."
	case done.Target != want:
		text = fmt.Sprintf("The database was restored to bookmark %s, the nearest before %s.", done.Target, want)
	}
	return api.Write(w, map[string]string{"bookmark": done.Bookmark, "previous_bookmark": done.Previous, "message": text})
}
