// Package rewrite is the stage of URL Rewrite Rules.
//
// Source: https://developers.cloudflare.com/rules/transform/url-rewrite/
package rewrite

import (
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/ruleset"
)

// Stage carries out every rule that matches, in order; each sees what those
// before it have made. It is safe for concurrent use; the zero Stage has no
// rules.
type Stage struct {
	// Rules are those in force.
	Rules ruleset.Current[ruleset.Rewrite]
}

// ServeHTTP implements edge.Stage.
func (s *Stage) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if list := s.Rules.Load(); list != nil {
		apply(list, r)
	}
	return next.ServeHTTP(w, r)
}

func apply(list *ruleset.List[ruleset.Rewrite], r *http.Request) {
	c := edge.Facts(r, list.Body)
	defer edge.Forget(c)
	for i := range list.Rules {
		rule := &list.Rules[i]
		if !rule.Match(c) {
			continue
		}
		path, query := c.Path, c.Query
		if rule.Path != nil {
			if made, ok := rule.Path.Make(c); ok {
				path = strings.Clone(made)
			}
		}
		if rule.Query != nil {
			if made, ok := rule.Query.Make(c); ok {
				query = strings.Clone(made)
			}
		}
		edge.Rewrite(r, path, query)
		c.Path, c.Query = target.Path(r.URL), r.URL.RawQuery
		c.Changed()
	}
}
