package assets

import (
	"strings"

	"github.com/selvage-edge/selvage/config"
)

// step is one attempt to answer a path with a file: serve it there, or, when
// to is not empty, redirect to the path where it is served.
type step struct{ file, to string }

// steps lists, in order, how html_handling answers a path. What "/a", "/a/",
// "/a.html", "/a/index" and "/a/index.html" lead to is the whole difference
// between the modes.
//
// Source: https://developers.cloudflare.com/workers/static-assets/routing/advanced/html-handling/
func steps(mode, p string) []step {
	exact := step{file: p}
	if mode == none {
		return []step{exact}
	}
	var list []step
	if dir, ok := strings.CutSuffix(p, "/index"); ok {
		list = append(list, exact)
		switch {
		case mode == autoTrailingSlash:
			list = append(list, step{p + ".html", dir + "/"}, step{dir + ".html", dir})
		case mode == forceTrailingSlash:
			list = append(list, step{p + ".html", dir + "/"}, step{dir + ".html", dir + "/"})
		case dir == "":
			list = append(list, step{"/index.html", "/"})
		default:
			list = append(list, step{dir + ".html", dir}, step{p + ".html", dir})
		}
	} else if dir, ok := strings.CutSuffix(p, "/index.html"); ok {
		switch {
		case mode == autoTrailingSlash:
			list = append(list, step{p, dir + "/"}, step{dir + ".html", dir})
		case mode == forceTrailingSlash:
			list = append(list, step{p, dir + "/"}, step{dir + ".html", dir + "/"})
		case dir == "":
			list = append(list, step{p, "/"})
		default:
			list = append(list, step{p, dir}, exact, step{dir + ".html", dir})
		}
	} else if dir, ok := strings.CutSuffix(p, "/"); ok {
		switch {
		case mode == autoTrailingSlash:
			list = append(list, step{file: p + "index.html"}, step{dir + ".html", dir})
		case mode == forceTrailingSlash:
			list = append(list, step{file: p + "index.html"}, step{file: dir + ".html"})
		case dir == "":
			list = append(list, step{file: "/index.html"})
		default:
			list = append(list, step{dir + ".html", dir}, step{dir + "/index.html", dir})
		}
	} else if stem, ok := strings.CutSuffix(p, ".html"); ok {
		switch mode {
		case autoTrailingSlash:
			list = append(list, step{p, stem}, step{stem + "/index.html", stem + "/"})
		case forceTrailingSlash:
			list = append(list, step{p, stem + "/"}, exact, step{stem + "/index.html", stem + "/"})
		default:
			list = append(list, step{p, stem}, step{stem + "/index.html", stem})
		}
	}
	switch mode {
	case autoTrailingSlash:
		return append(list, exact, step{file: p + ".html"}, step{p + "/index.html", p + "/"})
	case forceTrailingSlash:
		return append(list, exact, step{p + ".html", p + "/"}, step{p + "/index.html", p + "/"})
	}
	return append(list, exact, step{file: p + ".html"}, step{file: p + "/index.html"})
}

// match finds the file for a path, or the path to redirect to.
func (h *Handler) match(p string) (file config.AssetFile, to string, ok bool) {
	for _, s := range steps(h.html, p) {
		f, ok := h.files.Lookup(s.file)
		if !ok {
			continue
		}
		if s.to == "" {
			return f, "", true
		}
		if h.servedAt(s.to, f) {
			return f, s.to, true
		}
	}
	return config.AssetFile{}, "", false
}

// servedAt reports whether path p serves the file f by itself. It keeps a
// redirect from leading to another file, or round in a circle.
func (h *Handler) servedAt(p string, f config.AssetFile) bool {
	if _, taken := h.files.Lookup(p); taken {
		return false
	}
	for _, s := range steps(h.html, p) {
		if s.to != "" {
			continue
		}
		found, ok := h.files.Lookup(s.file)
		if !ok {
			continue
		}
		return found.ETag == f.ETag
	}
	return false
}

// fallback is what not_found_handling serves for a path without a file.
func (h *Handler) fallback(p, notFound string) (file config.AssetFile, ok bool) {
	switch notFound {
	case singlePageApplication:
		return h.files.Lookup("/index.html")
	case notFoundPage:
		for p != "" {
			p = p[:strings.LastIndexByte(p, '/')]
			if file, ok = h.files.Lookup(p + "/404.html"); ok {
				return file, true
			}
		}
	}
	return config.AssetFile{}, false
}
