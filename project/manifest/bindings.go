package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/config"
)

// translation says how the entries of one key become bindings of the upload API.
type translation struct {
	// key in the manifest: a list of objects or one object. "queues.producers"
	// is the list producers of the object queues.
	key string
	// typ is the binding's type.
	typ string
	// noun names the kind in messages.
	noun string
	// fields maps the upload's fields to the manifest's. The first that is
	// given counts; a last one of "=" stands for the binding's own name.
	fields []fieldFrom
}

type fieldFrom struct {
	to   string
	from []string
}

// as copies a field, under another name where from are given.
func as(to string, from ...string) fieldFrom {
	if len(from) == 0 {
		from = []string{to}
	}
	return fieldFrom{to, from}
}

// ownName, last in a field's sources, makes a resource that is not named yet
// go by the name of its binding, as it does when developed locally.
const ownName = "="

// translations are in the order in which wrangler lists bindings.
var translations = []translation{
	{"kv_namespaces", "kv_namespace", "KV namespace", []fieldFrom{as("namespace_id", "preview_id", "id", ownName)}},
	{"send_email", "send_email", "send email", []fieldFrom{as("destination_address"), as("allowed_destination_addresses"), as("allowed_sender_addresses")}},
	{"durable_objects.bindings", "durable_object_namespace", "Durable Object", []fieldFrom{as("class_name"), as("script_name"), as("environment")}},
	{"workflows", "workflow", "workflow", []fieldFrom{as("workflow_name", "name"), as("class_name"), as("script_name")}},
	{"queues.producers", "queue", "queue", []fieldFrom{as("queue_name", "queue", ownName), as("delivery_delay")}},
	{"r2_buckets", "r2_bucket", "R2 bucket", []fieldFrom{as("bucket_name", "preview_bucket_name", "bucket_name", ownName), as("jurisdiction")}},
	{"d1_databases", "d1", "D1 database", []fieldFrom{as("id", "preview_database_id", "database_id", ownName), as("database_name"), as("internalEnv", "database_internal_env")}},
	{"secrets_store_secrets", "secrets_store_secret", "secrets store secret", []fieldFrom{as("store_id"), as("secret_name")}},
	{"artifacts", "artifacts", "artifacts", []fieldFrom{as("namespace")}},
	{"services", "service", "service", []fieldFrom{as("service"), as("environment"), as("entrypoint"), as("props"), as("cross_account_grant")}},
	{"analytics_engine_datasets", "analytics_engine", "Analytics Engine dataset", []fieldFrom{as("dataset", "dataset", ownName)}},
	{"vectorize", "vectorize", "Vectorize index", []fieldFrom{as("index_name")}},
	{"hyperdrive", "hyperdrive", "Hyperdrive", []fieldFrom{as("id", "id", ownName), as("local_connection_string", "localConnectionString")}},
	{"mtls_certificates", "mtls_certificate", "mTLS certificate", []fieldFrom{as("certificate_id")}},
	{"pipelines", "pipelines", "pipeline", []fieldFrom{as("stream"), as("pipeline")}},
	{"dispatch_namespaces", "dispatch_namespace", "dispatch namespace", []fieldFrom{as("namespace", "namespace", ownName)}},
	{"ratelimits", "ratelimit", "rate limit", []fieldFrom{as("namespace_id"), as("simple")}},
	{"worker_loaders", "worker_loader", "worker loader", nil},
	{"vpc_services", "vpc_service", "VPC service", []fieldFrom{as("service_id")}},
	{"vpc_networks", "vpc_network", "VPC network", []fieldFrom{as("tunnel_id"), as("network_id")}},
	{"ai_search", "ai_search", "AI Search", []fieldFrom{as("instance_name")}},
	{"ai_search_namespaces", "ai_search_namespace", "AI Search namespace", []fieldFrom{as("namespace")}},
	{"agent_memory", "agent_memory", "agent memory", []fieldFrom{as("namespace")}},
	{"flagship", "flagship", "Flagship", []fieldFrom{as("app_id")}},
	{"k2", "k2", "K2", []fieldFrom{as("stream")}},
	{"unsafe_hello_world", "unsafe_hello_world", "hello world", []fieldFrom{as("enable_timer")}},
	{"browser", "browser", "browser", nil},
	{"ai", "ai", "AI", []fieldFrom{as("staging")}},
	{"images", "images", "images", nil},
	{"media", "media", "media", nil},
	{"stream", "stream", "stream", nil},
	{"analytics", "analytics", "analytics", nil},
	{"version_metadata", "version_metadata", "version metadata", nil},
}

// binder collects bindings and keeps their names unique.
type binder struct {
	*loader
	nouns map[string]string // by name
}

func (l *loader) loadBindings() {
	b := &binder{loader: l, nouns: map[string]string{}}
	for _, t := range translations {
		b.translate(t)
	}
	b.addUnsafe()
	if a := l.m.Assets; a != nil && a.Binding != "" {
		n, path := l.get("assets")
		b.add(n, path+".binding", a.Binding, "assets", "assets", nil)
	}
	if n, path := l.get("site"); l.m.Site != nil {
		b.add(n, path, SiteFiles, "kv_namespace", "Workers Site", map[string]string{"namespace_id": "__" + l.m.Name + "-workers_sites_assets"})
	}
	b.addParts("wasm_modules", "wasm_module", config.WasmModule)
	b.addParts("text_blobs", "text_blob", config.TextModule)
	b.addParts("data_blobs", "data_blob", config.DataModule)
	b.addVars()
	l.loadDatabases()
}

// add makes a binding of the settings and keeps it, unless the name is taken.
func (b *binder) add(n *node, path, name, typ, noun string, settings any) {
	if name == "" {
		b.mismatch(n, path, "a name for the binding")
		return
	}
	if other, taken := b.nouns[name]; taken {
		b.errorf(n, path, "the name %q is given to two bindings, %s and %s; each needs its own", name, other, noun)
		return
	}
	b.nouns[name] = noun
	made, err := config.NewBinding(name, typ, settings)
	if err != nil {
		b.errorf(n, path, "%v", err)
		return
	}
	b.m.Bindings = append(b.m.Bindings, made)
}

func (b *binder) translate(t translation) {
	n, path := b.nested(t.key)
	if n == nil {
		return
	}
	if n.kind == isObject {
		b.translateOne(t, n, path)
		return
	}
	for i, item := range n.items {
		b.translateOne(t, item, fmt.Sprintf("%s[%d]", path, i))
	}
}

// nested is get for a key, or a member of the object at a key.
func (b *binder) nested(key string) (*node, string) {
	switch key {
	case "durable_objects.bindings":
		n, path := b.get("durable_objects")
		return n.get("bindings"), path + ".bindings"
	case "queues.producers":
		n, path := b.get("queues")
		return n.get("producers"), path + ".producers"
	}
	return b.get(key)
}

func (b *binder) translateOne(t translation, n *node, path string) {
	nameKey := "binding"
	if n.get(nameKey) == nil {
		nameKey = "name"
	}
	name := n.get(nameKey).str()
	settings := map[string]any{}
	for _, f := range t.fields {
		for _, from := range f.from {
			if b.opts.Deployed && (from == ownName || strings.HasPrefix(from, "preview_")) {
				continue
			}
			if from == ownName {
				settings[f.to] = name
				break
			}
			if v := n.get(from); v != nil && !(v.kind == isString && v.text == "") {
				settings[f.to] = v
				break
			}
		}
	}
	if t.typ == "ratelimit" && !b.validRateLimit(n, path) {
		return
	}
	if e := n.get("environment"); t.typ == "service" && e.str() != "" && e.str() != "production" {
		b.warnf(e, path+".environment", "service environments are not supported; the calls go to the Worker %q itself", n.get("service").str())
	}
	if out := n.get("outbound"); t.typ == "dispatch_namespace" && out != nil {
		settings["outbound"] = outbound(out)
	}
	b.add(n, path+"."+nameKey, name, t.typ, t.noun, settings)
}

// validRateLimit checks what workerd insists on.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/
func (b *binder) validRateLimit(n *node, path string) bool {
	simple := n.get("simple")
	limit, period := simple.get("limit"), simple.get("period")
	switch {
	case period == nil || period.text != "10" && period.text != "60":
		if period == nil {
			period = n
		}
		b.mismatch(period, path+".simple.period", "10 or 60 (seconds)")
	case limit == nil || len(limit.text) > 0 && limit.text[0] == '-' || limit.text == "0":
		if limit == nil {
			limit = n
		}
		b.mismatch(limit, path+".simple.limit", "a whole number above 0")
	default:
		return true
	}
	return false
}

func outbound(n *node) map[string]any {
	worker := map[string]any{"service": n.get("service")}
	if e := n.get("environment"); e != nil {
		worker["environment"] = e
	}
	out := map[string]any{"worker": worker}
	if list := n.get("parameters"); list != nil {
		params := []map[string]any{}
		for _, p := range list.items {
			params = append(params, map[string]any{"name": p})
		}
		out["params"] = params
	}
	return out
}

// addUnsafe passes unsafe.bindings on as they are. Rate limits were written so
// before they had a key of their own.
func (b *binder) addUnsafe() {
	n, path := b.get("unsafe")
	n = n.get("bindings")
	if n == nil {
		return
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s.bindings[%d]", path, i)
		typ, name := item.get("type").str(), item.get("name").str()
		if typ == "" || name == "" {
			b.mismatch(item, at, "an object with name and type")
			continue
		}
		settings := map[string]any{}
		for _, f := range item.fields {
			if f.key != "dev" {
				settings[f.key] = f.val
			}
		}
		if typ != "ratelimit" {
			b.warnf(item, at, "unsafe bindings of type %q are passed on as they are and may not be supported", typ)
		} else if !b.validRateLimit(item, at) {
			continue
		}
		b.add(item, at+".name", name, typ, "unsafe "+typ, settings)
	}
}

// addParts reads the files behind blobs and modules that are bound by name.
func (b *binder) addParts(key, typ string, module config.ModuleType) {
	n, path := b.get(key)
	if n == nil {
		return
	}
	for _, f := range n.fields {
		file := b.path(f.val.str())
		data, err := os.ReadFile(file)
		if err != nil {
			b.errorf(f.val, path+"."+f.key, "the file cannot be read: %v", err)
			continue
		}
		// The binding's name keeps parts apart from the Worker's own modules.
		part := key + "/" + f.key + filepath.Ext(file)
		b.m.Parts = append(b.m.Parts, config.Module{Name: part, Type: module, Data: data})
		b.m.Inputs = append(b.m.Inputs, file)
		b.add(f.val, path+"."+f.key, f.key, typ, key, map[string]string{"part": part})
	}
}

// addVars adds vars and secrets. A secret replaces the variable of its name,
// and a variable from the command line replaces both.
func (b *binder) addVars() {
	secrets := b.loadSecrets()
	replaced := map[string]bool{}
	for name := range b.opts.Vars {
		replaced[name] = true
	}
	vars, path := b.get("vars")
	if vars != nil {
		for _, f := range vars.fields {
			at := path + "." + f.key
			switch _, secret := secrets.values[f.key]; {
			case replaced[f.key] || secret:
			case f.val.kind == isString:
				b.add(f.val, at, f.key, "plain_text", "variable", map[string]string{"text": f.val.text})
			default:
				value, _ := f.val.MarshalJSON()
				b.add(f.val, at, f.key, "json", "variable", map[string]json.RawMessage{"json": value})
			}
		}
	}
	for _, name := range sortedKeys(b.opts.Vars) {
		b.add(b.root, "--var "+name, name, "plain_text", "variable", map[string]string{"text": b.opts.Vars[name]})
	}
	for _, name := range sortedKeys(secrets.values) {
		if replaced[name] {
			continue
		}
		if other, taken := b.nouns[name]; taken {
			b.problems = append(b.problems, Problem{File: secrets.file, Key: name,
				Message: fmt.Sprintf("the name is given to two bindings, %s and secret; each needs its own", other)})
			continue
		}
		b.m.Secrets = append(b.m.Secrets, name)
		b.add(b.root, name, name, "secret_text", "secret", map[string]string{"text": secrets.values[name]})
	}
}

func (l *loader) loadDatabases() {
	n, _ := l.get("d1_databases")
	if n == nil {
		return
	}
	for _, item := range n.items {
		d := Database{Binding: item.get("binding").str()}
		first := func(otherwise string, keys ...string) string {
			for _, k := range keys {
				if s := item.get(k).str(); s != "" {
					return s
				}
			}
			return otherwise
		}
		d.Name = first(d.Binding, "database_name")
		d.ID = first(d.Binding, "preview_database_id", "database_id")
		d.MigrationsDir = l.path(first("migrations", "migrations_dir"))
		d.MigrationsTable = first("d1_migrations", "migrations_table")
		d.MigrationsPattern = item.get("migrations_pattern").str()
		l.m.Databases = append(l.m.Databases, d)
	}
}
