package kv

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/selvage-edge/selvage/api"
)

// Routes are the operations of the REST API on namespaces, as wrangler and the
// SDKs call them.
//
// Source: https://developers.cloudflare.com/api/resources/kv/
func (s *Store) Routes() []api.Route {
	const all = "/accounts/{account}/storage/kv/namespaces"
	const one = all + "/{namespace}"
	a := rest{s}
	group := api.Group{Scope: "workers_kv", Report: report}
	read, edit := group.Read, group.Edit
	return []api.Route{
		edit("POST", all, a.create),
		read("GET", all, a.list),
		read("GET", one, a.info),
		edit("PUT", one, a.rename),
		edit("DELETE", one, a.remove),
		read("GET", one+"/values/{key...}", a.get),
		edit("PUT", one+"/values/{key...}", a.put),
		edit("DELETE", one+"/values/{key...}", a.delete),
		read("GET", one+"/metadata/{key...}", a.metadata),
		read("GET", one+"/keys", a.keys),
		edit("PUT", one+"/bulk", a.bulkPut),
		read("POST", one+"/bulk/get", a.bulkGet),
		edit("DELETE", one+"/bulk", a.bulkDelete),
		edit("POST", one+"/bulk/delete", a.bulkDelete),
	}
}

// Cloudflare's codes.
const (
	codeBadRequest        = 10001
	codeKeyNotFound       = 10009
	codeNamespaceNotFound = 10013
	codeTitleTaken        = 10014
)

// report turns the store's errors into those of the API.
func report(err error) error {
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return api.Errorf(refusal.Status, codeBadRequest, "%s", refusal.Text)
	case errors.Is(err, ErrNotFound):
		return api.Errorf(http.StatusNotFound, codeKeyNotFound, "get: 'key not found'")
	case errors.Is(err, ErrNamespaceNotFound):
		return api.Errorf(http.StatusNotFound, codeNamespaceNotFound, "namespace not found")
	case errors.Is(err, ErrTitleTaken):
		return api.Errorf(http.StatusBadRequest, codeTitleTaken, "%v", ErrTitleTaken)
	case errors.Is(err, ErrIDTaken):
		return api.Errorf(http.StatusBadRequest, codeTitleTaken, "%v", ErrIDTaken)
	}
	return err
}

type rest struct{ s *Store }

// namespaceReply is a namespace as the API shows it.
type namespaceReply struct {
	ID                  string `json:"id"`
	Title               string `json:"title"`
	SupportsURLEncoding bool   `json:"supports_url_encoding"`
}

func reply(i Info) namespaceReply { return namespaceReply{i.ID, i.Title, true} }

type titleRequest struct {
	Title string `json:"title"`
}

func (a rest) create(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		titleRequest
		// ID is the id to have, which Cloudflare's API does not know; see Provision.
		ID string `json:"id"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	info, err := Info{}, error(nil)
	if req.ID == "" {
		info, err = a.s.CreateNamespace(r.Context(), req.Title)
	} else {
		info, err = a.s.CreateNamespaceAs(r.Context(), req.ID, req.Title)
	}
	if err != nil {
		return err
	}
	return api.Write(w, reply(info))
}

func (a rest) list(w http.ResponseWriter, r *http.Request) error {
	infos, err := a.s.Namespaces(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if q.Get("order") == "id" {
		slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	}
	if q.Get("direction") == "desc" {
		slices.Reverse(infos)
	}
	cut, page := api.Paginate(r, infos, 20)
	replies := make([]namespaceReply, len(cut))
	for i, info := range cut {
		replies[i] = reply(info)
	}
	return api.WriteList(w, replies, page)
}

func (a rest) info(w http.ResponseWriter, r *http.Request) error {
	info, err := a.s.Info(r.Context(), r.PathValue("namespace"))
	if err != nil {
		return err
	}
	return api.Write(w, reply(info))
}

func (a rest) rename(w http.ResponseWriter, r *http.Request) error {
	var req titleRequest
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	info, err := a.s.RenameNamespace(r.Context(), r.PathValue("namespace"), req.Title)
	if err != nil {
		return err
	}
	return api.Write(w, reply(info))
}

func (a rest) remove(w http.ResponseWriter, r *http.Request) error {
	if err := a.s.DeleteNamespace(r.Context(), r.PathValue("namespace")); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

func (a rest) namespace(r *http.Request) (*Namespace, error) {
	return a.s.Namespace(r.PathValue("namespace"))
}

func (a rest) get(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	v, err := n.Open(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	defer v.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(v.Size, 10))
	if !v.Expiration.IsZero() {
		h.Set("Expiration", strconv.FormatInt(v.Expiration.Unix(), 10))
	}
	io.Copy(w, v) // fails only when the client has gone
	return nil
}

// put stores the raw body, or the field "value" of a form that also has
// "metadata".
func (a rest) put(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	var o PutOptions
	q := r.URL.Query()
	if err := o.parseExpiry(q.Get("expiration"), q.Get("expiration_ttl")); err != nil {
		return err
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "multipart/form-data" {
		if err := n.put(r.Context(), r.PathValue("key"), r.Body, r.ContentLength, o); err != nil {
			return err
		}
		return api.Write(w, struct{}{})
	}
	value, metadata, err := readForm(r)
	if err != nil {
		return err
	}
	o.Metadata = metadata
	if err := n.Put(r.Context(), r.PathValue("key"), value, o); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

// readForm reads the fields into memory, because the metadata may come last.
func readForm(r *http.Request) (value, metadata []byte, err error) {
	bad := func(err error) error {
		return api.Errorf(http.StatusBadRequest, codeBadRequest, "request body is not a valid form: %v", err)
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, nil, bad(err)
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, bad(err)
		}
		var field *[]byte
		limit := int64(MaxValueBytes)
		switch part.FormName() {
		case "value":
			field = &value
		case "metadata":
			field, limit = &metadata, MaxMetadataBytes
		default:
			continue
		}
		if *field, err = io.ReadAll(io.LimitReader(part, limit+1)); err != nil {
			return nil, nil, bad(err)
		}
	}
	if value == nil {
		return nil, nil, bad(errors.New(`it has no field "value"`))
	}
	return value, metadata, nil
}

func (a rest) delete(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	if err := n.Delete(r.Context(), r.PathValue("key")); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

func (a rest) metadata(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	v, err := n.Open(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	defer v.Close()
	return api.Write(w, v.Metadata)
}

type keyReply struct {
	Name       string          `json:"name"`
	Expiration int64           `json:"expiration,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

func (a rest) keys(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	o := ListOptions{Prefix: q.Get("prefix"), Cursor: q.Get("cursor")}
	if q.Has("limit") {
		if o.Limit, err = strconv.Atoi(q.Get("limit")); err != nil || o.Limit < 1 || o.Limit > MaxListKeys {
			return refuse(http.StatusBadRequest, "limit must be a number from 1 to %d", MaxListKeys)
		}
	}
	page, err := n.List(r.Context(), o)
	if err != nil {
		return err
	}
	replies := make([]keyReply, len(page.Keys))
	for i, k := range page.Keys {
		replies[i] = keyReply{Name: k.Name, Metadata: k.Metadata}
		if !k.Expiration.IsZero() {
			replies[i].Expiration = k.Expiration.Unix()
		}
	}
	return api.WriteList(w, replies, &api.Info{Count: len(replies), Cursor: page.Cursor, Cursors: &api.Cursors{After: page.Cursor}})
}

type itemRequest struct {
	Key        string          `json:"key"`
	Value      string          `json:"value"`
	Base64     bool            `json:"base64"`
	Expiration json.Number     `json:"expiration"`
	TTL        json.Number     `json:"expiration_ttl"`
	Metadata   json.RawMessage `json:"metadata"`
}

// bulkReply says that all keys were written: a bulk call fails as a whole.
type bulkReply struct {
	Successful   int      `json:"successful_key_count"`
	Unsuccessful []string `json:"unsuccessful_keys"`
}

func (a rest) bulkPut(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	var req []itemRequest
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	items := make([]Item, len(req))
	for i, it := range req {
		items[i] = Item{Key: it.Key, Value: []byte(it.Value)}
		if it.Base64 {
			if items[i].Value, err = base64.StdEncoding.DecodeString(it.Value); err != nil {
				return refuse(http.StatusBadRequest, "value of key %q is not valid base64", it.Key)
			}
		}
		if string(it.Metadata) != "null" {
			items[i].Metadata = it.Metadata
		}
		if err := items[i].parseExpiry(it.Expiration.String(), it.TTL.String()); err != nil {
			return err
		}
	}
	if err := n.BulkPut(r.Context(), items); err != nil {
		return err
	}
	return api.Write(w, bulkReply{Successful: len(items), Unsuccessful: []string{}})
}

func (a rest) bulkGet(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	var req bulkRequest
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	req.withExpiration = true
	return req.answer(r.Context(), n, "", func(values io.WriterTo) error {
		return api.WriteFrom(w, named{"values", values})
	})
}

func (a rest) bulkDelete(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	var keys []string
	if err := api.Decode(r, &keys); err != nil {
		return err
	}
	if err := n.BulkDelete(r.Context(), keys); err != nil {
		return err
	}
	return api.Write(w, bulkReply{Successful: len(keys), Unsuccessful: []string{}})
}
