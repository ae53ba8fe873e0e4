package workerd

// Config is the part of workerd's configuration that Selvage writes.
// It mirrors src/workerd/server/workerd.capnp; names are the same.
type Config struct {
	Services []Service
	Sockets  []Socket
	// Extensions are modules that only platform code may import.
	Extensions []ExtensionModule
	V8Flags    []string
}

// Service is a named service of a process. Exactly one of the pointers is set.
type Service struct {
	Name     string
	Worker   *Worker
	External *External
	Disk     *Disk
}

// Worker is a JavaScript (or Wasm, or Python) program.
type Worker struct {
	// Modules, main module first. Empty when Script is set.
	Modules []Module
	// Script is the text of a service-worker-syntax Worker.
	Script             string
	CompatibilityDate  string
	CompatibilityFlags []string
	Bindings           []Binding
	// GlobalOutbound is the service that receives fetch(); empty means none
	// is named and workerd's own "internet" applies, so always set it.
	GlobalOutbound string
	// CacheAPI is the service behind caches.default; empty: the Cache API throws.
	CacheAPI string
	// Tails are services that receive tail events.
	Tails []string
	// Classes are the Durable Object classes of the Worker.
	Classes []DurableClass
	// Storage is the disk service that holds the objects; empty: they are in memory
	// and end with the process.
	Storage string
}

// ModuleKind is the field of workerd's Module union.
type ModuleKind string

// The kinds of module.
const (
	ESModule     ModuleKind = "esModule"
	CommonJS     ModuleKind = "commonJsModule"
	Text         ModuleKind = "text"
	Data         ModuleKind = "data"
	Wasm         ModuleKind = "wasm"
	JSON         ModuleKind = "json"
	PythonModule ModuleKind = "pythonModule"
)

// Module is one module of a Worker.
type Module struct {
	Name string
	Kind ModuleKind
	Data []byte
}

// DurableClass is a Durable Object namespace of a Worker.
type DurableClass struct {
	ClassName string
	// UniqueKey derives the objects' ids and names their folder on the disk.
	UniqueKey string
	// SQL exposes ctx.storage.sql.
	SQL bool
}

// External is a service in another process.
type External struct {
	// Address is "unix:/path" or "host:port".
	Address string
	HTTP    HTTPOptions
}

// Disk is a directory.
type Disk struct {
	Path     string
	Writable bool
}

// Socket is a listening socket; the descriptor is handed over at start by the
// same name.
type Socket struct {
	Name    string
	HTTP    HTTPOptions
	Service ServiceDesignator
}

// HTTPOptions are the HTTP settings of a socket or an external service.
type HTTPOptions struct {
	// ForwardedProto names the header that carries the URL's scheme.
	ForwardedProto string
	// CfBlob names the header that carries request.cf as JSON.
	CfBlob string
	// InjectRequestHeaders replace headers of the same name.
	InjectRequestHeaders []Header
	// CapnpConnectHost turns on RPC between processes.
	CapnpConnectHost string
}

// Header is a name and a value.
type Header struct{ Name, Value string }

// ServiceDesignator names a service and, for Workers of the same process, an
// entrypoint and props.
type ServiceDesignator struct {
	Name       string
	Entrypoint string
	// Props is JSON; empty for none.
	Props string
}

// ExtensionModule is a module that bindings may use. Only internal modules are
// hidden from user code.
type ExtensionModule struct {
	// Name must look like a URL: "selvage:ratelimit".
	Name string
	// Internal modules cannot be imported by the user's code.
	Internal bool
	Source   string
}

// Binding is one property of a Worker's env.
type Binding struct {
	Name  string
	Value Value
}

// Value is the right-hand side of a binding in workerd's configuration.
type Value interface{ encode(*encoder) }

// The values that Selvage uses.
type (
	// TextValue is a string.
	TextValue string
	// JSONValue is parsed JSON.
	JSONValue string
	// DataValue is an ArrayBuffer.
	DataValue []byte
	// WasmValue is a WebAssembly.Module.
	WasmValue []byte
	// ServiceValue is a Fetcher.
	ServiceValue ServiceDesignator
	// KVValue is a KvNamespace over the named service.
	KVValue string
	// R2Value is an R2Bucket over the named service.
	R2Value string
	// QueueValue is a Queue producer over the named service.
	QueueValue string
	// AnalyticsValue is an AnalyticsEngineDataset over the named service.
	AnalyticsValue string
	// DurableValue is a DurableObjectNamespace of a class in the named service
	// (empty: the same Worker).
	DurableValue struct{ ClassName, Service string }
	// WrappedValue is the object that an extension module's default export
	// returns for the inner env.
	WrappedValue struct {
		Module string
		// Entrypoint is the module's export; empty for the default one.
		Entrypoint string
		Inner      []Binding
	}
)
