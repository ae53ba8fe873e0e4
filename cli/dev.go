package cli

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/cli/dev"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/project/manifest"
)

type devCommand struct {
	Dirs     []string          `arg:"" optional:"" name:"dir" help:"Projects to run: folders or configuration files. Default: the current folder." type:"path"`
	Port     int               `short:"p" default:"8787" help:"Port to listen on; 0 picks a free one."`
	IP       string            `default:"localhost" help:"Address to listen on." placeholder:"HOST"`
	Data     string            `help:"Data directory. Default: .selvage beside the first project's configuration." placeholder:"DIR" type:"path" env:"SELVAGE_DATA"`
	Env      string            `short:"e" help:"Environment of the configurations." placeholder:"NAME" env:"CLOUDFLARE_ENV"`
	Var      []string          `help:"Add or replace a var of the first project; may be given several times." placeholder:"K:V" sep:"none"`
	Origin   map[string]string `help:"Answer a private host name from a server of yours; may be given several times." placeholder:"HOST=URL" mapsep:"none"`
	Upstream map[string]string `name:"r2-upstream" help:"Use a bucket of an S3 server as an R2 bucket, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; may be given several times." placeholder:"NAME=https://HOST/BUCKET" mapsep:"none"`
	Allow    []string          `name:"allow-host" help:"Answer requests for this host, too, as that of a tunnel: NAME, .NAME for all below it, or all; may be given several times." placeholder:"HOST" sep:"none"`
	Inspect  string            `help:"Address on which DevTools can attach, for example 127.0.0.1:9229." placeholder:"ADDR"`
	S3       string            `name:"s3" help:"Address of the S3 API of R2, for example 127.0.0.1:9000; its access key is printed." placeholder:"ADDR"`
	HTTPS    bool              `help:"Serve HTTPS with a self-signed certificate."`
	Observe  bool              `default:"true" negatable:"" help:"Print each request, and exceptions that nobody catches also in waitUntil() and timers."`
	Test     bool              `name:"test-scheduled" help:"Answer /__scheduled?cron=… by running the scheduled handler. /cdn-cgi/handler/scheduled does so always."`
	Stuck    time.Duration     `name:"stuck-after" default:"30s" help:"Replace a Worker's process that does not yield for so long."`
}

func (d *devCommand) Run(ctx context.Context, streams IO, a Additions) error {
	o := dev.Options{
		Projects: d.Dirs, Address: d.IP, Port: d.Port, Data: d.Data, Env: d.Env, Vars: map[string]string{},
		AllowHosts: d.Allow, Inspect: d.Inspect, S3: d.S3, HTTPS: d.HTTPS, Observe: d.Observe, TestScheduled: d.Test, StuckAfter: d.Stuck,
		Stdout: streams.Stdout, Stderr: streams.Stderr,
	}
	if len(o.Projects) == 0 && a.Make == nil {
		dir, err := manifest.Enclosing(".")
		if err != nil {
			return err
		}
		o.Projects = []string{dir}
	}
	for _, v := range d.Var {
		name, value, ok := strings.Cut(v, ":")
		if !ok || name == "" {
			return usagef("--var %s: expected NAME:VALUE", v)
		}
		o.Vars[name] = value
	}
	var err error
	if o.Origins, err = origins(d.Origin); err != nil {
		return err
	}
	if o.Upstreams, err = upstreams(d.Upstream); err != nil {
		return err
	}
	defer letGarbageGather()()
	return a.with(ctx, func(configure func(*platform.Options), first string) error {
		o.Configure, o.Default = configure, first
		return dev.Run(ctx, o)
	})
}

// origins parses --origin HOST=URL.
func origins(list map[string]string) (map[string]*url.URL, error) {
	m := map[string]*url.URL{}
	for host, text := range list {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usagef("--origin %s=%s: expected HOST=http://… or HOST=https://…", host, text)
		}
		m[strings.ToLower(host)] = u
	}
	return m, nil
}

// upstreams parses --r2-upstream NAME=URL. Who we are is where other S3 clients look
// for it.
func upstreams(list map[string]string) ([]config.Upstream, error) {
	var parsed []config.Upstream
	for _, name := range slices.Sorted(maps.Keys(list)) {
		text := list[name]
		u, err := url.Parse(text)
		bucket := ""
		if err == nil {
			bucket = strings.Trim(u.Path, "/")
		}
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || bucket == "" || strings.Contains(bucket, "/") {
			return nil, usagef("--r2-upstream %s=%s: expected NAME=https://HOST/BUCKET", name, text)
		}
		up := config.Upstream{
			Name: name, Resource: bucket, Endpoint: &url.URL{Scheme: u.Scheme, Host: u.Host}, Region: cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"), PathStyle: true,
			KeyID: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY"), Timeout: 30 * time.Second,
		}
		if up.KeyID == "" || up.Secret == "" {
			return nil, usagef("--r2-upstream %s: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", name)
		}
		parsed = append(parsed, up)
	}
	return parsed, nil
}
