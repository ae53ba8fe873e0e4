package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/s3"
	"github.com/selvage-edge/selvage/s3/sigv4"
)

// s3Regions are those that a signature may be for. The bucket's location is one,
// since clients sign for what GetBucketLocation says.
var s3Regions = []string{"auto", "us-east-1", "", "apac", "eeur", "enam", "oc", "weur", "wnam", "APAC", "EEUR", "ENAM", "OC", "WEUR", "WNAM"}

// openS3 makes the S3 API, if there is R2: it answers on listeners of its own and at o.S3Hosts.
func (p *Platform) openS3(o Options) {
	i := slices.IndexFunc(p.Stores.Kinds, func(k binding.Kind) bool { _, ok := k.(*r2.Kind); return ok })
	if i < 0 {
		return
	}
	keys := p.Stores.Keys
	verifier := &sigv4.Verifier{Secret: keys.Secret, Regions: s3Regions, Now: o.Now}
	hosts := make([]string, len(o.S3Hosts))
	for i, host := range o.S3Hosts {
		hosts[i] = strings.ToLower(host)
	}
	h := s3.New(s3.Options{
		Store: p.Stores.Kinds[i].(*r2.Kind).Store(), Owner: p.Stores.Account, Hosts: append(hosts, "localhost"), Memory: p.Stores.memory, Logger: p.log,
		Verify: func(r *http.Request) (s3.Access, error) {
			id, err := verifier.Verify(r)
			if err != nil {
				return s3.Access{}, err
			}
			key, err := keys.Use(r.Context(), id.KeyID)
			return s3.Access{Key: id.KeyID, Allows: key.Allows}, err
		},
		Audit: func(ctx context.Context, r s3.Record) error {
			return p.Stores.State.Update(context.WithoutCancel(ctx), func(tx *state.Tx) error {
				return tx.Audit(state.Entry{Token: r.Key, TokenName: "access key", From: r.Client.String(), Action: "S3 " + r.Operation + " " + r.Bucket})
			})
		},
		Access: func(r s3.Record) {
			o.Metrics.S3(r.Operation, r.Status, r.Duration, r.Received, r.Sent)
			if o.S3Requests != nil {
				o.S3Requests(r)
			}
		},
	})
	p.s3 = http1.New(http1.Options{
		Handler: h, Logger: p.log, MaxConns: o.MaxConns, MaxConnsPerClient: o.MaxConnsPerClient, BodyTimeout: o.BodyTimeout,
	}.Bounded())
	if len(hosts) > 0 {
		p.Stores.hosts = append(p.Stores.hosts, s3Hosts{hosts, &binding.HostOwner{Name: "the S3 API of R2", Raw: true, Serve: func(w http.ResponseWriter, r *http.Request) error {
			h.ServeHTTP(w, r)
			return nil
		}}})
	}
}

// ServeS3 answers requests of S3 clients on l until ctx ends. config is for TLS;
// nil serves plain HTTP.
func (p *Platform) ServeS3(ctx context.Context, l net.Listener, config *tls.Config) error {
	if p.s3 == nil {
		return errors.New("serve the S3 API: R2 is not among the products")
	}
	return p.s3.Serve(ctx, l, config)
}

// s3Hosts answers at hosts of the edge, and at those right below them.
type s3Hosts struct {
	names []string
	owner *binding.HostOwner
}

// Hosted implements binding.Hosted.
func (s s3Hosts) Hosted(host string) *binding.HostOwner {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range s.names {
		if host == name || parent == name {
			return s.owner
		}
	}
	return nil
}
