using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  logging = (structuredLogging = true, stdoutPrefix = "", stderrPrefix = ""),
  services = [
    (name = "user", worker = (modules = [
      (name = "index.js", esModule = "import \"./c.cjs\";\nexport class C {}; export default {}"),
      (name = "c.cjs", commonJsModule = "module.exports = 1;"),
      (name = "t.txt", text = "tab\x09quote\"back\\slash\x00"),
      (name = "d.bin", data = 0x"0001feff"),
      (name = "w.wasm", wasm = 0x"0061736d01000000"),
      (name = "j.json", json = "{\"a\":[1]}"),],
      compatibilityDate = "2026-01-01", compatibilityFlags = ["nodejs_compat"],
      bindings = [
        (name = "TEXT", text = "ü€😀"),
        (name = "JSON", json = "{\"b\":null}"),
        (name = "DATA", data = 0x"010203"),
        (name = "WASM", wasmModule = 0x"0061736d01000000"),
        (name = "KV", kvNamespace = "b0"),
        (name = "R2", r2Bucket = "b0"),
        (name = "QUEUE", queue = "b0"),
        (name = "STATS", analyticsEngine = "b0"),
        (name = "SELF", service = "user"),
        (name = "SHIM", service = (name = "shim", entrypoint = "E", props = (json = "{\"p\":\"\\\"q\\\"\"}"))),
        (name = "DO", durableObjectNamespace = (className = "C")),
        (name = "WRAPPED", wrapped = (moduleName = "selvage:w", entrypoint = "make", innerBindings = [
        (name = "f", service = "b0"),])),],
      globalOutbound = "egress",
      cacheApiOutbound = "b0",
      tails = ["shim"],
      durableObjectNamespaces = [(className = "C", uniqueKey = "k-C", enableSql = true), ],
      durableObjectStorage = (localDisk = "disk"))),
    (name = "shim", worker = (serviceWorkerScript = "addEventListener('fetch', () => {})",
      compatibilityDate = "2026-01-01", compatibilityFlags = [])),
    (name = "far", worker = (modules = [
      (name = "index.js", esModule = "export class C {}"),],
      compatibilityDate = "2026-01-01", compatibilityFlags = [],
      durableObjectNamespaces = [(className = "C", uniqueKey = "k-D", enableSql = false), ],
      durableObjectStorage = (inMemory = void))),
    (name = "b0", external = (address = "unix:/run/b.sock", http = (forwardedProtoHeader = "X-Proto", cfBlobHeader = "X-Cf", capnpConnectHost = "x", injectRequestHeaders = [(name = "Selvage-Capability", value = "token"), ]))),
    (name = "egress", external = (address = "unix:/run/b.sock", http = ())),
    (name = "disk", disk = (path = "/tmp", writable = true)),
  ],
  sockets = [
    (name = "main", http = (forwardedProtoHeader = "X-Proto", cfBlobHeader = "X-Cf"), service = "user"),
    (name = "rpc", http = (capnpConnectHost = "x"), service = (name = "user", entrypoint = "C", props = (json = "1"))),
  ],
  v8Flags = ["--max-old-space-size=128"],
  extensions = [ (modules = [
    (name = "selvage:w", internal = true, esModule = "export function make(env) { return env.f }"),
  ]) ],
);
