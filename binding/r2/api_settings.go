package r2

import (
	"net/http"
	"strconv"

	"github.com/selvage-edge/selvage/api"
)

// settingsRoutes are the operations on a bucket's settings.
func (a rest) settingsRoutes(group api.Group) []api.Route {
	const one = "/accounts/{account}/r2/buckets/{bucket}"
	return []api.Route{
		group.Read("GET", one+"/lifecycle", a.rules),
		group.Edit("PUT", one+"/lifecycle", a.setRules),
		group.Read("GET", one+"/cors", a.cors),
		group.Edit("PUT", one+"/cors", a.setCORS),
		group.Edit("DELETE", one+"/cors", a.deleteCORS),
		group.Read("GET", one+"/lock", a.locks),
		group.Edit("PUT", one+"/lock", a.setLocks),
		group.Read("GET", one+"/usage", a.usage),
		group.Read("GET", one+"/domains/custom", a.domains),
		group.Edit("POST", one+"/domains/custom", a.addDomain),
		group.Read("GET", one+"/domains/custom/{domain}", a.domain),
		group.Edit("PUT", one+"/domains/custom/{domain}", a.changeDomain),
		group.Edit("DELETE", one+"/domains/custom/{domain}", a.removeDomain),
		group.Read("GET", one+"/domains/managed", a.devURL),
		group.Edit("PUT", one+"/domains/managed", a.enableDevURL),
	}
}

// rulesJSON is the lifecycle rules of a bucket.
type rulesJSON struct {
	Rules []Rule `json:"rules"`
}

func (a rest) rules(w http.ResponseWriter, r *http.Request) error {
	rules, err := a.s.Rules(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	return api.Write(w, rulesJSON{rules})
}

func (a rest) setRules(w http.ResponseWriter, r *http.Request) error {
	var req rulesJSON
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	if err := a.s.SetRules(r.Context(), r.PathValue("bucket"), req.Rules); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

type corsJSON struct {
	Rules CORS `json:"rules"`
}

func (a rest) cors(w http.ResponseWriter, r *http.Request) error {
	rules, err := a.s.CORS(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return ErrNoCORS
	}
	return api.Write(w, corsJSON{rules})
}

func (a rest) setCORS(w http.ResponseWriter, r *http.Request) error {
	var req corsJSON
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	if err := a.s.SetCORS(r.Context(), r.PathValue("bucket"), req.Rules); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

func (a rest) deleteCORS(w http.ResponseWriter, r *http.Request) error {
	if err := a.s.SetCORS(r.Context(), r.PathValue("bucket"), nil); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

type locksJSON struct {
	Rules []LockRule `json:"rules"`
}

func (a rest) locks(w http.ResponseWriter, r *http.Request) error {
	rules, err := a.s.LockRules(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	return api.Write(w, locksJSON{append([]LockRule{}, rules...)})
}

func (a rest) setLocks(w http.ResponseWriter, r *http.Request) error {
	var req locksJSON
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	if err := a.s.SetLockRules(r.Context(), r.PathValue("bucket"), req.Rules); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

// usage answers with numbers as strings, as Cloudflare does.
func (a rest) usage(w http.ResponseWriter, r *http.Request) error {
	u, err := a.s.Usage(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{
		"end": a.s.moment(), "payloadSize": strconv.FormatInt(u.Payload, 10), "metadataSize": strconv.FormatInt(u.Metadata, 10),
		"objectCount": strconv.FormatInt(u.Objects, 10), "uploadCount": strconv.FormatInt(u.Uploads, 10),
	})
}
