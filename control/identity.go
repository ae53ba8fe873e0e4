package control

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/control/state"
)

// accountName is what `wrangler whoami` shows.
const accountName = "Selvage"

func (s *server) verifyToken(w http.ResponseWriter, r *http.Request) error {
	id := identity(r)
	result := map[string]any{"id": id.ID, "status": "active"}
	if !id.Expires.IsZero() {
		result["expires_on"] = id.Expires.Format(time.RFC3339)
	}
	return api.Write(w, result)
}

// email stands for the holder of a token in places that want an address.
func (s *server) email(r *http.Request) string {
	return identity(r).Name + "@" + s.state.WorkersDomain()
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request) error {
	id := identity(r)
	return api.Write(w, map[string]any{"id": id.ID, "email": s.email(r), "username": id.Name, "suspended": false})
}

func (s *server) accountJSON() map[string]any {
	return map[string]any{"id": s.account, "name": accountName, "type": "standard", "settings": map[string]any{}}
}

func (s *server) getAccount(w http.ResponseWriter, r *http.Request) error {
	return api.Write(w, s.accountJSON())
}

func (s *server) listAccounts(w http.ResponseWriter, r *http.Request) error {
	list, info := api.Paginate(r, []map[string]any{s.accountJSON()}, 20)
	return api.WriteList(w, list, info)
}

func (s *server) listMemberships(w http.ResponseWriter, r *http.Request) error {
	list, info := api.Paginate(r, []map[string]any{{
		"id": s.account, "status": "accepted", "roles": []string{"Administrator"},
		"account": map[string]any{"id": s.account, "name": accountName},
	}}, 20)
	return api.WriteList(w, list, info)
}

// listAudit gives the audit log, oldest entries first; ?cursor= goes on where
// the last answer ended.
func (s *server) listAudit(w http.ResponseWriter, r *http.Request) error {
	after, _ := strconv.ParseInt(r.URL.Query().Get("cursor"), 10, 64)
	const limit = 100
	var list []state.Entry
	err := s.view(r, func(tx *state.Tx) (err error) {
		list, err = tx.AuditLog(after, limit)
		return err
	})
	if err != nil {
		return err
	}
	info := &api.Info{Count: len(list)}
	if len(list) == limit {
		info.Cursor = strconv.FormatInt(list[limit-1].Seq, 10)
	}
	return api.WriteList(w, list, info)
}

// graphql answers queries for the datasets of the kinds; an account has no other
// rows. GraphQL has no envelope.
func (s *server) graphql(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Query     string `json:"query"`
		Variables struct {
			Filter map[string]any `json:"filter"`
		} `json:"variables"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	account := map[string]any{}
	for _, k := range s.Kinds {
		analyst, ok := k.(binding.Analyst)
		if !ok {
			continue
		}
		for _, set := range analyst.Datasets() {
			if !strings.Contains(req.Query, set.Name) || !identity(r).Allows(set.Scope, false) {
				continue
			}
			rows, err := set.Rows(r.Context(), req.Variables.Filter)
			if err != nil {
				return err
			}
			account[set.Name] = rows
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{
		"data": map[string]any{"viewer": map[string]any{"accounts": []any{account}}}, "errors": nil,
	})
}
