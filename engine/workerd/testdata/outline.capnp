using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  logging = (structuredLogging = true, stdoutPrefix = "", stderrPrefix = ""),
  services = [
    (name = "user", worker = (modules = [
      (name = "index.js", esModule = "(54 bytes left out)"),
      (name = "c.cjs", commonJsModule = "(19 bytes left out)"),
      (name = "t.txt", text = "(21 bytes left out)"),
      (name = "d.bin", data = "(left out)"),
      (name = "w.wasm", wasm = "(left out)"),
      (name = "j.json", json = "(9 bytes left out)"),],
      compatibilityDate = "2026-01-01", compatibilityFlags = ["nodejs_compat"],
      bindings = [
        (name = "TEXT", text = "(left out)"),
        (name = "JSON", json = "(left out)"),
        (name = "DATA", data = "(left out)"),
        (name = "WASM", wasmModule = "(left out)"),
        (name = "KV", kvNamespace = "b0"),
        (name = "R2", r2Bucket = "b0"),
        (name = "QUEUE", queue = "b0"),
        (name = "STATS", analyticsEngine = "b0"),
        (name = "SELF", service = "user"),
        (name = "SHIM", service = (name = "shim", entrypoint = "E", props = (json = "(left out)"))),
        (name = "DO", durableObjectNamespace = (className = "C")),
        (name = "WRAPPED", wrapped = (moduleName = "selvage:w", entrypoint = "make", innerBindings = [
        (name = "f", service = "b0"),])),],
      globalOutbound = "egress",
      cacheApiOutbound = "b0",
      tails = ["shim"],
      durableObjectNamespaces = [(className = "C", uniqueKey = "k-C", enableSql = true), ],
      durableObjectStorage = (localDisk = "disk"))),
    (name = "shim", worker = (serviceWorkerScript = "(35 bytes left out)",
      compatibilityDate = "2026-01-01", compatibilityFlags = [])),
    (name = "far", worker = (modules = [
      (name = "index.js", esModule = "(17 bytes left out)"),],
      compatibilityDate = "2026-01-01", compatibilityFlags = [],
      durableObjectNamespaces = [(className = "C", uniqueKey = "k-D", enableSql = false), ],
      durableObjectStorage = (inMemory = void))),
    (name = "b0", external = (address = "unix:/run/b.sock", http = (forwardedProtoHeader = "X-Proto", cfBlobHeader = "X-Cf", capnpConnectHost = "x", injectRequestHeaders = [(name = "Selvage-Capability", value = "(left out)"), ]))),
    (name = "egress", external = (address = "unix:/run/b.sock", http = ())),
    (name = "disk", disk = (path = "/tmp", writable = true)),
  ],
  sockets = [
    (name = "main", http = (forwardedProtoHeader = "X-Proto", cfBlobHeader = "X-Cf"), service = "user"),
    (name = "rpc", http = (capnpConnectHost = "x"), service = (name = "user", entrypoint = "C", props = (json = "(left out)"))),
  ],
  v8Flags = ["--max-old-space-size=128"],
  extensions = [ (modules = [
    (name = "selvage:w", internal = true, esModule = "(42 bytes left out)"),
  ]) ],
);
