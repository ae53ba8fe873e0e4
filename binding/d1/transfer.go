package d1

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// Imports and exports run in the background while wrangler polls for them. A
// restart of the server forgets them: an import is one transaction, so it has
// happened or not, and can be started again.

const (
	// maxUpload is the size of an imported file in bytes.
	//
	// Source: https://developers.cloudflare.com/d1/platform/limits/
	maxUpload = 5 << 30
	// keepTransfer is how long files and outcomes are kept.
	keepTransfer = time.Hour
	// pollTime is how long one poll waits for the end.
	pollTime = 10 * time.Second
)

// transfers are the imports and exports of a store, by token.
type transfers struct {
	dir string // created with the first transfer

	mu     sync.Mutex
	byID   map[string]*transfer
	closed bool
	group  sync.WaitGroup
	cancel context.CancelFunc
	ctx    context.Context
}

// transfer is one import or export.
type transfer struct {
	database string
	token    string // names the transfer in URLs, file names and bookmarks
	path     string
	created  time.Time

	started bool // guarded by transfers.mu

	done chan struct{} // closed at the end
	// Valid once done is closed:
	err    error
	result map[string]any
}

// transfersPrefix starts the names of the directories of transfers, of which
// every process has its own.
const transfersPrefix = "transfers-"

// removeOldTransfers deletes what killed processes left behind.
func removeOldTransfers(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, transfersPrefix+"*"))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > 24*keepTransfer {
			os.RemoveAll(path)
		}
	}
}

func newTransfers(dir string) *transfers {
	t := &transfers{dir: dir, byID: map[string]*transfer{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// add makes a transfer and drops those that have expired.
func (t *transfers) add(database, suffix string, now time.Time) (*transfer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return nil, err
	}
	for id, x := range t.byID {
		if now.Sub(x.created) > keepTransfer && (!x.started || closed(x.done)) {
			delete(t.byID, id)
			os.Remove(x.path)
		}
	}
	random := make([]byte, 16)
	rand.Read(random)
	x := &transfer{database: database, token: hex.EncodeToString(random), created: now, done: make(chan struct{})}
	x.path = filepath.Join(t.dir, x.token+suffix)
	t.byID[x.token] = x
	return x, nil
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// get finds a transfer, of a database if one is given.
func (t *transfers) get(token, database string) (*transfer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.byID[token]
	if x == nil || database != "" && x.database != database {
		return nil, os.ErrNotExist
	}
	return x, nil
}

// start runs f in the background unless it has been started.
func (t *transfers) start(x *transfer, f func(context.Context) (map[string]any, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.started {
		return
	}
	x.started = true
	if t.closed {
		x.err = errorf("the server is stopping; start again")
		close(x.done)
		return
	}
	t.group.Add(1)
	go func() {
		defer t.group.Done()
		defer close(x.done)
		x.result, x.err = f(t.ctx)
		if x.err != nil && public(x.err) == textInternal {
			slog.Error("D1 transfer failed", "database", x.database, "error", x.err)
		}
	}()
}

func (t *transfers) started(x *transfer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return x.started
}

// close stops what runs and removes the files.
func (t *transfers) close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.group.Wait()
	return os.RemoveAll(t.dir)
}

// upload stores the file of an import and returns its MD5.
func (t *transfers) upload(token string, body io.Reader) (string, error) {
	x, err := t.get(token, "")
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(x.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := md5.New() // what the client compares; not for security
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, maxUpload+1))
	if err != nil {
		return "", err
	}
	if n > maxUpload {
		os.Remove(x.path)
		return "", api.Errorf(http.StatusRequestEntityTooLarge, codeQuery, "the file is over %d bytes; split it", int64(maxUpload))
	}
	return hex.EncodeToString(sum.Sum(nil)), f.Close()
}

func (t *transfers) download(token string) (*os.File, error) {
	x, err := t.get(token, "")
	if err != nil {
		return nil, err
	}
	return os.Open(x.path)
}

// status answers a poll; it waits a while for the end, because wrangler asks
// again at once.
func (x *transfer) status(w http.ResponseWriter, r *http.Request, kind string) error {
	timer := time.NewTimer(pollTime)
	defer timer.Stop()
	select {
	case <-x.done:
	case <-timer.C:
	case <-r.Context().Done():
	}
	answer := map[string]any{
		"success": true, "type": kind, "status": "active", "at_bookmark": x.token, "messages": []string{}, "errors": []string{},
	}
	if closed(x.done) {
		if x.err != nil {
			text := public(x.err)
			answer["status"], answer["error"], answer["errors"] = "error", text, []string{text}
		} else {
			answer["status"], answer["result"] = "complete", x.result
		}
	}
	return api.Write(w, answer)
}

// baseURL is the address by which the client reached the API, up to the
// account's part of the path.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	// RequestURI is what the client sent; URL.Path may have lost a prefix.
	prefix, _, _ := strings.Cut(r.RequestURI, "/accounts/")
	return scheme + "://" + r.Host + prefix
}

// apiImport is the three steps of an import: init gives the URL for the file,
// ingest starts, poll waits.
func (s *Store) apiImport(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Action   string `json:"action"`
		Filename string `json:"filename"`
		ETag     string `json:"etag"`
		Bookmark string `json:"current_bookmark"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	info, d, err := s.named(r)
	if err != nil {
		return err
	}
	switch in.Action {
	case "init":
		x, err := s.transfers.add(info.ID, ".import", s.opts.Now())
		if err != nil {
			return fmt.Errorf("start import: %w", err)
		}
		return api.Write(w, map[string]any{
			"success": true, "type": "import", "filename": x.token + ".sql", "messages": []string{},
			"upload_url": fmt.Sprintf("%s/accounts/%s/d1/database/%s/upload/%s", baseURL(r), r.PathValue("account"), info.ID, x.token),
		})
	case "ingest":
		x, err := s.transfers.get(strings.TrimSuffix(in.Filename, ".sql"), info.ID)
		if err != nil {
			return api.Errorf(http.StatusNotFound, codeNotFound, "import %q is unknown or has expired; start it again", in.Filename)
		}
		s.transfers.start(x, func(ctx context.Context) (map[string]any, error) { return s.ingest(ctx, d, x, in.ETag) })
		return x.status(w, r, "import")
	case "poll":
		x, err := s.transfers.get(in.Bookmark, info.ID)
		if err != nil || !s.transfers.started(x) {
			return api.Errorf(http.StatusNotFound, codeNotFound, "Not currently importing anything.")
		}
		return x.status(w, r, "import")
	}
	return api.Errorf(http.StatusBadRequest, codeQuery, "action %q is unknown; use init, ingest or poll", in.Action)
}

func (s *Store) ingest(ctx context.Context, d *Database, x *transfer, etag string) (map[string]any, error) {
	f, err := os.Open(x.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errorf("the file was not uploaded")
	}
	if err != nil {
		return nil, err
	}
	defer os.Remove(x.path)
	defer f.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); etag != "" && etag != got {
		return nil, errorf("the uploaded file has MD5 %s, expected %s; start the import again", got, etag)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	result, err := d.Import(ctx, f)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"final_bookmark": d.mark(), "num_queries": result.Queries, "meta": json.RawMessage(result.Meta.append(nil)),
	}, nil
}

// apiExport starts an export or asks for it again; both wait a while.
func (s *Store) apiExport(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Options  ExportOptions `json:"dump_options"`
		Bookmark string        `json:"current_bookmark"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	info, d, err := s.named(r)
	if err != nil {
		return err
	}
	if in.Bookmark != "" {
		x, err := s.transfers.get(in.Bookmark, info.ID)
		if err != nil || !s.transfers.started(x) {
			return api.Errorf(http.StatusNotFound, codeNotFound, "Not currently exporting anything.")
		}
		return x.status(w, r, "export")
	}
	x, err := s.transfers.add(info.ID, ".export", s.opts.Now())
	if err != nil {
		return fmt.Errorf("start export: %w", err)
	}
	url := fmt.Sprintf("%s/accounts/%s/d1/database/%s/download/%s", baseURL(r), r.PathValue("account"), info.ID, x.token)
	s.transfers.start(x, func(ctx context.Context) (map[string]any, error) {
		f, err := os.OpenFile(x.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		if err := d.Export(ctx, f, in.Options); err != nil {
			f.Close()
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		return map[string]any{"filename": info.Name + ".sql", "signed_url": url}, nil
	})
	return x.status(w, r, "export")
}
