package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/kv"
)

type kvCommand struct {
	Key kvKeyCommand `cmd:"" help:"Work with the keys of a namespace."`
}

type kvKeyCommand struct {
	Put    kvPutCommand    `cmd:"" help:"Write a key."`
	Get    kvGetCommand    `cmd:"" help:"Print a key's value."`
	List   kvListCommand   `cmd:"" help:"List the keys."`
	Delete kvDeleteCommand `cmd:"" help:"Delete a key."`
}

// kvTarget is how each command names its namespace.
type kvTarget struct {
	dataFlag
	projectFlag
	Binding     string `help:"Binding of the namespace in the project's configuration." xor:"namespace" placeholder:"NAME"`
	NamespaceID string `help:"Id of the namespace." xor:"namespace" placeholder:"ID"`
}

// open connects and returns the path of the namespace.
func (t *kvTarget) open(ctx context.Context) (*client, string, error) {
	id := t.NamespaceID
	var missing error // why the project here does not know the binding
	switch {
	case t.Binding != "":
		m, err := t.project()
		if err == nil {
			if id = m.binding(new(kv.Kind).Type(), t.Binding, "namespace_id"); id == "" {
				err = fmt.Errorf("%s has no KV namespace with the binding %q", m.File, t.Binding)
			}
		}
		if missing = err; err != nil && (t.Config != "" || t.Data == "") {
			return nil, "", err
		}
	case id == "":
		return nil, "", usagef("name the namespace with --binding or --namespace-id")
	}
	data, err := t.dataDir(&t.dataFlag)
	if err != nil {
		return nil, "", err
	}
	c, err := connect(ctx, data)
	if err != nil {
		return nil, "", err
	}
	if missing != nil { // but one that runs on the data may
		running, err := c.resource(ctx, new(kv.Kind).Type(), t.Binding)
		if err == nil && running == nil {
			err = missing
		}
		if err != nil {
			return nil, "", errors.Join(err, c.close())
		}
		id = running.ID
	}
	// A project's namespace exists from the moment its configuration names it.
	err = c.call(ctx, http.MethodGet, c.path("storage", "kv", "namespaces", id), nil, nil)
	if e := (*api.Error)(nil); t.Binding != "" && errors.As(err, &e) && e.Status == http.StatusNotFound {
		err = c.call(ctx, http.MethodPut, "/local/kv/"+url.PathEscape(id), nil, nil)
	}
	if err != nil {
		return nil, "", errors.Join(err, c.close())
	}
	return c, c.path("storage", "kv", "namespaces", id), nil
}

type kvPutCommand struct {
	kvTarget
	Key        string `arg:"" help:"The key."`
	Value      string `arg:"" optional:"" help:"The value, unless --path gives it."`
	Path       string `help:"Read the value from a file; - is stdin." type:"path" placeholder:"FILE"`
	TTL        int    `help:"Seconds until the key expires, at least 60." placeholder:"SECONDS"`
	Expiration int64  `help:"Time at which the key expires, in seconds since 1970." placeholder:"SECONDS"`
	Metadata   string `help:"JSON kept with the key, at most 1024 bytes." placeholder:"JSON"`
}

func (k *kvPutCommand) Run(ctx context.Context, streams IO) (err error) {
	var value io.Reader = strings.NewReader(k.Value)
	switch {
	case k.Path == "-":
		value = streams.Stdin
	case k.Path != "":
		f, err := os.Open(k.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		value = f
	}
	c, base, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	query := url.Values{}
	if k.TTL != 0 {
		query.Set("expiration_ttl", strconv.Itoa(k.TTL))
	}
	if k.Expiration != 0 {
		query.Set("expiration", strconv.FormatInt(k.Expiration, 10))
	}
	if k.Metadata != "" {
		if !json.Valid([]byte(k.Metadata)) {
			return usagef("--metadata is not valid JSON: %s", k.Metadata)
		}
		data, err := io.ReadAll(value)
		if err != nil {
			return err
		}
		item := map[string]any{"key": k.Key, "value": string(data), "metadata": json.RawMessage(k.Metadata)}
		if k.TTL != 0 {
			item["expiration_ttl"] = k.TTL
		}
		if k.Expiration != 0 {
			item["expiration"] = k.Expiration
		}
		return c.call(ctx, http.MethodPut, base+"/bulk", []any{item}, nil)
	}
	return c.call(ctx, http.MethodPut, base+"/values/"+url.PathEscape(k.Key)+"?"+query.Encode(), value, nil)
}

type kvGetCommand struct {
	kvTarget
	Key string `arg:"" help:"The key."`
}

func (k *kvGetCommand) Run(ctx context.Context, streams IO) (err error) {
	c, base, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	response, err := c.send(ctx, http.MethodGet, base+"/values/"+url.PathEscape(k.Key), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		_, err = io.Copy(streams.Stdout, response.Body)
		return err
	case http.StatusNotFound:
		return fmt.Errorf("no value for the key %q", k.Key)
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
	return fmt.Errorf("get key %q: %s: %s", k.Key, response.Status, text)
}

type kvListCommand struct {
	kvTarget
	Prefix string `help:"Only keys that begin with this." placeholder:"TEXT"`
	JSON   bool   `help:"Print JSON."`
}

func (k *kvListCommand) Run(ctx context.Context, streams IO) (err error) {
	c, base, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	type key struct {
		Name       string          `json:"name"`
		Expiration int64           `json:"expiration,omitempty"`
		Metadata   json.RawMessage `json:"metadata,omitempty"`
	}
	keys := []key{}
	for cursor := ""; ; {
		query := url.Values{"prefix": {k.Prefix}, "cursor": {cursor}}
		var page []key
		info, err := c.list(ctx, base+"/keys?"+query.Encode(), &page)
		if err != nil {
			return err
		}
		keys = append(keys, page...)
		if cursor = info.Cursor; cursor == "" {
			break
		}
	}
	if k.JSON {
		return printJSON(streams.Stdout, keys)
	}
	for _, key := range keys {
		fmt.Fprintln(streams.Stdout, key.Name)
	}
	return nil
}

type kvDeleteCommand struct {
	kvTarget
	Key string `arg:"" help:"The key."`
}

func (k *kvDeleteCommand) Run(ctx context.Context) (err error) {
	c, base, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.call(ctx, http.MethodDelete, base+"/values/"+url.PathEscape(k.Key), nil, nil)
}
