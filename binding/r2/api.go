package r2

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// rest is the operations of the REST API on buckets and objects, as wrangler and
// the SDKs call them. All buckets are in one place: the header
// cf-r2-jurisdiction is not heeded.
//
// Source: https://developers.cloudflare.com/api/resources/r2/
type rest struct {
	s *Store
	// port follows a development host where it is shown: ":8443", or nothing.
	port string
}

func (a rest) routes() []api.Route {
	const all = "/accounts/{account}/r2/buckets"
	const one = all + "/{bucket}"
	const object = one + "/objects/{key...}"
	group := api.Group{Scope: "r2", Report: report}
	read, edit := group.Read, group.Edit
	routes := []api.Route{
		edit("POST", all, a.create),
		read("GET", all, a.list),
		read("GET", one, a.info),
		edit("PATCH", one, a.update),
		edit("DELETE", one, a.remove),
		read("GET", one+"/objects", a.objects),
		read("GET", object, a.get),
		edit("PUT", object, a.put),
		edit("DELETE", object, a.delete),
	}
	routes = append(routes, a.settingsRoutes(group)...)
	routes = append(routes, a.notifyRoutes(group)...)
	for part, what := range absent {
		routes = append(routes, read("GET", one+"/"+part, disabled), read("DELETE", one+"/"+part, disabled), read("PUT", one+"/"+part, missing(what)))
	}
	return routes
}

// absent are features of Cloudflare's buckets that cannot be enabled here.
var absent = map[string]string{
	"local-uploads": "local uploads",
	"sippy":         "migrations (Sippy)",
}

func disabled(w http.ResponseWriter, _ *http.Request) error {
	return api.Write(w, map[string]bool{"enabled": false})
}

func missing(what string) func(http.ResponseWriter, *http.Request) error {
	return func(_ http.ResponseWriter, r *http.Request) error {
		return api.Errorf(http.StatusNotFound, 7003, "R2 %s are not on this version of Selvage yet, so there is no %s %s", what, r.Method, r.URL.Path)
	}
}

// report turns the store's errors into those of the API.
func report(err error) error {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return api.Errorf(refusal.Status, refusal.Code, "%s", refusal.Text)
	}
	return err
}

// bucketReply is a bucket as the API shows it.
type bucketReply struct {
	Name         string    `json:"name"`
	Created      time.Time `json:"creation_date"`
	Location     string    `json:"location,omitempty"`
	StorageClass string    `json:"storage_class"`
	Jurisdiction string    `json:"jurisdiction"`
}

func bucketOf(i Info) bucketReply {
	return bucketReply{i.Name, i.Created, i.Location, i.StorageClass, "default"}
}

func (a rest) create(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Name         string `json:"name"`
		StorageClass string `json:"storageClass"`
		LocationHint string `json:"locationHint"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	info, err := a.s.CreateBucket(r.Context(), Info{Name: req.Name, StorageClass: req.StorageClass, Location: strings.ToUpper(req.LocationHint)})
	if err != nil {
		return err
	}
	return api.Write(w, bucketOf(info))
}

// list answers with all buckets unless per_page says how many; wrangler asks once.
func (a rest) list(w http.ResponseWriter, r *http.Request) error {
	infos, err := a.s.Buckets(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if q.Get("direction") == "desc" {
		slices.Reverse(infos)
	}
	after := q.Get("start_after")
	if c := q.Get("cursor"); c != "" {
		after = c
	}
	if after != "" {
		i := slices.IndexFunc(infos, func(i Info) bool { return i.Name == after })
		infos = infos[i+1:]
	}
	infos = slices.DeleteFunc(infos, func(i Info) bool { return !strings.Contains(i.Name, q.Get("name_contains")) })
	page := &api.Info{}
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 && n < len(infos) {
		infos, page.PerPage, page.Cursor = infos[:n], n, infos[n-1].Name
	}
	replies := make([]bucketReply, len(infos))
	for i, info := range infos {
		replies[i] = bucketOf(info)
	}
	page.Count = len(replies)
	return api.WriteList(w, map[string]any{"buckets": replies}, page)
}

func (a rest) info(w http.ResponseWriter, r *http.Request) error {
	info, err := a.s.Info(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	return api.Write(w, bucketOf(info))
}

func (a rest) update(w http.ResponseWriter, r *http.Request) error {
	info, err := a.s.SetStorageClass(r.Context(), r.PathValue("bucket"), r.Header.Get("cf-r2-storage-class"))
	if err != nil {
		return err
	}
	return api.Write(w, bucketOf(info))
}

func (a rest) remove(w http.ResponseWriter, r *http.Request) error {
	if err := a.s.DeleteBucket(r.Context(), r.PathValue("bucket")); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

func (a rest) bucket(r *http.Request) (*Bucket, error) { return a.s.Bucket(r.PathValue("bucket")) }

// objectReply is an object as the API shows it.
type objectReply struct {
	Key          string            `json:"key"`
	ETag         string            `json:"etag"`
	Version      string            `json:"version,omitempty"`
	LastModified time.Time         `json:"last_modified"`
	Size         int64             `json:"size"`
	HTTP         HTTPMetadata      `json:"http_metadata"`
	Custom       map[string]string `json:"custom_metadata"`
	StorageClass string            `json:"storage_class"`
	SSEC         bool              `json:"ssec"`
}

func objectOf(o *Object) objectReply {
	custom := o.Custom
	if custom == nil {
		custom = map[string]string{}
	}
	return objectReply{o.Key, o.ETag, o.Version, o.Uploaded, o.Size, o.HTTP, custom, o.StorageClass, o.SSECKeyMD5 != ""}
}

func (a rest) objects(w http.ResponseWriter, r *http.Request) error {
	b, err := a.bucket(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	o := ListOptions{Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), Cursor: q.Get("cursor"), StartAfter: q.Get("start_after"), Limit: 20, IncludeHTTP: true, IncludeCustom: true}
	if q.Has("per_page") {
		if o.Limit, err = strconv.Atoi(q.Get("per_page")); err != nil || o.Limit < 1 {
			return ErrLimit
		}
	}
	page, err := b.List(r.Context(), o)
	if err != nil {
		return err
	}
	replies := make([]objectReply, len(page.Objects))
	for i, object := range page.Objects {
		replies[i] = objectOf(object)
	}
	return api.Write(w, struct {
		Objects   []objectReply `json:"objects"`
		Prefixes  []string      `json:"delimited"`
		Cursor    string        `json:"cursor,omitempty"`
		Truncated bool          `json:"is_truncated"`
	}{replies, page.Prefixes, page.Cursor, page.Cursor != ""})
}

func (a rest) get(w http.ResponseWriter, r *http.Request) error {
	b, err := a.bucket(r)
	if err != nil {
		return err
	}
	object, err := b.Get(r.Context(), r.PathValue("key"), GetOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	object.HTTP.Headers(h)
	h.Set("Content-Length", strconv.FormatInt(object.Size, 10))
	h.Set("ETag", `"`+object.ETag+`"`)
	h.Set("Last-Modified", object.Uploaded.Format(http.TimeFormat))
	h.Set("cf-r2-storage-class", object.StorageClass)
	if _, err := io.Copy(w, object); err != nil && r.Context().Err() == nil {
		a.s.log.Error("an object could not be read to its end", "bucket", b.name, "key", object.Key, "error", err)
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
	return nil
}

func (a rest) put(w http.ResponseWriter, r *http.Request) error {
	b, err := a.bucket(r)
	if err != nil {
		return err
	}
	o := PutOptions{HTTP: MetadataOf(r.Header), StorageClass: r.Header.Get("cf-r2-storage-class")}
	if o.StorageClass == "" {
		info, err := a.s.Info(r.Context(), b.name)
		if err != nil {
			return err
		}
		o.StorageClass = info.StorageClass
	}
	var content io.Reader = r.Body
	if r.ContentLength >= 0 {
		content = Sized{r.Body, r.ContentLength}
	}
	object, err := b.Put(r.Context(), r.PathValue("key"), content, o)
	if err != nil {
		return err
	}
	return api.Write(w, objectOf(object))
}

func (a rest) delete(w http.ResponseWriter, r *http.Request) error {
	b, err := a.bucket(r)
	if err != nil {
		return err
	}
	key := r.PathValue("key")
	if err := b.Delete(r.Context(), key); err != nil {
		return err
	}
	return api.Write(w, map[string]string{"key": key})
}
