// Package firewall is the stage of custom rules: it blocks requests, logs them,
// and lets some skip the rules that follow.
//
// Source: https://developers.cloudflare.com/waf/custom-rules/
package firewall

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/ruleset"
)

// Stage tries rules in order until one blocks or skips. It is safe for
// concurrent use; the zero Stage has no rules.
type Stage struct {
	// Logger gets a line for each request that a rule logs. Default slog.Default().
	Logger *slog.Logger
	// Rules are those in force.
	Rules ruleset.Current[ruleset.Firewall]
}

// ServeHTTP implements edge.Stage.
func (s *Stage) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	list := s.Rules.Load()
	if list == nil {
		return next.ServeHTTP(w, r)
	}
	rule := s.blocking(list, r)
	if rule == nil {
		return next.ServeHTTP(w, r)
	}
	f := fault.AccessDenied.With(fmt.Sprintf("You are unable to access %s.", r.Host), fmt.Errorf("blocked by the custom rule %q", rule.Name))
	if rule.Response == nil {
		return f
	}
	edge.Refused(r, f)
	h := w.Header()
	h["Content-Type"] = []string{rule.Response.ContentType + "; charset=utf-8"}
	h["Cache-Control"] = []string{"private, max-age=0, no-store, no-cache, must-revalidate"}
	h["Content-Length"] = []string{strconv.Itoa(len(rule.Response.Content))}
	w.WriteHeader(rule.Response.Status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := io.WriteString(w, rule.Response.Content)
	return err
}

// blocking finds the rule that blocks r; nil lets it pass.
func (s *Stage) blocking(list *ruleset.List[ruleset.Firewall], r *http.Request) *ruleset.Firewall {
	c := edge.Facts(r, list.Body)
	defer edge.Forget(c)
	for i := range list.Rules {
		rule := &list.Rules[i]
		if !rule.Match(c) {
			continue
		}
		switch rule.Action {
		case ruleset.Block:
			return rule
		case ruleset.Skip:
			return nil
		case ruleset.Log:
			s.log(rule, r, c)
		}
	}
	return nil
}

func (s *Stage) log(rule *ruleset.Firewall, r *http.Request, c *rules.Context) {
	log := s.Logger
	if log == nil {
		log = slog.Default()
	}
	log.Info("firewall", "action", "log", "rule", rule.Name, "ray", c.Ray, "client", c.ClientIP.String(), "method", r.Method, "host", r.Host, "path", r.URL.Path)
}
