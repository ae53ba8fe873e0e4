package manifest

// This file is the table of every key wrangler documents: its shape, whether a
// named environment inherits it, and what becomes of it here. The keys are
// those of the configuration schema of wrangler 4.164 and the older ones it
// still answers to.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/

// scope says where a key may stand and whether environments inherit it.
type scope uint8

const (
	inherited scope = iota // an environment without it has the top level's
	own                    // never inherited: each environment repeats it
	topOnly                // has no meaning in an environment
)

// fate says what becomes of a key.
type fate uint8

const (
	used     fate = iota // read here
	moot                 // concerns Cloudflare's own service or wrangler; nothing is lost without it
	later                // asks for something that does not run here yet: one warning
	throws               // declares bindings that do not run here yet: one warning, and they throw when used
	obsolete             // wrangler itself no longer heeds it
)

type key struct {
	name     string
	shape    shape
	required bool
	scope    scope
	fate     fate
}

func opt(name string, s shape) key { return key{name: name, shape: s} }
func req(name string, s shape) key { return key{name: name, shape: s, required: true} }
func unrun(name string, s shape) key {
	return key{name: name, shape: s, fate: later}
}

var (
	text    = shape{kind: isString, name: "a string"}
	decimal = shape{kind: isNumber, name: "a number"}
	whole   = shape{kind: isNumber, name: "a whole number", whole: true}
	boolean = shape{kind: isBool, name: "true or false"}
	texts   = list(text)
	remote  = key{name: "remote", shape: boolean, fate: later}
)

// bindings is a list of objects that each have a "binding" key.
func bindings(fields ...key) shape {
	return list(object(append([]key{req("binding", text)}, fields...)...))
}

// single is one object with a "binding" key.
func single(fields ...key) shape {
	return object(append([]key{req("binding", text)}, fields...)...)
}

var route = either("a string or an object with a pattern", text, object(
	req("pattern", text), opt("zone_name", text), opt("zone_id", text), opt("custom_domain", boolean),
	opt("enabled", boolean), opt("previews_enabled", boolean)))

var moduleType = enum("ESModule", "CommonJS", "CompiledWasm", "Text", "Data", "PythonModule", "PythonRequirement")

var workflow = object(
	req("binding", text), req("name", text), req("class_name", text), opt("script_name", text),
	opt("limits", object(opt("steps", whole))), opt("concurrency", object(opt("limit", whole))),
	opt("schedules", either("a string or a list of strings", text, texts)),
	opt("default_retention", anything), opt("jurisdiction", text), remote)

var migration = object(
	req("tag", text), opt("new_classes", texts), opt("new_sqlite_classes", texts),
	opt("renamed_classes", list(object(req("from", text), req("to", text)))),
	opt("transferred_classes", list(object(req("from", text), req("from_script", text), req("to", text)))),
	opt("deleted_classes", texts))

var telemetrySettings = []key{
	opt("enabled", boolean), opt("head_sampling_rate", decimal), opt("persist", boolean), opt("destinations", texts),
}

// keys is the top level. Within env.<name> the same keys stand, except those
// that are topOnly.
var keys = []key{
	{name: "$schema", shape: text, scope: topOnly, fate: moot},
	{name: "env", shape: mapOf(environment), scope: topOnly},

	// What the Worker is.
	{name: "name", shape: text},
	{name: "main", shape: text},
	{name: "account_id", shape: text, fate: moot},
	{name: "compatibility_date", shape: text},
	{name: "compatibility_flags", shape: texts},
	{name: "limits", shape: object(opt("cpu_ms", whole), opt("subrequests", whole), opt("cells", whole))},
	{name: "placement", shape: anyObject, fate: moot},
	{name: "compliance_region", shape: enum("public", "fedramp_high"), fate: moot},
	{name: "first_party_worker", shape: boolean, fate: moot},

	// How it is built.
	{name: "build", shape: object(opt("command", text), opt("cwd", text),
		opt("watch_dir", either("a string or a list of strings", text, texts)), unrun("upload", anyObject))},
	{name: "no_bundle", shape: boolean},
	{name: "find_additional_modules", shape: boolean},
	{name: "preserve_file_names", shape: boolean},
	{name: "base_dir", shape: text},
	{name: "rules", shape: list(object(req("type", moduleType), req("globs", texts), opt("fallthrough", boolean)))},
	{name: "define", shape: mapOf(text), scope: own},
	{name: "alias", shape: mapOf(text), scope: topOnly},
	{name: "minify", shape: boolean},
	{name: "keep_names", shape: boolean},
	{name: "tsconfig", shape: text},
	{name: "jsx_factory", shape: text},
	{name: "jsx_fragment", shape: text},
	{name: "upload_source_maps", shape: boolean},
	{name: "python_modules", shape: anyObject, fate: moot}, // a Python Worker is refused by its main
	{name: "dependencies_instrumentation", shape: anyObject, scope: topOnly, fate: moot},

	// How it is reached.
	{name: "route", shape: route},
	{name: "routes", shape: list(route)},
	{name: "workers_dev", shape: boolean},
	{name: "preview_urls", shape: boolean},
	{name: "triggers", shape: object(opt("crons", texts), unrun("events", anything))},
	{name: "connect", shape: list(anyObject), scope: own, fate: later},
	{name: "addresses", shape: texts, scope: topOnly, fate: later},
	{name: "access", shape: anyObject, fate: later},
	{name: "cache", shape: anyObject, fate: later},
	{name: "previews", shape: anyObject, fate: later},

	// Its static files.
	{name: "assets", shape: object(opt("directory", text), opt("binding", text),
		opt("html_handling", enum("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none")),
		opt("not_found_handling", enum("none", "404-page", "single-page-application")),
		unrun("base_path", text),
		opt("run_worker_first", either("true, false or a list of patterns", boolean, texts)))},
	{name: "site", shape: object(req("bucket", text), opt("include", texts), opt("exclude", texts), opt("entry-point", text)), scope: topOnly},
	{name: "pages_build_output_dir", shape: text, scope: topOnly, fate: later},

	// What it is watched by.
	{name: "observability", shape: object(append([]key{
		opt("redact_query_string", boolean), opt("issues", anyObject),
		opt("logs", object(append([]key{opt("invocation_logs", boolean)}, telemetrySettings...)...)),
		opt("traces", object(telemetrySettings...))}, telemetrySettings...)...)},
	{name: "tail_consumers", shape: list(object(req("service", text), opt("environment", text))), scope: own, fate: later},
	{name: "streaming_tail_consumers", shape: list(object(req("service", text))), scope: own, fate: later},
	{name: "logpush", shape: boolean, fate: later},
	{name: "logfwdr", shape: anyObject, fate: later},

	// What it is given.
	{name: "vars", shape: mapOf(anything), scope: own},
	{name: "keep_vars", shape: boolean, scope: topOnly, fate: moot},
	{name: "secrets", shape: object(opt("required", texts)), scope: own},
	{name: "kv_namespaces", shape: bindings(opt("id", text), opt("preview_id", text), remote), scope: own},
	{name: "d1_databases", shape: bindings(opt("database_name", text), opt("database_id", text), opt("jurisdiction", text),
		opt("preview_database_id", text), opt("migrations_table", text), opt("migrations_dir", text),
		opt("migrations_pattern", text), opt("database_internal_env", text), remote), scope: own},
	{name: "services", shape: bindings(req("service", text), opt("environment", text), opt("entrypoint", text),
		opt("props", anyObject), opt("cross_account_grant", text), remote), scope: own},
	{name: "durable_objects", shape: object(
		opt("bindings", list(object(req("name", text), req("class_name", text), opt("script_name", text), opt("environment", text)))),
		opt("code_update_strategy", anyObject)), scope: own},
	{name: "migrations", shape: list(migration)},
	{name: "exports", shape: mapOf(anyObject), fate: later},
	{name: "ratelimits", shape: list(object(req("name", text), req("namespace_id", text),
		req("simple", object(req("limit", whole), req("period", whole))))), scope: own},
	{name: "version_metadata", shape: single(), scope: own},
	{name: "r2_buckets", shape: bindings(opt("bucket_name", text), opt("preview_bucket_name", text), opt("jurisdiction", text),
		opt("local_dev", anyObject), remote), scope: own},
	{name: "queues", shape: object(
		opt("producers", bindings(opt("queue", text), opt("delivery_delay", decimal), remote)),
		opt("consumers", list(object(req("queue", text), opt("type", text), opt("max_batch_size", decimal),
			opt("max_batch_timeout", decimal), opt("max_retries", decimal), opt("dead_letter_queue", text),
			opt("max_concurrency", either("a number or null", decimal, shape{kind: isNull})), opt("visibility_timeout_ms", decimal), opt("retry_delay", decimal))))), scope: own},
	{name: "workflows", shape: list(workflow), scope: own},
	{name: "hyperdrive", shape: bindings(opt("id", text), opt("localConnectionString", text), remote), scope: own, fate: throws},
	{name: "vectorize", shape: bindings(req("index_name", text), remote), scope: own, fate: throws},
	{name: "analytics_engine_datasets", shape: bindings(opt("dataset", text), remote), scope: own},
	{name: "send_email", shape: list(object(req("name", text), opt("destination_address", text),
		opt("allowed_destination_addresses", texts), opt("allowed_sender_addresses", texts), remote)), scope: own},
	{name: "mtls_certificates", shape: bindings(req("certificate_id", text), remote), scope: own, fate: throws},
	{name: "dispatch_namespaces", shape: bindings(opt("namespace", text), opt("outbound", object(
		req("service", text), opt("environment", text), opt("parameters", texts))), remote), scope: own, fate: throws},
	{name: "pipelines", shape: bindings(opt("stream", text), opt("pipeline", text), remote), scope: own, fate: throws},
	{name: "secrets_store_secrets", shape: bindings(req("store_id", text), req("secret_name", text)), scope: own, fate: throws},
	{name: "worker_loaders", shape: bindings(), scope: own, fate: throws},
	{name: "ai", shape: single(opt("staging", boolean), remote), scope: own, fate: throws},
	{name: "browser", shape: single(remote), scope: own, fate: throws},
	{name: "images", shape: single(remote), scope: own, fate: throws},
	{name: "media", shape: single(remote), scope: own, fate: throws},
	{name: "stream", shape: single(remote), scope: own, fate: throws},
	{name: "analytics", shape: single(remote), scope: own, fate: throws},
	{name: "vpc_services", shape: bindings(req("service_id", text), remote), scope: own, fate: throws},
	{name: "vpc_networks", shape: bindings(opt("tunnel_id", text), opt("network_id", text), remote), scope: own, fate: throws},
	{name: "ai_search", shape: bindings(req("instance_name", text), remote), scope: own, fate: throws},
	{name: "ai_search_namespaces", shape: bindings(req("namespace", text), remote), scope: own, fate: throws},
	{name: "agent_memory", shape: bindings(req("namespace", text), remote), scope: own, fate: throws},
	{name: "artifacts", shape: bindings(req("namespace", text), remote), scope: own, fate: throws},
	{name: "flagship", shape: bindings(opt("app_id", text), remote), scope: own, fate: throws},
	{name: "k2", shape: bindings(req("stream", text), remote), scope: own, fate: throws},
	{name: "unsafe_hello_world", shape: bindings(opt("enable_timer", boolean)), scope: own, fate: throws},
	{name: "unsafe", shape: object(opt("bindings", list(anyObject)), unrun("metadata", anyObject), unrun("capnp", anyObject)), scope: own},
	{name: "wasm_modules", shape: mapOf(text), scope: topOnly},
	{name: "text_blobs", shape: mapOf(text), scope: topOnly},
	{name: "data_blobs", shape: mapOf(text), scope: topOnly},
	{name: "containers", shape: list(anyObject), scope: own, fate: later},
	{name: "cloudchamber", shape: anyObject, scope: own, fate: later},

	// How it is developed.
	{name: "dev", shape: object(opt("ip", text), opt("port", whole), opt("inspector_port", whole), opt("inspector_ip", text),
		opt("local_protocol", enum("http", "https")), opt("upstream_protocol", enum("http", "https")), opt("host", text),
		opt("enable_containers", boolean), opt("container_engine", anything), opt("generate_types", boolean)), scope: topOnly},
	{name: "send_metrics", shape: boolean, scope: topOnly, fate: moot},

	// What wrangler and build tools note down in generated configurations.
	{name: "configPath", shape: anything, scope: topOnly, fate: moot},
	{name: "userConfigPath", shape: anything, scope: topOnly, fate: moot},
	{name: "topLevelName", shape: anything, scope: topOnly, fate: moot},
	{name: "definedEnvironments", shape: anything, scope: topOnly, fate: moot},
	{name: "targetEnvironment", shape: anything, scope: topOnly, fate: moot},
	{name: "legacy_env", shape: anything, scope: topOnly, fate: moot}, // true is how environments are; false was given up

	// What wrangler used to know.
	{name: "type", shape: anything, fate: obsolete},
	{name: "usage_model", shape: anything, fate: obsolete},
	{name: "node_compat", shape: anything, fate: obsolete},
	{name: "zone_id", shape: anything, fate: obsolete},
	{name: "webpack_config", shape: anything, fate: obsolete},
	{name: "miniflare", shape: anything, scope: topOnly, fate: obsolete},
	{name: "legacy_assets", shape: anything, scope: topOnly, fate: obsolete},
	{name: "experimental_services", shape: anything, fate: obsolete},
	{name: "kv-namespaces", shape: anything, fate: obsolete},
}

// byName indexes keys.
var byName = func() map[string]key {
	m := make(map[string]key, len(keys))
	for _, k := range keys {
		m[k.name] = k
	}
	return m
}()
