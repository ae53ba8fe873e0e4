// Package nodecompat knows what wrangler puts in place of Node.js when it
// bundles a Worker: which of Node's modules and globals the runtime has at a
// compatibility date, and for which ones the packages unenv and
// @cloudflare/unenv-preset stand in.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/nodejs/
package nodecompat

import (
	"errors"
	"slices"
	"strings"
)

// Mode is how far a Worker gets Node.js.
type Mode int

const (
	// Off: nothing of it.
	Off Mode = iota
	// ALS: node:async_hooks only, by the flag nodejs_als.
	ALS
	// V1: modules of the runtime under node: names only, as nodejs_compat meant
	// before 2024-09-23.
	V1
	// V2: all modules under both names, and the globals.
	V2
)

const (
	// defaultDate is from when on a Worker has nodejs_compat without asking.
	defaultDate = "2026-08-04"
	// v2Date is from when on nodejs_compat means V2.
	v2Date = "2024-09-23"
	// nativeDate is from when on the runtime has every module and global
	// itself, unless a flag takes one away. Only npm packages are replaced then.
	nativeDate = "2026-03-17"
)

// ModeOf returns the mode for a compatibility date, YYYY-MM-DD, and flags. The
// error names flags that exclude each other.
func ModeOf(date string, flags []string) (Mode, error) {
	has := func(flag string) bool { return slices.Contains(flags, flag) }
	switch {
	case has("experimental:nodejs_compat_v2"):
		return Off, errors.New(`compatibility_flags: "experimental:nodejs_compat_v2" is no longer valid: write "nodejs_compat_v2"`)
	case has("nodejs_compat") && has("nodejs_compat_v2"):
		return Off, errors.New(`compatibility_flags: "nodejs_compat" and "nodejs_compat_v2" exclude each other: keep one`)
	}
	byDate := date >= defaultDate
	compat := has("nodejs_compat") || byDate && !has("no_nodejs_compat")
	switch {
	case has("nodejs_compat_v2"), !has("no_nodejs_compat_v2") && (byDate || compat && date >= v2Date):
		return V2, nil
	case compat:
		return V1, nil
	case has("nodejs_als"):
		return ALS, nil
	}
	return Off, nil
}

// Native reports that in mode V2 the runtime has all of Node's modules and
// globals itself, so that an Env is only needed for npm packages.
func Native(date string, flags []string) bool {
	return date >= nativeDate && !slices.ContainsFunc(flags, func(f string) bool {
		return strings.HasPrefix(f, "disable_") || strings.HasPrefix(f, "no_")
	})
}

// modules are Node's built-in modules by their bare names.
//
// Source: https://nodejs.org/api/modules.html#built-in-modules
var modules = strings.Fields(`
	_http_agent _http_client _http_common _http_incoming _http_outgoing _http_server
	_stream_duplex _stream_passthrough _stream_readable _stream_transform _stream_wrap _stream_writable
	_tls_common _tls_wrap
	assert assert/strict async_hooks buffer child_process cluster console constants crypto dgram
	diagnostics_channel dns dns/promises domain events fs fs/promises http http2 https inspector
	inspector/promises module net os path path/posix path/win32 perf_hooks process punycode
	querystring readline readline/promises repl stream stream/consumers stream/promises stream/web
	string_decoder sys timers timers/promises tls trace_events tty url util util/types v8 vm wasi
	worker_threads zlib`)

// prefixed are modules that have no bare name.
var prefixed = []string{"node:sqlite"}

// Builtin returns the full name of one of Node's modules: "node:fs" for "fs".
// Every name with the prefix node: is taken for one.
func Builtin(specifier string) (string, bool) {
	if strings.HasPrefix(specifier, "node:") {
		return specifier, true
	}
	if slices.Contains(modules, specifier) {
		return "node:" + specifier, true
	}
	return "", false
}

// Known reports whether Node.js has the module, by its full name, and Workers
// may import it.
func Known(name string) bool {
	return slices.Contains(prefixed, name) || slices.Contains(modules, strings.TrimPrefix(name, "node:"))
}
