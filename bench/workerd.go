package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/selvage-edge/selvage/engine/workerd"
)

func startWorkerd(ctx context.Context, dir string) (*side, error) {
	binary, err := workerd.Binary(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	dir, err = unpack(dir, "workerd")
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "workerd", title: "workerd, its bundled bindings",
		promise: "KV, D1 and queues are Durable Objects in the same process; a write is acknowledged after SQLite's commit on local disk.",
	}
	// serve starts workerd with a configuration and returns its address.
	serve := func(ctx context.Context, config string) (string, error) {
		addr, err := freeAddr()
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, binary, "serve", "--experimental", "-s", "http="+addr, config)
		cmd.Dir = filepath.Dir(config)
		_, err = s.spawn("", cmd)
		return addr, err
	}
	// project serves one, without those of its bindings that need another Worker.
	project := func(ctx context.Context, folder, name string) (string, error) {
		if folder != name {
			if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, folder))); err != nil {
				return "", err
			}
		}
		file := filepath.Join(dir, name, "wrangler.jsonc")
		text, ok := alone[folder]
		if ok {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return "", err
			}
		}
		return serve(ctx, file)
	}
	addr, err := project(ctx, "worker", "worker")
	if err != nil {
		return s, err
	}
	if err := s.prepare(ctx, addr, addr, "/prepare"); err != nil {
		return s, err
	}
	both := filepath.Join(dir, "both.capnp")
	if err := os.WriteFile(both, []byte(twoWorkers), 0o600); err != nil {
		return s, err
	}
	s.targets = func(ctx context.Context, r row) ([]target, error) {
		switch r.name {
		case "service-fetch", "service-rpc":
			addr, err := serve(ctx, both)
			if err != nil {
				return nil, err
			}
			return one(r, addr, addr), s.prepare(ctx, addr, addr, "/"+r.name)
		case "assets":
			addr, err := project(ctx, "static", "static")
			if err != nil {
				return nil, err
			}
			return one(r, addr, addr), s.prepare(ctx, addr, addr, r.path)
		case "do-one", "do-hundred":
			addr, err := project(ctx, "objects", "objects")
			if err != nil {
				return nil, err
			}
			return one(r, addr, addr), s.prepare(ctx, addr, addr, "/prepare")
		case "platform":
			var all []target
			for i := range platformWorkers {
				folder := platformProject(i)
				addr, err := project(ctx, folder, fmt.Sprintf("platform-%d", i))
				if err != nil {
					return nil, err
				}
				if err := s.prepare(ctx, addr, addr, "/prepare"); err != nil {
					return nil, err
				}
				t := target{addr: addr}
				for _, path := range platformPaths[folder] {
					t.requests = append(t.requests, request(addr, path, ""))
				}
				all = append(all, t)
			}
			return all, nil
		}
		return one(r, addr, addr), nil
	}
	return s, nil
}

// alone are the configurations of projects that `workerd serve` takes: it
// refuses service bindings, so the rows that need one run from twoWorkers.
var alone = map[string]string{
	"worker": `{"name": "bench", "main": "index.js", "compatibility_date": "2026-04-01", "no_bundle": true,
		"kv_namespaces": [{"binding": "KV", "id": "bench-kv"}],
		"d1_databases": [{"binding": "DB", "database_name": "bench-db", "database_id": "bench-db"}],
		"queues": {"producers": [{"binding": "SENT", "queue": "bench-sent"}, {"binding": "THROUGH", "queue": "bench-through"}],
			"consumers": [{"queue": "bench-through", "max_batch_size": 100, "max_batch_timeout": 0}]},
		"workflows": [{"binding": "FLOW", "name": "bench-flow", "class_name": "Flow"}]}`,
	"objects": `{"name": "bench-objects", "main": "index.js", "compatibility_date": "2026-04-01", "no_bundle": true,
		"durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
		"migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}]}`,
}

// twoWorkers has both ends of the service binding in one process.
const twoWorkers = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "bench", worker = (modules = [(name = "index.js", esModule = embed "worker/index.js")], compatibilityDate = "2026-04-01", bindings = [(name = "CALLEE", service = "callee")])),
    (name = "callee", worker = (modules = [(name = "index.js", esModule = embed "callee/index.js")], compatibilityDate = "2026-04-01")),
  ],
  sockets = [(name = "http", http = (), service = "bench")],
);
`
