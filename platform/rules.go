package platform

import (
	"log/slog"

	"github.com/selvage-edge/selvage/edge/firewall"
	"github.com/selvage-edge/selvage/edge/redirect"
	"github.com/selvage-edge/selvage/edge/rewrite"
	"github.com/selvage-edge/selvage/edge/transform"
	"github.com/selvage-edge/selvage/ruleset"
)

// phases are the stages that carry out rules; pipeline has their order.
type phases struct {
	redirects       redirect.Single
	rewrites        rewrite.Stage
	firewall        firewall.Stage
	bulk            redirect.Bulk
	requestHeaders  transform.Request
	responseHeaders transform.Response
}

func newPhases(s *ruleset.Set, log *slog.Logger) *phases {
	p := &phases{}
	p.redirects.Logger, p.firewall.Logger = log, log
	p.set(s)
	return p
}

// set replaces the rules of all phases; nil is none.
func (p *phases) set(s *ruleset.Set) {
	if s == nil {
		s = &ruleset.Set{}
	}
	p.redirects.Rules.Set(s.Redirects)
	p.rewrites.Rules.Set(s.Rewrites)
	p.firewall.Rules.Set(s.Firewall)
	p.bulk.Set(s.Bulk)
	p.requestHeaders.Rules.Set(s.RequestHeaders)
	p.responseHeaders.Rules.Set(s.ResponseHeaders)
}

// SetRules replaces the rules for the requests that come after.
func (p *Platform) SetRules(s *ruleset.Set) { p.phases.set(s) }
