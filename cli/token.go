package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/platform"
)

// serverData is the --data flag of the commands about a server.
type serverData struct {
	Config string `short:"c" help:"Configuration file of the server, for its data directory." placeholder:"FILE" type:"path" env:"SELVAGE_CONFIG"`
	Data   string `help:"Data directory. Default: that of the configuration, or .selvage" placeholder:"DIR" type:"path" env:"SELVAGE_DATA"`
}

func (d *serverData) settings() (*settings.Settings, error) {
	return (&serverFlags{Config: d.Config, Data: d.Data}).settings()
}

func (d *serverData) dir() (string, error) {
	s, err := d.settings()
	if err != nil {
		return "", err
	}
	return s.Data, nil
}

func (d *serverData) connect(ctx context.Context) (*client, error) {
	dir, err := d.dir()
	if err != nil {
		return nil, err
	}
	return connect(ctx, dir)
}

// call is one call to the API of the data directory.
func (d *serverData) call(ctx context.Context, method, path string, body, result any) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return c.call(ctx, method, path, body, result)
}

type accountCommand struct {
	serverData
}

func (a *accountCommand) Run(ctx context.Context, streams IO) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	fmt.Fprintln(streams.Stdout, c.account)
	return nil
}

type tokenCommand struct {
	Create tokenCreateCommand `cmd:"" help:"Make an API token and print it. It cannot be shown again."`
	List   tokenListCommand   `cmd:"" help:"List the API tokens."`
	Revoke tokenRevokeCommand `cmd:"" help:"End an API token."`
}

type tokenCreateCommand struct {
	serverData
	Name    string   `required:"" help:"What the token is for; it shows in the audit log." placeholder:"NAME"`
	Scope   []string `help:"What it allows: RESOURCE:read or RESOURCE:edit (workers_scripts, workers_kv, d1, …, *); may be given several times. Default: everything." placeholder:"SCOPE"`
	Expires string   `help:"When it ends: after a duration (720h, 30d) or at a date (2027-01-31). Default: never." placeholder:"WHEN"`
}

func (t *tokenCreateCommand) Run(ctx context.Context, streams IO) error {
	life, err := lifetime(t.Expires, time.Now())
	if err != nil {
		return err
	}
	var token struct{ Value string }
	err = t.call(ctx, http.MethodPost, "/local/tokens", platform.TokenRequest{Name: t.Name, Scopes: t.Scope, Life: life.Seconds()}, &token)
	if err != nil {
		return err
	}
	fmt.Fprintln(streams.Stdout, token.Value)
	return nil
}

// lifetime reads --expires. Zero is without end.
func lifetime(text string, now time.Time) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var life time.Duration
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if err != nil {
			return 0, usagef("--expires %s: expected a duration such as 720h or 30d, or a date such as 2027-01-31", text)
		}
		life = 24 * d
	} else if d, err := time.ParseDuration(text); err == nil {
		life = d
	} else if at, err := time.Parse(time.DateOnly, text); err == nil {
		life = at.Sub(now)
	} else {
		return 0, usagef("--expires %s: expected a duration such as 720h or 30d, or a date such as 2027-01-31", text)
	}
	if life <= 0 {
		return 0, usagef("--expires %s: that is in the past", text)
	}
	return life, nil
}

type tokenListCommand struct {
	serverData
	JSON bool `name:"json" help:"Print JSON."`
}

func (t *tokenListCommand) Run(ctx context.Context, streams IO) error {
	var list []platform.TokenInfo
	if err := t.call(ctx, http.MethodGet, "/local/tokens", nil, &list); err != nil {
		return err
	}
	if t.JSON {
		return printJSON(streams.Stdout, list)
	}
	w := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES")
	for _, x := range list {
		expires := "never"
		if !x.Expires.IsZero() {
			expires = x.Expires.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", x.ID, x.Name, strings.Join(x.Scopes, ","), x.Created.Format(time.RFC3339), expires)
	}
	return w.Flush()
}

type tokenRevokeCommand struct {
	serverData
	Token string `arg:"" optional:"" help:"The id or the name of the token."`
	Name  string `help:"The name of the token." placeholder:"NAME"`
}

func (t *tokenRevokeCommand) Run(ctx context.Context, streams IO) error {
	if (t.Token == "") == (t.Name == "") {
		return usagef("name the token to revoke by its id or its name; see: selvage token list")
	}
	return t.call(ctx, http.MethodDelete, "/local/tokens/"+url.PathEscape(t.Token+t.Name), nil, nil)
}
