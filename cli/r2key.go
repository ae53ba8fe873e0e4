package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/control/auth"
)

type r2KeyCommand struct {
	Create r2KeyCreateCommand `cmd:"" help:"Make an access key for the S3 API and print it. Its secret cannot be shown again."`
	List   r2KeyListCommand   `cmd:"" help:"List the access keys."`
	Delete r2KeyDeleteCommand `cmd:"" help:"End an access key."`
}

// Names of Cloudflare's permission groups for R2.
const (
	adminRead  = "Workers R2 Storage Read"
	adminWrite = "Workers R2 Storage Write"
	itemRead   = "Workers R2 Storage Bucket Item Read"
	itemWrite  = "Workers R2 Storage Bucket Item Write"
)

// keyPolicy and accessKey are as the REST API has them.
type keyPolicy struct {
	Effect    string            `json:"effect"`
	Groups    []namedGroup      `json:"permission_groups"`
	Resources map[string]string `json:"resources"`
}

type namedGroup struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

type accessKey struct {
	ID       string      `json:"id,omitempty"`
	Name     string      `json:"name"`
	Issued   time.Time   `json:"issued_on,omitzero"`
	Expires  time.Time   `json:"expires_on,omitzero"`
	LastUsed time.Time   `json:"last_used_on,omitzero"`
	Policies []keyPolicy `json:"policies"`
	Value    string      `json:"value,omitempty"`
}

const allBuckets = "com.cloudflare.edge.r2.bucket.*"

type r2KeyCreateCommand struct {
	serverData
	Name     string   `required:"" help:"What the key is for; it shows in the audit log." placeholder:"NAME"`
	Bucket   []string `help:"A bucket that the key is for; may be given several times. Default: all." placeholder:"BUCKET"`
	ReadOnly bool     `help:"The key may read and list objects, and change nothing."`
	Admin    bool     `help:"The key is also for the list of buckets and their settings: it may create and delete them. For all buckets only."`
	Expires  string   `help:"When it ends: after a duration (720h, 30d) or at a date (2027-01-31). Default: never." placeholder:"WHEN"`
	JSON     bool     `name:"json" help:"Print JSON."`
}

func (k *r2KeyCreateCommand) Run(ctx context.Context, streams IO) error {
	now := time.Now()
	life, err := lifetime(k.Expires, now)
	if err != nil {
		return err
	}
	if k.Admin && len(k.Bucket) > 0 {
		return usagef("--admin is for all buckets: leave --bucket away")
	}
	c, err := k.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	var groups []namedGroup
	if err := c.call(ctx, http.MethodGet, "/accounts/"+c.account+"/tokens/permission_groups", nil, &groups); err != nil {
		return err
	}
	policy := keyPolicy{Effect: "allow", Resources: map[string]string{}}
	for _, g := range groups {
		if g.Name == k.group() {
			policy.Groups = []namedGroup{g}
		}
	}
	for _, name := range k.Bucket {
		policy.Resources[bucketResource(c.account)+name] = "*"
	}
	switch {
	case k.Admin:
		policy.Resources["com.cloudflare.api.account."+c.account] = "*"
	case len(k.Bucket) == 0:
		policy.Resources[allBuckets] = "*"
	}
	request := accessKey{Name: k.Name, Policies: []keyPolicy{policy}}
	if life > 0 {
		request.Expires = now.Add(life).UTC()
	}
	var made accessKey
	if err := c.call(ctx, http.MethodPost, "/accounts/"+c.account+"/tokens", request, &made); err != nil {
		return err
	}
	secret := auth.SecretOf(made.Value)
	if k.JSON {
		return printJSON(streams.Stdout, map[string]string{"access_key_id": made.ID, "secret_access_key": secret})
	}
	fmt.Fprintf(streams.Stdout, "Access key ID:     %s\nSecret access key: %s\n", made.ID, secret)
	return nil
}

// group is the name of the permission group that is asked for.
func (k *r2KeyCreateCommand) group() string {
	switch {
	case k.Admin && k.ReadOnly:
		return adminRead
	case k.Admin:
		return adminWrite
	case k.ReadOnly:
		return itemRead
	}
	return itemWrite
}

// bucketResource begins the name of the resource that is a bucket.
func bucketResource(account string) string {
	return "com.cloudflare.edge.r2.bucket." + account + "_default_"
}

type r2KeyListCommand struct {
	serverData
	JSON bool `name:"json" help:"Print JSON."`
}

// keyInfo is a row of the list.
type keyInfo struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Buckets  []string  `json:"buckets"` // none means all
	Allows   string    `json:"allows"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

func (k *r2KeyListCommand) Run(ctx context.Context, streams IO) error {
	c, err := k.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	rows := []keyInfo{}
	for page := 1; ; page++ {
		var list []accessKey
		info, err := c.list(ctx, fmt.Sprintf("/accounts/%s/tokens?per_page=100&page=%d", c.account, page), &list)
		if err != nil {
			return err
		}
		for _, x := range list {
			rows = append(rows, x.info(c.account))
		}
		if page >= info.TotalPages {
			break
		}
	}
	if k.JSON {
		return printJSON(streams.Stdout, rows)
	}
	w := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tBUCKETS\tALLOWS\tCREATED\tEXPIRES\tLAST USED")
	when := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Format(time.RFC3339)
	}
	for _, x := range rows {
		buckets := strings.Join(x.Buckets, ",")
		if buckets == "" {
			buckets = "all"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.ID, x.Name, buckets, x.Allows, when(x.Created), when(x.Expires), when(x.LastUsed))
	}
	return w.Flush()
}

// info takes the policy of a key apart.
func (k accessKey) info(account string) keyInfo {
	i := keyInfo{ID: k.ID, Name: k.Name, Buckets: []string{}, Created: k.Issued, Expires: k.Expires, LastUsed: k.LastUsed}
	for _, p := range k.Policies {
		for _, g := range p.Groups {
			i.Allows = map[string]string{adminRead: "admin, read", adminWrite: "admin, read and write", itemRead: "read", itemWrite: "read and write"}[g.Name]
		}
		for name := range p.Resources {
			if bucket, ok := strings.CutPrefix(name, bucketResource(account)); ok {
				i.Buckets = append(i.Buckets, bucket)
			}
		}
	}
	slices.Sort(i.Buckets)
	return i
}

type r2KeyDeleteCommand struct {
	serverData
	Key string `arg:"" help:"The id or the name of the access key."`
}

func (k *r2KeyDeleteCommand) Run(ctx context.Context, _ IO) error {
	c, err := k.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return c.call(ctx, http.MethodDelete, "/accounts/"+c.account+"/tokens/"+url.PathEscape(k.Key), nil, nil)
}
