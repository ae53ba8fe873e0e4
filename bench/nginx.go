package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// startNginx serves the static files with nginx.
func startNginx(ctx context.Context, dir string) (*side, error) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return nil, fmt.Errorf("find nginx (leave it out with -sides, or apt-get install nginx): %w", err)
	}
	if dir, err = unpack(dir, "nginx"); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	user := "" // lets it, who would become nobody, read the files as root does
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	config := filepath.Join(dir, "nginx.conf")
	err = os.WriteFile(config, fmt.Appendf(nil, `daemon off; worker_processes auto; pid %[1]s/pid; error_log %[1]s/error.log; %[2]s
events {}
http {
  access_log off; keepalive_requests 1000000; sendfile on; tcp_nopush on; open_file_cache max=1000;
  types { text/javascript js; }
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen %[3]s; root %[1]s/static/public; }
}
`, dir, user, addr), 0o600)
	if err != nil {
		return nil, err
	}
	s := &side{name: "nginx", title: "nginx"}
	if _, err := s.spawn("", exec.CommandContext(ctx, binary, "-p", dir, "-c", config, "-e", filepath.Join(dir, "error.log"))); err != nil {
		return s, err
	}
	s.targets = func(ctx context.Context, r row) ([]target, error) {
		return one(r, addr, addr), s.prepare(ctx, addr, addr, r.path)
	}
	return s, nil
}
