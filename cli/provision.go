package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/project/manifest"
)

type provisionCommand struct {
	Projects []string `arg:"" optional:"" help:"Projects: folders or configuration files. Default: the current folder."`
	Env      string   `short:"e" help:"Environment of the configurations." placeholder:"NAME" env:"CLOUDFLARE_ENV"`
	Data     string   `help:"Data directory of a server on this machine. Default: the server that CLOUDFLARE_API_BASE_URL and CLOUDFLARE_API_TOKEN name." placeholder:"DIR" type:"path"`
}

// Run makes what the projects' configurations name and the server has not, under
// the ids that they name. What is there it leaves as it is.
func (c *provisionCommand) Run(ctx context.Context, streams IO) (err error) {
	wanted, err := c.wanted(streams.Stderr)
	if err != nil {
		return err
	}
	server, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	for _, p := range wanted {
		made, err := server.provision(ctx, p)
		if err != nil {
			return fmt.Errorf("make %s: %w", p.Name, err)
		}
		if made {
			fmt.Fprintln(streams.Stdout, "Made", p.Name)
		} else {
			fmt.Fprintln(streams.Stdout, "There already:", p.Name)
		}
	}
	if len(wanted) == 0 {
		fmt.Fprintln(streams.Stdout, "The configuration names nothing that has to be made.")
	}
	return nil
}

// wanted is what the projects name, each once.
func (c *provisionCommand) wanted(warnings io.Writer) (list []binding.Provision, err error) {
	paths := c.Projects
	if len(paths) == 0 {
		enclosing, err := manifest.Enclosing(".")
		if err != nil {
			return nil, usagef("there is no project here; name one: selvage provision DIR")
		}
		paths = []string{enclosing}
	}
	kinds := binding.ByType(platform.Kinds())
	seen := map[string]bool{}
	for _, path := range paths {
		m, warned, err := manifest.Load(path, manifest.Options{Env: c.Env, Deployed: true})
		for _, w := range warned {
			fmt.Fprintln(warnings, w)
		}
		if err != nil {
			return nil, err
		}
		for _, b := range append(append([]config.Binding{}, m.Bindings...), m.Triggers...) {
			k, ok := kinds[b.Type].(binding.Provisioner)
			if !ok {
				continue
			}
			named, err := k.Provision(m.Name, b)
			if err != nil {
				return nil, err
			}
			for _, p := range named {
				if !seen[p.Find] {
					seen[p.Find] = true
					list = append(list, p)
				}
			}
		}
	}
	return list, nil
}

func (c *provisionCommand) connect(ctx context.Context) (*client, error) {
	if c.Data != "" {
		if _, err := os.Stat(c.Data); err != nil {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
		return connect(ctx, c.Data)
	}
	base, token := os.Getenv("CLOUDFLARE_API_BASE_URL"), os.Getenv("CLOUDFLARE_API_TOKEN")
	if base == "" || token == "" {
		return nil, usagef("say which server: set CLOUDFLARE_API_BASE_URL and CLOUDFLARE_API_TOKEN as for wrangler, or give its data directory with --data")
	}
	if u, err := url.Parse(base); err != nil || u.Host == "" {
		return nil, usagef("CLOUDFLARE_API_BASE_URL is %q; it must be a URL such as http://127.0.0.1:8081/client/v4", base)
	}
	server := &client{
		http: http.DefaultClient, base: strings.TrimSuffix(base, "/"), account: os.Getenv("CLOUDFLARE_ACCOUNT_ID"),
		header: http.Header{"Authorization": {"Bearer " + token}}, close: func() error { return nil },
	}
	if server.account != "" {
		return server, nil
	}
	return server, server.enter(ctx)
}

// provision makes p unless it is there.
func (c *client) provision(ctx context.Context, p binding.Provision) (made bool, err error) {
	var found any
	err = c.call(ctx, http.MethodGet, c.path()+p.Find, nil, &found)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Status == http.StatusNotFound {
		found, err = []any{}, nil
	}
	if err != nil {
		return false, err
	}
	if list, ok := found.([]any); !ok || len(list) > 0 {
		return false, nil
	}
	return true, c.call(ctx, http.MethodPost, c.path()+p.Create, p.Body, nil)
}
