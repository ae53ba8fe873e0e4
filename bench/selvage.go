package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/internal/servertest"
)

func startSelvage(ctx context.Context, dir string) (*side, error) {
	dir, err := unpack(dir, "selvage")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "selvage")
	if err := servertest.Build(ctx, binary); err != nil {
		return nil, err
	}
	s := &side{
		name: "selvage", title: "selvage",
		promise: "KV, R2 (objects up to 32 KiB) and queues: fsync of the write-ahead log before the answer (Pebble, group commit). D1: SQLite's commit, WAL, survives a crash of the process. Durable Objects: as workerd.",
	}
	// dev starts `selvage dev` with these projects and returns its address.
	dev := func(ctx context.Context, name string, projects []string, flags ...string) (string, error) {
		addr, err := freeAddr()
		if err != nil {
			return "", err
		}
		_, port, _ := strings.Cut(addr, ":")
		arguments := append([]string{"dev", "--port", port, "--data", filepath.Join(dir, name+"-data")}, flags...)
		for _, p := range projects {
			arguments = append(arguments, filepath.Join(dir, p))
		}
		_, err = s.spawn("Ready on ", exec.CommandContext(ctx, binary, arguments...))
		return addr, err
	}
	addr, err := dev(ctx, "main", []string{"worker", "callee", "static", "objects"}, "--no-observe")
	if err != nil {
		return s, err
	}
	if err := s.prepare(ctx, addr, addr, "/prepare"); err != nil {
		return s, err
	}
	s.targets = func(ctx context.Context, r row) ([]target, error) {
		switch r.name {
		case "hello-observed":
			addr, err := dev(ctx, "observed", []string{"worker", "callee"})
			if err != nil {
				return nil, err
			}
			return one(r, addr, addr), s.prepare(ctx, addr, addr, "/hello")
		case "assets":
			host := "bench-static.localhost"
			return one(r, addr, host), s.prepare(ctx, addr, host, r.path)
		case "do-one", "do-hundred":
			return one(r, addr, "bench-objects.localhost"), nil
		case "platform":
			var names []string
			for i := range platformWorkers {
				name := fmt.Sprintf("platform-%d", i)
				if err := copyProject(dir, platformProject(i), name); err != nil {
					return nil, err
				}
				names = append(names, name)
			}
			addr, err := dev(ctx, "platform", append(names, "callee"), "--no-observe")
			if err != nil {
				return nil, err
			}
			all := target{addr: addr}
			for i, name := range names {
				host := name + ".localhost"
				if err := s.prepare(ctx, addr, host, "/prepare"); err != nil {
					return nil, err
				}
				for _, path := range platformPaths[platformProject(i)] {
					all.requests = append(all.requests, request(host, path, ""))
				}
			}
			return []target{all}, nil
		}
		return one(r, addr, addr), nil
	}
	return s, nil
}

// copyProject makes a project called name of another one, with names of its
// own for everything it binds but the callee.
func copyProject(dir, from, name string) error {
	to := filepath.Join(dir, name)
	if err := os.CopyFS(to, os.DirFS(filepath.Join(dir, from))); err != nil {
		return err
	}
	file := filepath.Join(to, "wrangler.jsonc")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	own := strings.NewReplacer(
		`"bench-callee"`, `"bench-callee"`,
		`"bench"`, `"`+name+`"`,
		`"bench-`, `"`+name+`-`,
	).Replace(string(text))
	own = strings.Replace(own, `"name": "`+name+`-objects"`, `"name": "`+name+`"`, 1)
	return os.WriteFile(file, []byte(own), 0o600)
}
