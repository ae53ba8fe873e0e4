package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/selvage-edge/selvage/cli/serve"
	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/platform"
)

// serverFlags are the settings that flags and environment variables override.
type serverFlags struct {
	Config        string            `short:"c" help:"Configuration file. Default: selvage.toml in the current folder, if there is one." placeholder:"FILE" type:"path" env:"SELVAGE_CONFIG"`
	Data          string            `help:"Data directory. Default: .selvage" placeholder:"DIR" type:"path" env:"SELVAGE_DATA"`
	Listen        []string          `help:"Address on which Workers answer; may be given several times. Default: :8080" placeholder:"ADDR" env:"SELVAGE_LISTEN"`
	Admin         string            `help:"Address of the REST API, health and metrics. Default: 127.0.0.1:8081" placeholder:"ADDR" env:"SELVAGE_ADMIN"`
	S3            string            `name:"s3" help:"Address of the S3 API of R2. Default: nowhere." placeholder:"ADDR" env:"SELVAGE_S3"`
	WorkersDomain string            `help:"Workers answer at <name>.<domain>. Default: localhost" placeholder:"DOMAIN" env:"SELVAGE_WORKERS_DOMAIN"`
	Origin        map[string]string `help:"Answer a private host name from a server of yours; may be given several times." placeholder:"HOST=URL" mapsep:"none" env:"SELVAGE_ORIGIN"`
	LogLevel      string            `help:"debug, info, warn or error." placeholder:"LEVEL" env:"SELVAGE_LOG_LEVEL"`
	LogFormat     string            `help:"text or json." placeholder:"FORMAT" env:"SELVAGE_LOG_FORMAT"`
	InsecureAdmin bool              `help:"Allow plain HTTP on an admin address that other machines reach." env:"SELVAGE_INSECURE_ADMIN"`
}

// defaultConfig is read when no file is named and it exists.
const defaultConfig = "selvage.toml"

// settings reads the configuration and puts flags and environment over it.
func (f *serverFlags) settings() (*settings.Settings, error) {
	file := &settings.File{}
	path := f.Config
	if path == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			path = defaultConfig
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return nil, err // `sudo -u selvage` in root's home may not look here
		}
	}
	if path != "" {
		var err error
		if file, err = settings.Read(path); err != nil {
			return nil, err
		}
		file.Relative()
	}
	text := func(value string, into *string, key, flag string) {
		if value != "" {
			*into = value
			file.Override(key, flag)
		}
	}
	text(f.Data, &file.Data, "data", "--data")
	text(f.Admin, &file.Admin.Listen, "admin.listen", "--admin")
	text(f.S3, &file.S3.Listen, "s3.listen", "--s3")
	text(f.WorkersDomain, &file.WorkersDomain, "workers_domain", "--workers-domain")
	text(f.LogLevel, &file.Log.Level, "log.level", "--log-level")
	text(f.LogFormat, &file.Log.Format, "log.format", "--log-format")
	if len(f.Listen) > 0 {
		file.HTTP.Listen = f.Listen
		file.Override("http.listen", "--listen")
	}
	if len(f.Origin) > 0 {
		if file.Origins == nil {
			file.Origins = map[string]string{}
		}
		maps.Copy(file.Origins, f.Origin)
		for host := range f.Origin {
			file.Override("origins."+host, "--origin "+host)
		}
	}
	file.Admin.Insecure = file.Admin.Insecure || f.InsecureAdmin
	return file.Settings()
}

type serveCommand struct {
	serverFlags
}

func (s *serveCommand) Run(ctx context.Context, streams IO, a Additions) error {
	first, err := s.settings()
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	defer letGarbageGather()()
	return a.with(ctx, func(configure func(*platform.Options), _ string) error {
		return serve.Run(ctx, serve.Options{
			Settings: first, Load: s.settings, Reload: hangup, Configure: configure, Stdout: streams.Stdout, Stderr: streams.Stderr,
		})
	})
}

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Say what is wrong with a server's configuration."`
}

type configCheckCommand struct {
	serverFlags
	File string `arg:"" optional:"" help:"The file to check; like --config." type:"path"`
}

func (c *configCheckCommand) Run(streams IO) error {
	if c.File != "" {
		c.Config = c.File
	}
	if c.Config == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return usagef("there is no %s here; name the file: selvage config check FILE", defaultConfig)
		}
		c.Config = defaultConfig
	}
	s, err := c.settings()
	if err != nil {
		return err
	}
	if err := serve.Check(s); err != nil {
		return err
	}
	fmt.Fprintf(streams.Stdout, "%s is valid\n", filepath.Base(c.Config))
	return nil
}
