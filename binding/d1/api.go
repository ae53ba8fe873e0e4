package d1

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// Cloudflare's error codes for D1.
const (
	codeQuery    = 7500 // SQL failed, or a request makes no sense
	codeNotFound = 7404
	codeTooMany  = 7406
	codeExists   = 7502
)

// Routes are the operations of the REST API, as wrangler and the SDKs call them.
//
// Source: https://developers.cloudflare.com/api/resources/d1/
func (s *Store) Routes() []api.Route {
	const all = "/accounts/{account}/d1/database"
	const one = all + "/{database}"
	const scope = "d1"
	group := api.Group{Scope: scope}
	read, edit := group.Read, group.Edit
	return []api.Route{
		edit(http.MethodPost, all, s.apiCreate),
		read(http.MethodGet, all, s.apiList),
		read(http.MethodGet, one, s.apiGet),
		edit(http.MethodDelete, one, s.apiDelete),
		edit(http.MethodPatch, one, s.apiUpdate),
		edit(http.MethodPut, one, s.apiUpdate),
		edit(http.MethodPost, one+"/query", s.apiQuery(objects)),
		edit(http.MethodPost, one+"/raw", s.apiQuery(rowsAndColumns)),
		edit(http.MethodPost, one+"/import", s.apiImport),
		// An export changes nothing.
		read(http.MethodPost, one+"/export", s.apiExport),
		read(http.MethodGet, one+"/time_travel/bookmark", s.apiBookmark),
		edit(http.MethodPost, one+"/time_travel/restore", s.apiRestore),
		// The URLs hold an unguessable token.
		{Method: http.MethodPut, Path: all + "/{database}/upload/{token}", Scope: scope, Open: true, Handle: s.apiUpload},
		{Method: http.MethodGet, Path: all + "/{database}/download/{token}", Scope: scope, Open: true, Handle: s.apiDownload},
	}
}

// apiError gives err its code.
func apiError(err error) error {
	var known *api.Error
	var sql *Error
	switch {
	case err == nil, errors.As(err, &known), ofDisk(err):
		return err // a full disk is the server's to tell and to log
	case errors.Is(err, ErrNotFound):
		return api.Errorf(http.StatusNotFound, codeNotFound, "The database %s could not be found", strings.TrimPrefix(err.Error(), ErrNotFound.Error()+": "))
	case errors.Is(err, ErrExists):
		return api.Errorf(http.StatusBadRequest, codeExists, "A database with that name already exists")
	case errors.Is(err, ErrTooMany):
		return api.Errorf(http.StatusBadRequest, codeTooMany, "You have reached the maximum number of databases (%d)", MaxDatabases)
	case errors.As(err, &sql):
		return api.Errorf(http.StatusBadRequest, codeQuery, "%s", err)
	}
	return err
}

// databaseJSON is a database as the API shows it.
type databaseJSON struct {
	UUID            string         `json:"uuid"`
	Name            string         `json:"name"`
	CreatedAt       string         `json:"created_at"`
	Version         string         `json:"version"`
	NumTables       *int64         `json:"num_tables,omitempty"`
	FileSize        *int64         `json:"file_size,omitempty"`
	Region          string         `json:"running_in_region,omitempty"`
	ReadReplication map[string]any `json:"read_replication,omitempty"`
}

func show(i Info) *databaseJSON {
	return &databaseJSON{UUID: i.ID, Name: i.Name, CreatedAt: i.Created.Format(time.RFC3339Nano), Version: "production"}
}

// details adds what is only known from the file.
func (s *Store) details(ctx context.Context, i Info) (*databaseJSON, error) {
	d, err := s.Database(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	r, err := d.Prepare("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'").All(ctx)
	if err != nil {
		return nil, err
	}
	j := show(i)
	tables, _ := r.Rows[0][0].(int64)
	j.NumTables, j.FileSize = &tables, &r.Meta.SizeAfter
	j.Region = "local"
	j.ReadReplication = map[string]any{"mode": "disabled"}
	return j, nil
}

func (s *Store) apiCreate(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name string `json:"name"`
		// UUID is the id to have, which Cloudflare's API does not know; see Provision.
		UUID string `json:"uuid"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	info, err := Info{}, error(nil)
	if in.UUID == "" {
		info, err = s.Create(r.Context(), in.Name)
	} else {
		info, err = s.CreateAs(r.Context(), in.UUID, in.Name)
	}
	if err != nil {
		return apiError(err)
	}
	j, err := s.details(r.Context(), info)
	if err != nil {
		return apiError(err)
	}
	return api.Write(w, j)
}

func (s *Store) apiList(w http.ResponseWriter, r *http.Request) error {
	list, err := s.List(r.Context())
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("name")
	shown := []*databaseJSON{}
	for _, i := range list {
		if strings.Contains(i.Name, name) {
			shown = append(shown, show(i))
		}
	}
	page, info := api.Paginate(r, shown, 100)
	return api.WriteList(w, page, info)
}

// named gives the database that the path names by id or by name.
func (s *Store) named(r *http.Request) (Info, *Database, error) {
	info, err := s.Get(r.Context(), r.PathValue("database"))
	if err != nil {
		return Info{}, nil, apiError(err)
	}
	d, err := s.Database(r.Context(), info.ID)
	return info, d, apiError(err)
}

func (s *Store) apiGet(w http.ResponseWriter, r *http.Request) error {
	info, _, err := s.named(r)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("fields") == "uuid,name" {
		return api.Write(w, map[string]string{"uuid": info.ID, "name": info.Name})
	}
	j, err := s.details(r.Context(), info)
	if err != nil {
		return apiError(err)
	}
	return api.Write(w, j)
}

func (s *Store) apiDelete(w http.ResponseWriter, r *http.Request) error {
	info, _, err := s.named(r)
	if err != nil {
		return err
	}
	if err := s.Delete(r.Context(), info.ID); err != nil {
		return apiError(err)
	}
	return api.Write(w, nil)
}

// apiUpdate accepts a change of read replication that changes nothing: there
// is one copy, and every read of it is up to date.
func (s *Store) apiUpdate(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		ReadReplication struct {
			Mode string `json:"mode"`
		} `json:"read_replication"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	info, _, err := s.named(r)
	if err != nil {
		return err
	}
	switch mode := in.ReadReplication.Mode; mode {
	case "", "disabled":
	case "auto":
		return api.Errorf(http.StatusBadRequest, codeQuery, "read_replication mode \"auto\" is not available: a database lives on one machine; leave it \"disabled\"")
	default:
		return api.Errorf(http.StatusBadRequest, codeQuery, "read_replication mode %q is unknown; use \"disabled\"", mode)
	}
	j, err := s.details(r.Context(), info)
	if err != nil {
		return apiError(err)
	}
	return api.Write(w, j)
}

// apiQuery runs SQL: one text of several statements, or a batch of texts. Each
// statement gives a result.
func (s *Store) apiQuery(f format) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var in struct {
			wireQuery
			Batch []wireQuery `json:"batch"`
		}
		if err := api.Decode(r, &in); err != nil {
			return err
		}
		_, d, err := s.named(r)
		if err != nil {
			return err
		}
		queries := []query{in.query()}
		if in.Batch != nil {
			queries = queries[:0]
			for i := range in.Batch {
				queries = append(queries, in.Batch[i].query())
			}
		}
		out := newJSONOutput(f, s.dir, nil)
		defer out.close()
		if err := d.trusted(r.Context(), queries, true, out); err != nil {
			return apiError(err)
		}
		out.finish()
		return api.WriteFrom(w, out)
	}
}

// apiUpload receives the file of an import.
func (s *Store) apiUpload(w http.ResponseWriter, r *http.Request) error {
	sum, err := s.transfers.upload(r.PathValue("token"), r.Body)
	if errors.Is(err, os.ErrNotExist) {
		return api.Errorf(http.StatusNotFound, codeNotFound, "this upload URL is unknown or has expired; start the import again")
	}
	if err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+sum+`"`)
	return nil
}

// apiDownload sends the file of an export.
func (s *Store) apiDownload(w http.ResponseWriter, r *http.Request) error {
	f, err := s.transfers.download(r.PathValue("token"))
	if errors.Is(err, os.ErrNotExist) {
		return api.Errorf(http.StatusNotFound, codeNotFound, "this download URL is unknown or has expired; start the export again")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/sql")
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}
