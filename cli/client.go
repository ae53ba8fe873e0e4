package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/project/manifest"
)

// client speaks the REST API of a data directory: to the running server if
// there is one, otherwise to stores that it opens itself. Either way the same
// code answers, so nothing can be corrupted by using both.
type client struct {
	http    *http.Client
	base    string // URL of the API
	account string
	header  http.Header // what lets us in
	close   func() error
}

// quiet drops what stores note about themselves: a command has its own errors.
var quiet = slog.New(slog.DiscardHandler)

// turn is how long a command waits for another one to finish with the
// directory.
const turn = 15 * time.Second

// connect opens the API of a data directory.
func connect(ctx context.Context, data string) (*client, error) {
	deadline := time.Now().Add(turn)
	for {
		stores, holder, err := platform.OpenStores(ctx, platform.StoreOptions{Dir: data, Logger: quiet})
		if err == nil {
			return serveStores(ctx, stores)
		}
		if !errors.Is(err, platform.ErrInUse) {
			return nil, err
		}
		if holder.Socket != "" {
			return dial(ctx, holder.Socket, holder.Secret)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w and does not answer; end it or name another --data", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func serveStores(ctx context.Context, stores *platform.Stores) (*client, error) {
	local, err := stores.ServeLocal(ctx)
	if err != nil {
		return nil, errors.Join(err, stores.Close())
	}
	c, err := dial(ctx, local.Socket, local.Secret)
	if err != nil {
		return nil, errors.Join(err, local.Close(), stores.Close())
	}
	c.close = func() error { return errors.Join(local.Close(), stores.Close()) }
	return c, nil
}

func dial(ctx context.Context, socket, secret string) (*client, error) {
	c := &client{
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		}},
		base:   "http://selvage/client/v4",
		header: http.Header{platform.LocalHeader: {secret}},
		close:  func() error { return nil },
	}
	return c, c.enter(ctx)
}

// enter asks for the account.
func (c *client) enter(ctx context.Context) error {
	var accounts []struct{ ID string }
	if err := c.call(ctx, http.MethodGet, "/accounts", nil, &accounts); err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	if len(accounts) == 0 {
		return errors.New("the running server has no account")
	}
	c.account = accounts[0].ID
	return nil
}

// resource finds a database or KV namespace by what a project that runs beside
// us calls it: its id, its own name or that of a binding. It is nil if none
// runs, or none calls anything so.
func (c *client) resource(ctx context.Context, typ, name string) (*manifest.Resource, error) {
	var all []manifest.Resource
	if err := c.call(ctx, http.MethodGet, "/local/resources", nil, &all); err != nil {
		return nil, err
	}
	for _, called := range []func(r manifest.Resource) string{
		func(r manifest.Resource) string { return r.ID },
		func(r manifest.Resource) string { return r.Name },
		func(r manifest.Resource) string { return r.Binding },
	} {
		var found *manifest.Resource
		for _, r := range all {
			if r.Type != typ || called(r) != name {
				continue
			}
			if found != nil && found.ID != r.ID {
				return nil, fmt.Errorf("%s and %s both have a %q, which are not the same; give its id, %s or %s", found.Worker, r.Worker, name, found.ID, r.ID)
			}
			found = &r
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// path joins segments below the account, escaping each.
func (c *client) path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/accounts/" + c.account)
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// call sends body as JSON (or as it is, if it is a reader) and unmarshals the
// envelope's result. An API error comes back as *api.Error.
func (c *client) call(ctx context.Context, method, path string, body, result any) error {
	_, err := c.exchange(ctx, method, path, body, result)
	return err
}

// list is call for a list: it also returns the pagination.
func (c *client) list(ctx context.Context, path string, result any) (api.Info, error) {
	return c.exchange(ctx, http.MethodGet, path, nil, result)
}

func (c *client) exchange(ctx context.Context, method, path string, body, result any) (api.Info, error) {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return api.Info{}, err
	}
	defer response.Body.Close()
	var envelope struct {
		Success bool
		Errors  []*api.Error
		Result  json.RawMessage
		Info    api.Info `json:"result_info"`
	}
	if err := json.NewDecoder(response.Body).Decode(&envelope); err != nil {
		return api.Info{}, fmt.Errorf("%s %s: %s: %w", method, path, response.Status, err)
	}
	if !envelope.Success {
		if len(envelope.Errors) > 0 {
			envelope.Errors[0].Status = response.StatusCode
			return api.Info{}, envelope.Errors[0]
		}
		return api.Info{}, fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	if result == nil {
		return envelope.Info, nil
	}
	return envelope.Info, json.Unmarshal(envelope.Result, result)
}

func (c *client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	reader, ok := body.(io.Reader)
	if !ok && body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, c.header)
	return c.http.Do(request)
}

// dataFlag is the --data flag of the commands that work on a data directory.
type dataFlag struct {
	Data string `help:"Data directory. Default: .selvage beside the project's configuration." placeholder:"DIR" type:"path" env:"SELVAGE_DATA"`
}

// readFileOrStdin reads a file; "-" is stdin.
func readFileOrStdin(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}

// printJSON writes v as indented JSON, the answer to --json.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
