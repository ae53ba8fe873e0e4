// Package redirect has the stages that answer with another address: Single
// Redirects, whose rules make it, and Bulk Redirects, which are a table.
//
// Source: https://developers.cloudflare.com/rules/url-forwarding/
package redirect

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/ruleset"
)

// Single is the stage of redirect rules, of which the first that matches counts.
// A rule that makes no address is passed over, and logged. It is safe for
// concurrent use; the zero Single has no rules.
type Single struct {
	// Logger default: slog.Default().
	Logger *slog.Logger
	// Rules are those in force.
	Rules ruleset.Current[ruleset.Redirect]
}

// ServeHTTP implements edge.Stage.
func (s *Single) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	list := s.Rules.Load()
	if list == nil {
		return next.ServeHTTP(w, r)
	}
	to, status := s.find(list, r)
	if status == 0 {
		return next.ServeHTTP(w, r)
	}
	return answer(w, to, status)
}

func (s *Single) find(list *ruleset.List[ruleset.Redirect], r *http.Request) (string, int) {
	c := edge.Facts(r, list.Body)
	defer edge.Forget(c)
	for i := range list.Rules {
		rule := &list.Rules[i]
		if !rule.Match(c) {
			continue
		}
		to, ok := rule.To.Make(c)
		if err := ruleset.CheckTarget(to); !ok || err != nil {
			s.log(rule, c, err)
			continue
		}
		to = strings.Clone(to)
		if rule.PreserveQuery {
			to = ruleset.WithQuery(to, c.Query)
		}
		return to, rule.Status
	}
	return "", 0
}

func (s *Single) log(rule *ruleset.Redirect, c *rules.Context, err error) {
	log := s.Logger
	if log == nil {
		log = slog.Default()
	}
	log.Warn("redirect rule passed over: it made no address", "rule", rule.Name, "ray", c.Ray, "err", err)
}

func answer(w http.ResponseWriter, to string, status int) error {
	h := w.Header()
	h["Location"] = []string{to}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(status)
	return nil
}

// Bulk is the stage of bulk redirects. It is safe for concurrent use; the zero
// Bulk has none.
type Bulk struct{ table atomic.Pointer[ruleset.Bulk] }

// Set replaces the table for the requests that come after; nil is none.
func (b *Bulk) Set(table *ruleset.Bulk) { b.table.Store(table) }

// ServeHTTP implements edge.Stage.
func (b *Bulk) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	table := b.table.Load()
	if table == nil {
		return next.ServeHTTP(w, r)
	}
	c := edge.Facts(r, false)
	to, status := table.Find(c.Scheme, c.Host, c.Path, c.Query)
	edge.Forget(c)
	if status == 0 {
		return next.ServeHTTP(w, r)
	}
	return answer(w, to, status)
}
