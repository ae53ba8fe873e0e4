// Package assets serves the static files of a Worker the way Cloudflare does.
//
// A request is matched against _redirects, then against the files with the
// rules of html_handling. When neither has an answer the Worker is asked, and
// when there is no Worker (or the request is a navigation and the
// compatibility flag assets_navigation_prefers_asset_serving is on, or
// run_worker_first is a list of patterns) not_found_handling decides.
// run_worker_first turns the order round for all paths or for some. _headers
// applies to every answer that comes from here and to none of the Worker's.
//
// As on Cloudflare, Range requests get the whole file.
//
// Source: https://developers.cloudflare.com/workers/static-assets/
package assets

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
)

// Limits of one Worker version.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#static-assets
const (
	MaxFileBytes        = 25 << 20
	MaxFiles            = 20_000
	MaxHeaderRules      = 100
	MaxStaticRedirects  = 2000
	MaxDynamicRedirects = 100
	// MaxLineLength is in characters, for lines of _headers and _redirects.
	MaxLineLength = 2000
	// MaxRoutingRules and MaxRoutingRuleLength bound run_worker_first.
	MaxRoutingRules      = 100
	MaxRoutingRuleLength = 100
)

// The ways of html_handling.
const (
	autoTrailingSlash  = "auto-trailing-slash"
	forceTrailingSlash = "force-trailing-slash"
	dropTrailingSlash  = "drop-trailing-slash"
)

// The ways of not_found_handling, and none for both.
const (
	none                  = "none"
	notFoundPage          = "404-page"
	singlePageApplication = "single-page-application"
)

// Handler answers requests with the files of one version. It is immutable and
// safe for concurrent use.
type Handler struct {
	files    config.AssetFiles
	html     string
	notFound string
	// base begins and ends with a slash.
	base string
	// workerFirst decides when there are no patterns.
	workerFirst bool
	// toWorker and toAssets are the patterns of run_worker_first, the latter
	// from those with an exclamation mark.
	toWorker, toAssets []pattern
	// navigation: a browser's navigation gets not_found_handling rather than
	// the Worker.
	navigation bool
	redirects  redirects
	headers    []headerRule
	warnings   []string
	hot        *hot // nil: nothing is kept in memory
}

// New compiles the assets of a version. Of the version it reads Assets, which
// must not be nil, and the compatibility date and flags. Settings that
// Cloudflare's API refuses are errors; bad lines in _headers and _redirects
// are skipped and become warnings.
func New(v *config.Version) (*Handler, error) {
	a := v.Assets
	h := &Handler{
		files:       a.Files,
		html:        a.HTMLHandling,
		notFound:    a.NotFoundHandling,
		workerFirst: a.RunWorkerFirst,
		navigation:  navigationPrefersAssets(v),
	}
	if h.html == "" {
		h.html = autoTrailingSlash
	}
	if all := []string{autoTrailingSlash, forceTrailingSlash, dropTrailingSlash, none}; !slices.Contains(all, h.html) {
		return nil, fmt.Errorf("assets.html_handling is %q; it must be one of %s", h.html, strings.Join(all, ", "))
	}
	if h.notFound == "" {
		h.notFound = none
	}
	if all := []string{none, notFoundPage, singlePageApplication}; !slices.Contains(all, h.notFound) {
		return nil, fmt.Errorf("assets.not_found_handling is %q; it must be one of %s", h.notFound, strings.Join(all, ", "))
	}
	if strings.Contains(a.BasePath, "://") {
		return nil, fmt.Errorf("assets.base_path is %q; it must be a path such as /docs/", a.BasePath)
	}
	if h.base = path.Clean("/" + a.BasePath); h.base != "/" {
		h.base += "/"
	}
	var err error
	if h.toWorker, h.toAssets, err = routingRules(a.RunWorkerFirstPaths); err != nil {
		return nil, err
	}
	h.redirects, h.warnings = parseRedirects(a.Redirects, h.html != none)
	var more []string
	h.headers, more = parseHeaders(a.Headers)
	h.warnings = append(h.warnings, more...)
	return h, nil
}

// Warnings are the lines of _headers and _redirects that are ignored, and why:
// "_headers:3: …". They are for whoever deploys the Worker.
func (h *Handler) Warnings() []string { return h.warnings }

// Serve answers a request, and asks next, the Worker, for those that are not
// for the assets. With next nil the assets answer everything.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p := pathname(r)
	if next != nil {
		switch {
		case matchAny(h.toAssets, p):
			next = nil
		case matchAny(h.toWorker, p), h.workerFirst && len(h.toWorker) == 0:
			next.ServeHTTP(w, r)
			return
		}
	}
	notFound := h.notFound
	if next != nil && len(h.toWorker) == 0 && !(h.navigation && r.Header.Get("Sec-Fetch-Mode") == "navigate") {
		notFound = none
	}
	a := h.resolve(r, p, notFound)
	if a.status == 0 && next != nil {
		next.ServeHTTP(w, r)
		return
	}
	h.write(w, r, p, a)
}

// Binding returns the handler behind env.ASSETS.fetch(): the assets alone,
// never the Worker.
func (h *Handler) Binding() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Serve(w, r, nil) })
}

// navigationPrefersAssets evaluates the compatibility flag.
func navigationPrefersAssets(v *config.Version) bool {
	switch {
	case slices.Contains(v.CompatibilityFlags, "assets_navigation_prefers_asset_serving"):
		return true
	case slices.Contains(v.CompatibilityFlags, "assets_navigation_has_no_effect"):
		return false
	}
	return v.CompatibilityDate >= "2025-04-01"
}

// routingRules compiles the patterns of run_worker_first.
func routingRules(rules []string) (toWorker, toAssets []pattern, err error) {
	if len(rules) > MaxRoutingRules {
		return nil, nil, fmt.Errorf("assets.run_worker_first has %d rules; the limit is %d", len(rules), MaxRoutingRules)
	}
	var wrong []error
	var seen []string
	for _, rule := range rules {
		glob, negative := strings.CutPrefix(rule, "!")
		switch {
		case !strings.HasPrefix(glob, "/"):
			wrong = append(wrong, fmt.Errorf("%q: rules must start with / or !/", rule))
			continue
		case len(rule) > MaxRoutingRuleLength:
			wrong = append(wrong, fmt.Errorf("%q: rules must be at most %d characters long", rule, MaxRoutingRuleLength))
		case slices.Contains(seen, rule):
			wrong = append(wrong, fmt.Errorf("%q: the rule is there twice", rule))
		}
		seen = append(seen, rule)
		if negative {
			toAssets = append(toAssets, globPattern(glob))
		} else {
			toWorker = append(toWorker, globPattern(glob))
		}
	}
	// A rule that another one already covers is refused: it hides a mistake.
	for _, rule := range seen {
		prefix, ok := strings.CutSuffix(rule, "*")
		for _, other := range seen {
			if ok && other != rule && strings.HasPrefix(other, prefix) {
				wrong = append(wrong, fmt.Errorf("%q: rule %q makes it redundant", other, rule))
			}
		}
	}
	if len(toAssets) > 0 && len(toWorker) == 0 && len(wrong) == 0 {
		wrong = append(wrong, errors.New("there are only negative rules; add at least one that is not"))
	}
	if len(wrong) > 0 {
		return nil, nil, fmt.Errorf("assets.run_worker_first: %w", errors.Join(wrong...))
	}
	return toWorker, toAssets, nil
}
