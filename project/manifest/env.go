package manifest

import (
	"slices"
	"strconv"
	"strings"
)

// settings is the top level as one environment sees it.
type settings struct {
	root *node
	env  *node // nil without an environment
	name string
}

// resolve checks the top level and the environment called name, and warns of
// what the environment does not get.
func resolve(r *report, root *node, name string) settings {
	s := settings{root: root, name: name}
	r.checkLevel(root, "")
	if name != "" {
		s.env = root.get("env").get(name)
		switch {
		case s.env == nil:
			r.warnf(root, "env."+name, "there is no such environment%s; using the top level", known(root.get("env")))
			s.name = ""
		case s.env.kind != isObject:
			r.mismatch(s.env, "env."+name, "an object")
			s.env, s.name = nil, ""
		default:
			r.checkLevel(s.env, "env."+name+".")
		}
	}
	for _, k := range keys {
		s.examine(r, k)
	}
	return s
}

// known lists the environments for a message.
func known(envs *node) string {
	if envs == nil || len(envs.fields) == 0 {
		return ""
	}
	var names []string
	for _, f := range envs.fields {
		names = append(names, strconv.Quote(f.key))
	}
	return " (there is " + strings.Join(names, ", ") + ")"
}

// get returns the value that counts for key, and its path; nil when there is
// none.
func (s settings) get(name string) (*node, string) {
	k := byName[name]
	if s.env == nil || k.scope == topOnly {
		return s.root.get(name), name
	}
	if own := s.env.get(name); own != nil {
		return own, "env." + s.name + "." + name
	}
	// One of the two keys for routes in an environment replaces both.
	if name == "route" && s.env.get("routes") != nil || name == "routes" && s.env.get("route") != nil {
		return nil, name
	}
	if k.scope == own {
		return nil, name
	}
	return s.root.get(name), name
}

// examine warns if key k asks for what does not run yet, or if the environment
// lacks it although it is not inherited.
func (s settings) examine(r *report, k key) {
	n, path := s.get(k.name)
	if n != nil && (k.fate == later || k.fate == throws) && !empty(n) {
		r.warnf(n, path, "%s", notYet(k))
	}
	top := s.root.get(k.name)
	if s.env == nil || k.scope != own || top == nil || empty(top) {
		return
	}
	own := s.env.get(k.name)
	if own == nil {
		r.warnf(top, k.name, "is at the top level but not in env.%s, and environments do not inherit it; add env.%s.%s", s.name, s.name, k.name)
		return
	}
	if (k.name == "vars" || k.name == "define") && top.kind == isObject {
		for _, f := range top.fields {
			if own.get(f.key) == nil {
				r.warnf(f.val, k.name+"."+f.key, "is at the top level but not in env.%s.%s, and environments do not inherit it", s.name, k.name)
			}
		}
	}
}

// empty: the value asks for nothing.
func empty(n *node) bool {
	switch n.kind {
	case isArray:
		return len(n.items) == 0
	case isObject:
		return !slices.ContainsFunc(n.fields, func(f field) bool { return !empty(f.val) })
	case isBool:
		return !n.truth
	}
	return n.kind == isNull
}
