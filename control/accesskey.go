package control

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
)

// permissionGroup is one of those that Cloudflare has for R2.
//
// Source: https://developers.cloudflare.com/r2/api/tokens/
type permissionGroup struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes,omitempty"`

	write, admin bool
}

// Resources that a policy can be about.
const (
	accountResource = "com.cloudflare.api.account"
	bucketResource  = "com.cloudflare.edge.r2.bucket"
	allBuckets      = bucketResource + ".*"
)

var permissionGroups = []permissionGroup{
	{ID: "b4992e1108244f5d8bfbd5744320c2e1", Name: "Workers R2 Storage Read", Scopes: []string{accountResource}, admin: true},
	{ID: "bf7481a1826f439697cb59a20b22293e", Name: "Workers R2 Storage Write", Scopes: []string{accountResource}, admin: true, write: true},
	{ID: "6a018a9f2fc74eb6b293b0c548f38b39", Name: "Workers R2 Storage Bucket Item Read", Scopes: []string{bucketResource}},
	{ID: "2efd5506f9c8494dacb1fa10a3e7d5b6", Name: "Workers R2 Storage Bucket Item Write", Scopes: []string{bucketResource}, write: true},
}

// policy is what a token may do with which resources.
type policy struct {
	ID               string                     `json:"id,omitempty"`
	Effect           string                     `json:"effect"`
	PermissionGroups []permissionGroup          `json:"permission_groups"`
	Resources        map[string]json.RawMessage `json:"resources"`
}

// tokenJSON is an access key of R2, as the token that it is at Cloudflare.
type tokenJSON struct {
	ID         string     `json:"id,omitempty"`
	Name       string     `json:"name"`
	Status     string     `json:"status,omitempty"`
	IssuedOn   *time.Time `json:"issued_on,omitempty"`
	ModifiedOn *time.Time `json:"modified_on,omitempty"`
	LastUsedOn *time.Time `json:"last_used_on,omitempty"`
	ExpiresOn  *time.Time `json:"expires_on,omitempty"`
	// NotBefore and Condition are Cloudflare's; keys here have neither.
	NotBefore *time.Time      `json:"not_before,omitempty"`
	Condition json.RawMessage `json:"condition,omitempty"`
	Policies  []policy        `json:"policies"`
	// Value is shown once, when the key is made: the secret is its SHA-256.
	Value string `json:"value,omitempty"`
}

// accessKey reads what a key shall be.
func (s *server) accessKey(t tokenJSON) (k state.AccessKey, err error) {
	k.Name = t.Name
	if t.ExpiresOn != nil {
		k.Expires = t.ExpiresOn.UTC()
	}
	if t.NotBefore != nil || len(t.Condition) > 0 && string(t.Condition) != "null" && string(t.Condition) != "{}" {
		return k, badRequest(1001, "not_before and condition are not supported: an access key holds from now on, and for every address")
	}
	if len(t.Policies) == 0 {
		return k, badRequest(1001, "policies must say what the token may do")
	}
	everywhere := false
	for i, p := range t.Policies {
		if p.Effect != "allow" {
			return k, badRequest(1001, "the effect of a policy must be \"allow\", not %q", p.Effect)
		}
		write, admin, err := permissions(p.PermissionGroups)
		if err != nil {
			return k, err
		}
		if i > 0 && (write != k.Write || admin != k.Admin) {
			return k, badRequest(1001, "all policies of an access key must have the same permission groups; make a key for each")
		}
		k.Write, k.Admin = write, admin
		buckets, all, err := s.resources(p.Resources)
		if err != nil {
			return k, err
		}
		everywhere = everywhere || all
		k.Buckets = append(k.Buckets, buckets...)
	}
	if k.Admin && !everywhere {
		return k, badRequest(1001, "the permission groups Workers R2 Storage Read and Write are about the whole account: name %s.%s in resources", accountResource, s.account)
	}
	if everywhere {
		k.Buckets = nil
	}
	return k, nil
}

// permissions reads permission groups. Who may write may read.
func permissions(groups []permissionGroup) (write, admin bool, err error) {
	if len(groups) == 0 {
		return false, false, badRequest(1001, "a policy must have permission_groups")
	}
	for _, g := range groups {
		i := slices.IndexFunc(permissionGroups, func(known permissionGroup) bool { return known.ID == g.ID })
		if i < 0 {
			return false, false, badRequest(1001, "there is no permission group %q here: tokens that are made over the API are access keys of R2 (GET …/tokens/permission_groups); make others with: selvage token create", cmp.Or(g.ID, g.Name))
		}
		write, admin = write || permissionGroups[i].write, admin || permissionGroups[i].admin
	}
	return write, admin, nil
}

// resources reads what a policy is about: buckets by name, or all.
func (s *server) resources(list map[string]json.RawMessage) (buckets []string, all bool, err error) {
	for name, value := range list {
		bucket, ok := strings.CutPrefix(name, bucketResource+"."+s.account+"_default_")
		switch {
		case name == allBuckets, name == accountResource+"."+s.account, name == accountResource+".*":
			all = true
		case ok && bucket != "":
			buckets = append(buckets, bucket)
		default:
			return nil, false, badRequest(1001, "there is no resource %q: a bucket is %s.%s_default_NAME, all are %s", name, bucketResource, s.account, allBuckets)
		}
		if text := strings.Join(strings.Fields(string(value)), ""); text != `"*"` && (!strings.HasPrefix(name, accountResource) || text != `{"`+allBuckets+`":"*"}`) {
			return nil, false, badRequest(1001, "the resource %s must have the value \"*\"", name)
		}
	}
	if len(list) == 0 {
		return nil, false, badRequest(1001, "a policy must have resources")
	}
	slices.Sort(buckets)
	return buckets, all, nil
}

// tokenOf shows a key as Cloudflare shows a token.
func (s *server) tokenOf(k state.AccessKey, now time.Time) tokenJSON {
	i := slices.IndexFunc(permissionGroups, func(g permissionGroup) bool { return g.write == k.Write && g.admin == k.Admin })
	resources := map[string]json.RawMessage{}
	all := json.RawMessage(`"*"`)
	for _, name := range k.Buckets {
		resources[bucketResource+"."+s.account+"_default_"+name] = all
	}
	switch {
	case k.Admin:
		resources[accountResource+"."+s.account] = all
	case len(resources) == 0:
		resources[allBuckets] = all
	}
	group := permissionGroups[i]
	group.Scopes = nil
	t := tokenJSON{
		ID: k.ID, Name: k.Name, Status: "active", IssuedOn: &k.Created, ModifiedOn: &k.Created,
		Policies: []policy{{ID: k.ID, Effect: "allow", PermissionGroups: []permissionGroup{group}, Resources: resources}},
	}
	if !k.Used.IsZero() {
		t.LastUsedOn = &k.Used
	}
	if !k.Expires.IsZero() {
		t.ExpiresOn = &k.Expires
		if !now.Before(k.Expires) {
			t.Status = "expired"
		}
	}
	return t
}

func (s *server) listPermissionGroups(w http.ResponseWriter, r *http.Request) error {
	return api.Write(w, permissionGroups)
}

// createAccessKey makes a key that may do no more than who makes it.
func (s *server) createAccessKey(w http.ResponseWriter, r *http.Request) error {
	var body tokenJSON
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	k, err := s.accessKey(body)
	if err != nil {
		return err
	}
	if id := identity(r); !id.Allows("r2", k.Write) {
		return api.Errorf(http.StatusForbidden, 10000, "Authentication error: the API token %q may not do in R2 what this access key could", id.Name)
	}
	k, value, err := s.Keys.Create(r.Context(), k)
	if errors.Is(err, auth.ErrInvalidKey) {
		return badRequest(1001, "%v", err)
	}
	if err != nil {
		return err
	}
	t := s.tokenOf(k, s.state.Now())
	t.Value = value
	return api.Write(w, t)
}

func (s *server) listAccessKeys(w http.ResponseWriter, r *http.Request) error {
	keys, err := s.Keys.List(r.Context())
	if err != nil {
		return err
	}
	list := make([]tokenJSON, len(keys))
	for i, k := range keys {
		list[i] = s.tokenOf(k, s.state.Now())
	}
	list, info := api.Paginate(r, list, 20)
	return api.WriteList(w, list, info)
}

func (s *server) getAccessKey(w http.ResponseWriter, r *http.Request) error {
	keys, err := s.Keys.List(r.Context())
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.ID == r.PathValue("token") {
			return api.Write(w, s.tokenOf(k, s.state.Now()))
		}
	}
	return noAccessKey(r)
}

// deleteAccessKey takes an id, as Cloudflare does, or a name.
func (s *server) deleteAccessKey(w http.ResponseWriter, r *http.Request) error {
	err := s.Keys.Delete(r.Context(), r.PathValue("token"))
	if errors.Is(err, auth.ErrInvalidKey) {
		return badRequest(1001, "%v", err)
	}
	if err != nil {
		return orNotFound(err, noAccessKey(r))
	}
	return api.Write(w, map[string]string{"id": r.PathValue("token")})
}

func noAccessKey(r *http.Request) error {
	return api.Errorf(http.StatusNotFound, 1001, "there is no access key %q; see: selvage r2 key list", r.PathValue("token"))
}
