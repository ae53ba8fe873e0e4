package analytics

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/selvage-edge/selvage/api"
)

// rest is the SQL API. Its answers have no envelope.
//
// Source: https://developers.cloudflare.com/analytics/analytics-engine/sql-api/
type rest struct{ k *Kind }

func (a rest) routes() []api.Route {
	const path = "/accounts/{account}/analytics_engine/sql"
	return []api.Route{
		{Method: "POST", Path: path, Scope: "account_analytics", Handle: a.post},
		{Method: "GET", Path: path, Scope: "account_analytics", Handle: a.get},
	}
}

// post takes the query as the body, whatever its content type says.
func (a rest) post(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxQuery+1))
	if err != nil {
		return api.Errorf(http.StatusBadRequest, 10001, "read request body: %v", err)
	}
	return a.run(w, r, string(body))
}

func (a rest) get(w http.ResponseWriter, r *http.Request) error {
	return a.run(w, r, r.URL.Query().Get("query"))
}

func (a rest) run(w http.ResponseWriter, r *http.Request, query string) error {
	answer, err := a.k.store.Query(r.Context(), query)
	var wrong *InputError
	if errors.As(err, &wrong) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, wrong.Error()) // the client is gone if this fails
		return nil
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", answer.ContentType())
	w.Header().Set("Content-Length", strconv.Itoa(len(answer.Body)))
	w.Write(answer.Body)
	return nil
}
