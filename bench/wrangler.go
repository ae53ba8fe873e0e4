package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func startWrangler(ctx context.Context, dir string) (*side, error) {
	dir, err := unpack(dir, "wrangler")
	if err != nil {
		return nil, err
	}
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "wrangler@4.86.0")
	install.Stderr = os.Stderr
	if err := install.Run(); err != nil {
		return nil, fmt.Errorf("install wrangler from npm (leave it out with -sides selvage,workerd): %w", err)
	}
	s := &side{
		name: "wrangler", title: "wrangler dev 4.86.0",
		promise: "Miniflare's simulators: Durable Objects in workerd behind a Node.js proxy; SQLite's commit on local disk.",
	}
	// dev starts `wrangler dev` with these projects, of which the first answers
	// at the returned address.
	dev := func(ctx context.Context, projects ...string) (string, error) {
		addr, err := freeAddr()
		if err != nil {
			return "", err
		}
		_, port, _ := strings.Cut(addr, ":")
		arguments := []string{"dev", "--port", port, "--ip", "127.0.0.1", "--inspector-port", "0", "--show-interactive-dev-session=false"}
		for _, p := range projects {
			arguments = append(arguments, "-c", filepath.Join(p, "wrangler.jsonc"))
		}
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "node_modules", ".bin", "wrangler"), arguments...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false", "CI=true", "WRANGLER_LOG=error")
		_, err = s.spawn("", cmd)
		return addr, err
	}
	addr, err := dev(ctx, "worker", "callee")
	if err != nil {
		return s, err
	}
	for _, path := range []string{"/prepare", "/service-rpc"} {
		if err := s.prepare(ctx, addr, addr, path); err != nil {
			return nil, err
		}
	}
	s.targets = func(ctx context.Context, r row) ([]target, error) {
		project, ready := "", ""
		switch r.name {
		case "assets":
			project, ready = "static", r.path
		case "do-one", "do-hundred":
			project, ready = "objects", "/prepare"
		default:
			return one(r, addr, addr), nil
		}
		addr, err := dev(ctx, project)
		if err != nil {
			return nil, err
		}
		return one(r, addr, addr), s.prepare(ctx, addr, addr, ready)
	}
	return s, nil
}
